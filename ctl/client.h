/* SPDX-License-Identifier: Apache-2.0 */
/* One request to a daemon, and its answer. */
#ifndef CAUSEWAY_CTL_CLIENT_H
#define CAUSEWAY_CTL_CLIENT_H

#include <json-c/json.h>

#include "runtime/base/failure.h"

/*
 * Sends a line on a fresh connection to the control socket at path (a file, or @NAME): the answer,
 * an object that json_object_put() releases, or NULL with a sentence in failure. connection: left
 * open there if not NULL; passed_fd: a descriptor that came with the answer, or as it was. Both
 * belong to the caller.
 */
struct json_object *client_request(const char *path, const char *line, int *connection,
                                   int *passed_fd, struct failure *failure);

/*
 * The answer that a line holds: as client_request(), which names path in its sentence. What is not
 * an object with "ok": true is a failure.
 */
struct json_object *client_read_answer(const char *text, const char *path, struct failure *failure);

#endif
