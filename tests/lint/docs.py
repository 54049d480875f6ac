#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs.py PROGRAM...: what the documentation names is there.

In every Markdown file: relative links lead to a file of the tree and to a heading in it; paths into
this tree exist; options that are written --so are offered by --help of one of the programs (those
given, and the scripts of this tree), or belong to the programs of others listed below; and every
command line of a daemon in a block of code is one that the daemon accepts. In manual pages:
these, and references to pages of causeway.
"""
import re
import shlex
import subprocess
import sys

from lint import ROOT, files, lines
from man import offered_by

SCRIPTS = ("test.sh", "package.sh", "bench/agent", "bench/run", "kernel-config/check",
           "kernel-config/merge", "parent/launch-parent.sh")
# Of vsock_switch, of the tests' own pytest options, and of tests/netns/keep.py.
OWN = {"docker-forms", "forms", "guest", "remove"}
FOREIGN = {
    "aws": {"enclave-options", "http-endpoint", "http-put-response-hop-limit", "instance-id"},
    "bench, meson": {"build"},
    "docker": {"build-arg", "ipv6", "opt", "storage-opt", "subnet"},
    "eif_build": {"arch", "cmdline", "kernel", "kernel_config", "name", "output", "ramdisk",
                  "version"},
    "nitro-cli": {"cpu-count", "debug-mode", "docker-uri", "eif-path", "enclave-cid", "enclave-id",
                  "memory", "output-file"},
    "gdb": {"args"},
    "iptables": {"queue-balance", "queue-bypass", "to-destination"},
    "meson": {"suite", "werror"},
    "pytest": {"pdb"},
    "ss": {"vsock"},
    "systemctl": {"now"},
}

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
OPTION = re.compile(r"(?<![\w-])--([a-z][a-z0-9_]*(?:-[a-z0-9_]+)*)(?![\w-])")
COMMAND = re.compile(r"(?:\$ )?(?:sudo )?(causeway-(?:enclave|parent|dns|launch-parent start)) +"
                     r"(--[^|>]*)$")
# What stands for other options, is a file that is not here, or belongs to the launch script.
PLACEHOLDER = re.compile(r"\.\.\.|--config|--help|--version")
LAUNCH = re.compile(r"--(?:manager|resolver) \S+")
MANUAL = re.compile(r"^\.Xr (causeway\S*) (\d)")


def anchors(path):
    """Headings as GitHub names them."""
    found = set()
    for _, line in lines(path):
        heading = re.match(r"#+ (.*)", line)
        if heading:
            words = re.sub(r"[^\w\s-]", "", heading.group(1).lower())
            found.add(words.replace(" ", "-"))
    return found


def broken_links(path, line):
    for target in LINK.findall(line):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        there = (path.parent / name).resolve() if name else path
        if not there.exists():
            yield f"no such file: {target}"
        elif anchor and anchor not in anchors(there):
            yield f"no such heading: {target}"


def missing_paths(line, folders):
    pattern = rf"(?<![\w./~-])((?:{'|'.join(folders)})/[\w.*/-]*[\w*]|\./[\w-]+\.sh)"
    for named in re.findall(pattern, line):
        # A program in C is named without its ending, and so is a file with its header.
        if not any(any(ROOT.glob(named.removeprefix("./") + ending)) for ending in ("", ".c", ".h")):
            yield f"no such file: {named}"


def check_markdown(offered, programs):
    folders = sorted({path.relative_to(ROOT).parts[0] for path in files()
                      if path.parent != ROOT})
    for path in files(".md"):
        yield from refused_commands(path, programs)
        for number, line in lines(path):
            for what in broken_links(path, line):
                yield path, number, what
            for what in missing_paths(line, folders):
                yield path, number, what
            for option in OPTION.findall(line):
                if option not in offered:
                    yield path, number, f"no program offers --{option}"


def commands(path):
    """Line number, program and arguments of each daemon's command line in blocks of code, which
    in a manual page are not told from text."""
    inside, whole = path.suffix != ".md", ""
    for number, line in lines(path):
        if line.startswith("```"):
            inside, whole = not inside, ""
            continue
        whole += line.removeprefix(".Dl ").replace("\\e", "\\")
        if inside and whole.endswith("\\"):
            whole = whole[:-1]
            continue
        found = COMMAND.match(whole) if inside else None
        whole = ""
        if found and not PLACEHOLDER.search(found.group(2)):
            yield number, found.group(1), found.group(2)


def refused_commands(path, programs):
    for number, name, arguments in commands(path):
        if name == "causeway-launch-parent start":
            name, arguments = "causeway-parent", LAUNCH.sub("", arguments)
        program = next(p for p in programs if p.endswith(name))
        words = shlex.split(re.sub(r"\s#.*", "", arguments))
        done = subprocess.run([program, *words, "--print-config"], capture_output=True, text=True,
                              check=False)
        if done.returncode != 0:
            yield path, number, done.stderr.strip()


def check_manual(programs):
    pages = {path.name for path in (ROOT / "docs/man").iterdir()}
    for path in sorted((ROOT / "docs/man").glob("*.[58]")):
        yield from refused_commands(path, programs)
        for number, line in lines(path):
            found = MANUAL.match(line)
            if found and ".".join(found.groups()) not in pages:
                yield path, number, f"no such page: {found.group(1)}({found.group(2)})"


def main():
    scripts = [ROOT / name for name in SCRIPTS]
    offered = offered_by([*sys.argv[1:], *scripts])[0] | OWN | set().union(*FOREIGN.values())
    used = {option for path in files(".md") for _, line in lines(path)
            for option in OPTION.findall(line)}
    failures = [f"{path.relative_to(ROOT)}:{number}: {what}" for check in
                (check_markdown(offered, sys.argv[1:]), check_manual(sys.argv[1:])) for path, number, what in check]
    failures += [f"{__file__}: no document names --{option}: remove it here" for option in
                 sorted((OWN | set().union(*FOREIGN.values())) - used)]
    print("\n".join(failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
