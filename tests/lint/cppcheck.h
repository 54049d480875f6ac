/* SPDX-License-Identifier: Apache-2.0 */
/* For cppcheck alone, which does not read the libraries' headers: their loop macros spelled out. */
#define CAUSEWAY_VERSION                    "0"
#define mnl_attr_for_each(a, message, skip) for ((a) = first(message); (a); (a) = next(a))
#define mnl_attr_for_each_nested(a, nest)   for ((a) = first(nest); (a); (a) = next(a))
#define io_uring_for_each_cqe(r, head, cqe) for ((head) = 0; ((cqe) = next(r)); (head)++)
