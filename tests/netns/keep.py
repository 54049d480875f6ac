#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Keeps what a failed test leaves: with CAUSEWAY_TEST_KEEP=1 (test.sh --keep) a test run ends at its
first failure, at once and without clearing up. Namespaces, daemons and their directories stay; the
clients and servers of the test go, being a part of its process.

keep.py             lists what is kept
keep.py --remove    ends the programs and removes it all
"""
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import topology
from netns import Namespace

IS_WANTED = os.environ.get("CAUSEWAY_TEST_KEEP") == "1"


def _directories(thing):
    """Of a tunnel, of a workshop's tunnels, of a DnsWorld."""
    parts = getattr(thing, "made", [thing])
    return [str(part.directory) for part in parts if hasattr(part, "directory")]


def leave(item, report, things):
    """Says what failed and what is kept, and ends the process."""
    item.config.pluginmanager.getplugin("capturemanager").suspend_global_capture(in_=True)
    names = topology.registered()
    directories = [path for thing in things for path in _directories(thing)]
    topology.KEPT.mkdir(exist_ok=True)
    (topology.KEPT / str(os.getpid())).write_text(json.dumps(
        {"test": item.nodeid, "namespaces": names, "directories": directories,
         "programs": {number: command for name in names
                      for number, command in processes(name).items()}}))
    print(f"\nFAILED {item.nodeid}\n{report.longreprtext}")
    for title, text in report.sections:
        print(f"---- {title}\n{text}")
    show(topology.KEPT / str(os.getpid()))
    sys.stdout.flush()
    os._exit(1)  # pylint: disable=protected-access


def command_of(number):
    """A process's command line, or nothing."""
    path = Path(f"/proc/{number}/cmdline")
    return path.read_text().replace("\0", " ").strip() if path.exists() else ""


def processes(namespace):
    """{number: command line} of a namespace."""
    listing = subprocess.run(["ip", "netns", "pids", namespace], capture_output=True, text=True,
                             check=False).stdout.split()
    return {int(number): command_of(number) for number in listing if int(number) != os.getpid()}


def show(path):
    kept = json.loads(path.read_text())
    print(f"kept of {kept['test']}:")
    for name in kept["namespaces"]:
        print(f"  ip netns exec {name} bash")
        for number, command in processes(name).items():
            print(f"      {number} {command}")
    for directory in kept["directories"]:
        print(f"  {directory}")
    print("tests/netns/keep.py --remove removes it")


def remove(path):
    kept = json.loads(path.read_text())
    # Those that were there, whatever has become of their namespaces, and those that came since.
    running = [int(number) for number, command in kept["programs"].items()
               if command and command_of(number) == command]
    for number in {*running, *(n for name in kept["namespaces"] for n in processes(name))}:
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    for name in kept["namespaces"]:
        Namespace(name).remove()
    for directory in kept["directories"]:
        shutil.rmtree(directory, ignore_errors=True)
    path.unlink()


def main(arguments):
    if arguments not in ([], ["--remove"]):
        sys.exit(__doc__)
    for path in sorted(topology.KEPT.glob("*")):
        (remove if arguments else show)(path)


if __name__ == "__main__":
    main(sys.argv[1:])
