#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""man.py PAGE PROGRAM...: the manual page is clean, and documents what --help shows, and no more.

A page of section 8 has an item for every option, and for every command of a program that has
commands. A page of section 5 has one for every key, which is every option that a file may hold, and
the names of the programs that take it on the next line.

Exit status 77: mandoc is not installed.
"""
import re
import shutil
import subprocess
import sys

# An option at the start of a line (maybe behind its short form), or in a synopsis.
OPTION = re.compile(r"(?:^  (?:-\w[^,\n]*, )?|\[|\] )--([a-z0-9-]+)", re.M)
COMMAND = re.compile(r"^  ([a-z]+) {2,}\S", re.M)
NOT_IN_FILES = {"check", "config", "dry-run", "help", "print-config", "version"}


def help_of(*command):
    return subprocess.run([*command, "--help"], capture_output=True, text=True, check=True).stdout


def offered_by(programs):
    """Options and commands, as their programs show them."""
    options, commands = set(), set()
    for program in programs:
        text = help_of(program)
        own = set(COMMAND.findall(text)) if "COMMAND --help" in text else set()
        for part in [text] + [help_of(program, command) for command in own]:
            options |= set(OPTION.findall(part))
        commands |= own
    return options, commands


def difference(what, offered, documented):
    return ([f"{what}{name} is not documented" for name in sorted(offered - documented)] +
            [f"{what}{name} is documented, but not offered" for name in
             sorted(documented - offered)])


def check_keys(text, programs):
    offered = {f"{option}: {program.rsplit('causeway-', 1)[1]}" for program in programs
               for option in offered_by([program])[0] - NOT_IN_FILES}
    documented = {f"{key}: {name}" for key, names in
                  re.findall(r"^\.It Cm ([a-z0-9-]+)\n(.*)", text, re.M)
                  for name in re.findall(r"[a-z]+", names)}
    return difference("", offered, documented)


def check_options(page, programs):
    with open(page, encoding="utf-8") as file:
        text = file.read()
    options, commands = offered_by(programs)
    if not options:
        return ["--help shows no option"]
    items = set(re.findall(r"^\.It Cm ([a-z0-9-]+)", text, re.M))
    if page.endswith(".5"):
        return check_keys(text, programs)
    documented = set(re.findall(r"^\.It (?:Fl \w .*?, )?Fl -([a-z0-9-]+)", text, re.M))
    missing = sorted(commands - items)
    return difference("--", options, documented) + [f"no item for {name}" for name in missing]


def main():
    page, *programs = sys.argv[1:]
    if not shutil.which("mandoc"):
        print("mandoc is not installed")
        return 77
    # References to pages of other packages cannot be looked up on every machine.
    lint = subprocess.run(["mandoc", "-Tlint", "-Wwarning", page], capture_output=True, text=True,
                          check=False)
    failures = lint.stdout.splitlines() + lint.stderr.splitlines()
    failures += [f"{page}: {failure}" for failure in check_options(page, programs)]
    print("\n".join(failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
