/* SPDX-License-Identifier: Apache-2.0 */
/*
 * causewayctl: looks into running daemons and changes what can be changed, over their control
 * sockets (docs/control.md).
 *
 * client asks a daemon; answer, rates and latencies are what an answer says and what follows from
 * two of them; status_*, top_* and metrics_* show that. A file for each command stands on those.
 *
 * A command prints what it has to say on standard output and returns main()'s status. What goes
 * wrong is one sentence on standard error: status 2 for a mistake on the command line, 1 for
 * anything else.
 */
#ifndef CAUSEWAY_CTL_PROGRAM_H
#define CAUSEWAY_CTL_PROGRAM_H

#define CTL_PROGRAM   "causewayctl"
#define CTL_WRONG_USE 2 /* exit status */

/* "causewayctl: error: ..." */
void ctl_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
