# SPDX-License-Identifier: Apache-2.0
"""What the depths share on this side: tests run in guests, their results come out on a serial line,
and each is a test here.

A file of tests has SELECTION (what pytest is to run inside) and a fixture `guests`, a Run after its
end, and imports the tests of this file.
"""
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import image
import pytest
from machine import QEMU

BUILD = Path(os.environ.get("CAUSEWAY_BUILD", image.ROOT / "build")).resolve()
KEEP = os.environ.get("CAUSEWAY_VM_KEEP")
CONSOLE_BYTES = 3000


class Run:
    """Guests that were started together; the first one reports the results."""

    def __init__(self, machines, notes=""):
        self.machines = machines
        self.notes = notes

    def messages(self):
        return self.machines[0].messages

    def said(self, word):
        return self.machines[0].said(word)

    def tail(self):
        parts = [self.notes] if self.notes else []
        for machine in self.machines:
            parts += [f"QEMU of {machine.name}: {machine.complaints or 'no complaint'}",
                      f"the end of its console:\n{machine.console()[-CONSOLE_BYTES:]}"]
        return "\n".join(parts)


def listed(selection):
    """Names of the tests that a guest is going to run."""
    with tempfile.TemporaryDirectory() as directory:
        image.stage(directory)
        listing = subprocess.run(
            ["/usr/bin/python3", "-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider",
             "-p", "guest", *selection], cwd=directory, check=False, capture_output=True, text=True,
            env={**os.environ, "PYTHONPATH": str(Path(directory) / image.TESTS)})
    names = [line for line in listing.stdout.splitlines() if "::" in line]
    if not names or listing.returncode != 0:
        raise RuntimeError(f"the guest's tests cannot be listed:\n{listing.stdout}{listing.stderr}")
    return names


def short(name):
    return name.removeprefix(f"{image.TESTS}/").replace(".py::", "-")


def skip_unless_possible(*programs):
    """programs: to be in the guest."""
    missing = [QEMU] if shutil.which(QEMU) is None else []
    missing += image.missing_programs(*programs)
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    if not (BUILD / "enclave/causeway-enclave").exists():
        pytest.skip(f"no daemons in {BUILD}")


def working_directory(tmp_path_factory, name):
    """Where images and consoles go."""
    directory = Path(KEEP) / name if KEEP else tmp_path_factory.mktemp(name)
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def remove_images(*paths):
    """They are large, and of no use after the run; consoles stay as long as pytest keeps them."""
    for path in paths:
        if not KEEP and path.exists():
            path.unlink()


def test_guests_boot_and_end(guests):
    assert guests.said("collected"), f"no test began. {guests.tail()}"
    assert guests.said("done"), f"the guest did not come to its end. {guests.tail()}"


def test_in_guest(guests, name):
    reports = [message for message in guests.messages() if message.get("check") == name]
    assert reports, f"no result came out of the guest. {guests.tail()}"
    for report in reports:  # a tear-down that fails reports a second time
        if report["result"] == "SKIP":
            pytest.skip(report["text"])
        assert report["result"] == "ok", report["text"]
