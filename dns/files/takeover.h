/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A configuration file of the host that is ours while the daemon runs: resolv.conf, Docker's
 * daemon.json.
 *
 * Two files tell what happened, beside the file itself, or in /run/causeway where its folder cannot
 * be written: PATH.causeway-dns is a copy of what we wrote, PATH.causeway-dns-original what was
 * there before (absent, if nothing was). The file is ours exactly while it equals the copy. So a
 * daemon started again after kill -9 does not take its own text for the original, and what another
 * program has written meanwhile is never undone.
 *
 * The file is replaced by rename(), the original kept by link(): a symbolic link, an owner and a
 * mode come back as they were. Where the file is a mount point of its own, as in containers, it
 * cannot be renamed and is written in place; one that was cut by a crash in that moment is known
 * from being the beginning of ours, or of the original.
 */
#ifndef CAUSEWAY_DNS_FILES_TAKEOVER_H
#define CAUSEWAY_DNS_FILES_TAKEOVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "runtime/base/failure.h"

#define TAKEOVER_FILE_BYTES 65536

/* Writes our text to out, made from the original (NULL: there is none). False with a reason. */
typedef bool takeover_edit(const char *original, const void *context, FILE *out,
                           struct failure *failure);

/* The failure names the file, which is then as it was. */
bool takeover_begin(const char *path, takeover_edit *edit, const void *context,
                    struct failure *failure);

enum takeover_end {
    TAKEOVER_RESTORED,
    TAKEOVER_CHANGED, /* another program has written it: left alone, the original is kept */
    TAKEOVER_NOTHING, /* was not ours */
    TAKEOVER_FAILED,  /* with a sentence */
};
enum takeover_end takeover_finish(const char *path, struct failure *failure);

/* context: const struct ip_addr *, the name server. */
takeover_edit resolv_conf_edit; /* keeps search, domain, options and sortlist */
takeover_edit daemon_json_edit; /* replaces "dns" or adds it; all else stays byte for byte */

#endif
