/* SPDX-License-Identifier: Apache-2.0 */
/* Two looks at every daemon, for rates. */
#ifndef CAUSEWAY_CTL_SAMPLE_H
#define CAUSEWAY_CTL_SAMPLE_H

#include <json-c/json.h>

#include "ctl/targets.h"

/*
 * Asks every target twice, interval_ms apart, for its status; answers[i] has rates and is the
 * caller's to release, or NULL with a sentence on standard error. How many answered.
 */
unsigned sample_status(const struct ctl_targets *targets, unsigned interval_ms,
                       struct json_object **answers);

#endif
