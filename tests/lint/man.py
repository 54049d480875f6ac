#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""man.py PROGRAM PAGE: the manual page is clean, and documents every option of --help and no other.

Exit status 77: mandoc is not installed.
"""
import re
import shutil
import subprocess
import sys


def main():
    program, page = sys.argv[1:]
    if not shutil.which("mandoc"):
        print("mandoc is not installed")
        return 77
    failures = []
    # References to pages of other packages cannot be looked up on every machine.
    lint = subprocess.run(["mandoc", "-Tlint", "-Wwarning", page], capture_output=True, text=True,
                          check=False)
    failures += lint.stdout.splitlines() + lint.stderr.splitlines()
    shown = subprocess.run([program, "--help"], capture_output=True, text=True, check=True).stdout
    offered = set(re.findall(r"^  --([a-z0-9-]+)", shown, re.M))
    with open(page, encoding="utf-8") as file:
        documented = set(re.findall(r"^\.It Fl -([a-z0-9-]+)", file.read(), re.M))
    failures += [f"--{name} is not in {page}" for name in sorted(offered - documented)]
    failures += [f"{page} has --{name}, the program does not" for name in
                 sorted(documented - offered)]
    if not offered:
        failures.append("--help shows no option")
    print("\n".join(failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
