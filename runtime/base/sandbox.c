/* SPDX-License-Identifier: Apache-2.0 */
/* Users and capabilities; the order of it all. */
#include "runtime/base/sandbox.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "runtime/base/options.h"
#include "runtime/base/sandbox_private.h"

#define DEFAULT_USER                                                                               \
    "causeway" /* made by the packages: debian/, parent/systemd/causeway.sysusers */
/* Nobody's numbers: what systemd takes for its dynamic users, from the end (systemd, UIDS-GIDS). */
#define NOBODYS_FIRST 65519
#define NOBODYS_LAST  61184

bool sandbox_fail(struct failure *failure, const char *what)
{
    return failure_set(failure, "cannot enter the sandbox: %s: %s", what, strerror(errno));
}

/* ---- the user ---- */

const char *sandbox_default_user(void)
{
    static char number[16];
    uid_t free_number = NOBODYS_FIRST;

    if (geteuid() != 0)
        return NULL;
    if (getpwnam(DEFAULT_USER) != NULL)
        return DEFAULT_USER;
    while (free_number > NOBODYS_LAST &&
           (getpwuid(free_number) != NULL || getgrgid(free_number) != NULL))
        free_number--;
    snprintf(number, sizeof(number), "%u", (unsigned)free_number);
    return number;
}

static bool look_up(const char *user, uid_t *uid, gid_t *gid)
{
    const struct passwd *entry = getpwnam(user);
    unsigned long number;

    if (entry != NULL) {
        *uid = entry->pw_uid;
        *gid = entry->pw_gid;
        return true;
    }
    if (!option_number(user, 0, UINT32_MAX - 1, &number))
        return false;
    *uid = *gid = (uid_t)number;
    return true;
}

bool sandbox_change_user(const char *user, struct failure *failure)
{
    uid_t uid;
    gid_t gid;

    if (!look_up(user, &uid, &gid))
        return failure_set(failure, "no such user: %s", user);
    if (prctl(PR_SET_KEEPCAPS, 1) < 0 || setgroups(0, NULL) < 0 || setgid(gid) < 0 ||
        setuid(uid) < 0)
        return sandbox_fail(failure, "change of user");
    return true;
}

/* ---- capabilities ---- */

static bool set_capabilities(const int *list, unsigned count, struct failure *failure)
{
    cap_t wanted = cap_init();
    int result = 0;

    if (wanted == NULL)
        return sandbox_fail(failure, "capabilities");
    if (count > 0) /* libcap refuses an empty list */
        result = cap_set_flag(wanted, CAP_PERMITTED, (int)count, list, CAP_SET);
    if (result == 0 && count > 0)
        result = cap_set_flag(wanted, CAP_EFFECTIVE, (int)count, list, CAP_SET);
    if (result == 0)
        result = cap_set_proc(wanted);
    cap_free(wanted);
    return result == 0 || sandbox_fail(failure, "capabilities");
}

static bool has(cap_t own, int capability)
{
    cap_flag_value_t value = CAP_CLEAR;

    return cap_get_flag(own, capability, CAP_PERMITTED, &value) == 0 && value == CAP_SET;
}

/* As many of them as this process has. */
static bool keep_of(const int *list, unsigned count, struct failure *failure)
{
    int kept[64];
    unsigned kept_count = 0;
    cap_t own = cap_get_proc();

    if (own == NULL)
        return sandbox_fail(failure, "capabilities");
    for (unsigned i = 0; i < count && kept_count < 64; i++)
        if (has(own, list[i]))
            kept[kept_count++] = list[i];
    cap_free(own);
    return set_capabilities(kept, kept_count, failure);
}

bool sandbox_check_capabilities(struct failure *failure)
{
    cap_t own = cap_get_proc();
    bool complete = own != NULL;

    for (unsigned i = 0; complete && i < sandbox_datapath.capability_count; i++) {
        cap_flag_value_t value = CAP_CLEAR;
        cap_get_flag(own, sandbox_datapath.capabilities[i], CAP_EFFECTIVE, &value);
        complete = value == CAP_SET;
    }
    if (own != NULL)
        cap_free(own);
    return complete ||
           failure_set(failure,
                       "needs the capabilities CAP_NET_ADMIN and CAP_NET_RAW: start it as root");
}

/* ---- all of it ---- */

static bool no_new_privileges(struct failure *failure)
{
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 || sandbox_fail(failure, "no_new_privs");
}

bool sandbox_enter(const struct sandbox_profile *profile, int *listener, struct failure *failure)
{
    return no_new_privileges(failure) && sandbox_landlock(profile, failure) &&
           set_capabilities(profile->capabilities, profile->capability_count, failure) &&
           sandbox_limit_calls(profile, listener, failure);
}

/* Without new privileges a tool gets at most what the helper has, root's or not. */
bool sandbox_enter_helper(const struct sandbox_profile *profile, sandbox_folders *folders,
                          const void *config, struct failure *failure)
{
    return no_new_privileges(failure) &&
           sandbox_landlock_helper(profile, folders, config, failure) &&
           keep_of(profile->helper_capabilities, profile->helper_capability_count, failure) &&
           sandbox_limit_helper_calls(failure);
}
