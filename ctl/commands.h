/* SPDX-License-Identifier: Apache-2.0 */
/* The commands: argv[0] is the command's name, its options follow. They return main()'s status. */
#ifndef CAUSEWAY_CTL_COMMANDS_H
#define CAUSEWAY_CTL_COMMANDS_H

int ctl_status(int argc, char **argv);
int ctl_top(int argc, char **argv);
int ctl_metrics(int argc, char **argv);
int ctl_capture(int argc, char **argv);
int ctl_change(int argc, char **argv); /* publish, unpublish, allow, disallow */
int ctl_health(int argc, char **argv);
int ctl_check(int argc, char **argv);

#endif
