#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Builds causeway and runs its tests, side by side. The last line counts them all:
"N passed, N failed, N skipped"."""
import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True

from plan import plan  # noqa: E402  pylint: disable=wrong-import-position
from results import Memory, closing_line  # noqa: E402  pylint: disable=wrong-import-position
from schedule import Schedule  # noqa: E402  pylint: disable=wrong-import-position

ROOT = Path(__file__).resolve().parents[2]
RESULTS = "test-results"  # in the build directory
SLOWEST = 5
GUESTS = {"vm": "Debian's kernel in QEMU, real vsock (a part of every run that is not --quick)",
          "vm-kernel": "the enclave's guest with the kernel that kernel-config/ makes and a real "
                       "dockerd in it; the first time that kernel is built",
          "vm-nitro": "the enclave image on QEMU's nitro-enclave machine; the first time that QEMU "
                      "and a kernel are built"}


class Options(argparse.Namespace):
    """What was asked for, and what jobs need to know of the run."""
    root = ROOT
    directory = memory = None

    def open_results(self):
        self.directory = ROOT / self.build / RESULTS
        self.directory.mkdir(parents=True, exist_ok=True)
        self.memory = Memory(self.directory / "last.json")


def options():
    parser = argparse.ArgumentParser(prog="test.sh", description=__doc__, allow_abbrev=False)
    parts = parser.add_argument_group("what to run (everything but --bench, unless one is given)")
    parts.add_argument("--quick", action="store_true",
                       help="one build, unit tests, fuzz corpora and one form of the tunnel")
    parts.add_argument("--unit", action="store_true",
                       help="one build, unit tests, fuzz corpora and lint; does not need root")
    for name, text in GUESTS.items():
        parts.add_argument(f"--{name}", action="append_const", dest="guests", const=name,
                           help=f"nothing but the guests: {text}")
    parts.add_argument("--systemd", action="store_true",
                       help="packages and units in a booted Debian (not a part of every run)")
    parts.add_argument("--docker", action="store_true",
                       help="containers with every firewall tool and every way of capturing (every "
                            "run has each of them once, not each pair)")
    parts.add_argument("--coverage", action="store_true",
                       help="unit, fuzz and namespace tests of a build that counts lines (gcovr)")
    parts.add_argument("--tsan", action="store_true",
                       help="unit and namespace tests of a build with ThreadSanitizer (clang)")
    parts.add_argument("--bench", action="store_true",
                       help="also the quick benchmark; it asserts nothing")
    how = parser.add_argument_group("which of it, and how")
    how.add_argument("--only", metavar="PATTERN", default="",
                     help="only tests whose name contains PATTERN (pytest's -k for namespace tests)")
    how.add_argument("--failed", action="store_true", help="only what failed when it ran last")
    how.add_argument("--keep", action="store_true",
                     help="stop a test file at its first failure, and leave its daemons and "
                          "namespaces as they are (docs/debugging.md)")
    how.add_argument("--jobs", type=int, metavar="N", default=0,
                     help="so many jobs side by side (default: two for each processor)")
    how.add_argument("--build", metavar="DIRECTORY", default="build", help="default: build")
    how.add_argument("--no-install", action="store_true", help="do not install missing packages")
    return parser.parse_args(namespace=Options())


def prepare(run):
    """A sentence if the run is not possible."""
    if os.geteuid() != 0 and not run.unit:
        return ("namespaces and firewall rules need root: sudo ./test.sh. "
                "Without root: ./test.sh --unit")
    built = ROOT / run.build
    if not os.access(built if built.exists() else ROOT, os.W_OK):
        return f"{built} cannot be written to; --build names another directory"
    if os.geteuid() == 0 and not run.no_install:
        marks = ["test", *(run.guests or []), *(["coverage"] if run.coverage else [])]
        if subprocess.run([ROOT / "tests/install-packages.sh", *marks], check=False).returncode:
            return "packages could not be installed"
    missing = [name for name in ("meson", "ninja") if not shutil.which(name)]
    return f"not installed: {', '.join(missing)}" if missing else ""


def show(run, outcomes, began):
    """What failed, what took long, and the closing line."""
    print("\n==== result")
    for job, outcome in outcomes.items():
        for name in outcome.failed:
            print(f"FAILED {job}: {name}")
            print("".join(f"    {line}\n" for line in outcome.reasons.get(name, "").splitlines()), end="")
        if outcome.broken:
            print(f"FAILED {job}: {outcome.broken}")
    slowest = sorted(outcomes, key=lambda job: -outcomes[job].seconds)[:SLOWEST]
    longest = ", ".join(f"{job} {outcomes[job].seconds:.0f} s" for job in slowest)
    used = sum(outcome.processor for outcome in outcomes.values())
    print(f"{(time.monotonic() - began) / 60:.1f} minutes, {used / 60:.1f} of a processor, "
          f"{run.jobs} jobs side by side; "
          f"the longest: {longest}")
    line, status = closing_line(outcomes.values())
    print(line)
    return status


def main():
    run, began = options(), time.monotonic()
    problem = prepare(run)
    if problem:
        print(f"test.sh: {problem}", file=sys.stderr)
        return 1
    run.jobs = run.jobs or 2 * os.cpu_count()
    run.open_results()
    jobs = plan(run)
    if run.failed and not jobs:
        print("nothing failed when it ran last\n0 passed, 0 failed, 0 skipped")
        return 0
    schedule = Schedule(run, jobs, run.jobs)
    status = show(run, schedule.go(), began)
    return 130 if schedule.interrupted else status


if __name__ == "__main__":
    sys.exit(main())
