# SPDX-License-Identifier: Apache-2.0
"""The tunnel over a real AF_VSOCK, on the kernel that Debian ships: namespace tests inside a guest.

This side of it boots QEMU (software emulation: KVM is not asked for) with an initramfs that holds
the daemons, programs of this machine, Python, and the tests. They run inside, against daemons that
talk through vsock's loopback transport; their results come out on a serial line, and each is a
test here. The host's own vsock is never opened.

  CAUSEWAY_BUILD      the build directory that the daemons are taken from (default: build)
  CAUSEWAY_VM_KEEP    a directory to keep console and initramfs in
"""
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

import image  # noqa: E402
from kernel import Unavailable, debian_kernel  # noqa: E402
from machine import QEMU, Machine  # noqa: E402

BUILD = Path(os.environ.get("CAUSEWAY_BUILD", image.ROOT / "build")).resolve()
# Until the guest must have ended: twice what it takes on two busy cores. Never a measurement.
PATIENCE = 900
CONSOLE_BYTES = 3000

# What the guest runs: everything that is about vsock or this kernel, and of the namespace tests a
# part that touches each path once. Emulation is slow: whatever needs neither runs on the host.
FORM = "nfqueue-4"
SELECTION = [f"--forms={FORM}", f"{image.TESTS}/test_vsock.py",
             *(f"{image.TESTS}/{name}" for name in (
                 "test_clients.py::test_ping_sizes", "test_clients.py::test_curl",
                 "test_datagrams.py::test_segmented_sender_keeps_borders",
                 "test_datagrams.py::test_every_size",
                 *(f"test_streams.py::test_bulk[{way}-{version}-{FORM}-both send]"
                   for way in ("out", "in") for version in ("v4", "v6")),
                 "test_streams.py::test_path_mtu"))]


def guest_tests():
    """Names of the tests that the guest is going to run."""
    with tempfile.TemporaryDirectory() as directory:
        image.stage(directory)
        listing = subprocess.run(
            ["/usr/bin/python3", "-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider",
             "-p", "guest", *SELECTION], cwd=directory, check=False, capture_output=True, text=True,
            env={**os.environ, "PYTHONPATH": str(Path(directory) / image.TESTS)})
    names = [line for line in listing.stdout.splitlines() if "::" in line]
    if not names or listing.returncode != 0:
        raise RuntimeError(f"the guest's tests cannot be listed:\n{listing.stdout}{listing.stderr}")
    return names


def short(name):
    return name.removeprefix(f"{image.TESTS}/").replace(".py::", "-")


def pytest_generate_tests(metafunc):
    if "name" in metafunc.fixturenames:
        names = guest_tests()
        metafunc.parametrize("name", names, ids=[short(name) for name in names])


def reason_to_skip():
    missing = [name for name in (QEMU,) if shutil.which(name) is None] + image.missing_programs()
    if missing:
        return f"not installed: {', '.join(missing)}"
    if not (BUILD / "enclave/causeway-enclave").exists():
        return f"no daemons in {BUILD}"
    return None


@pytest.fixture(scope="session")
def guest(tmp_path_factory):
    """The guest, after its run."""
    if reason_to_skip():
        pytest.skip(reason_to_skip())
    try:
        kernel = debian_kernel()
    except Unavailable as problem:
        pytest.skip(str(problem))
    kept = os.environ.get("CAUSEWAY_VM_KEEP")
    directory = Path(kept) if kept else tmp_path_factory.mktemp("guest")
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as staged:
        image.stage(staged)
        image.make(directory / "initramfs", kernel, BUILD, staged, SELECTION)
    machine = Machine(kernel.image, directory / "initramfs", directory)
    try:
        machine.wait(PATIENCE)
    finally:
        machine.end()
        if not kept:
            (directory / "initramfs").unlink()
    return machine


def tail(machine):
    return (f"QEMU: {machine.complaints or 'no complaint'}\n"
            f"the console's end:\n{machine.console()[-CONSOLE_BYTES:]}")


def test_guest_boots_and_ends(guest):
    assert guest.said("collected"), f"no test began. {tail(guest)}"
    assert guest.said("done"), f"the guest did not come to its end. {tail(guest)}"


def test_in_guest(guest, name):
    reports = [message for message in guest.messages if message.get("check") == name]
    assert reports, f"no result came out of the guest. {tail(guest)}"
    for report in reports:  # a tear-down that fails reports a second time
        if report["result"] == "SKIP":
            pytest.skip(report["text"])
        assert report["result"] == "ok", report["text"]
