# SPDX-License-Identifier: Apache-2.0
"""The tunnel over a real AF_VSOCK, on the kernel that Debian ships: namespace tests inside a guest.

This side of it boots QEMU (software emulation: KVM is not asked for) with an initramfs that holds
the daemons, programs of this machine, Python, and the tests. They run inside, against daemons that
talk through vsock's loopback transport. The host's own vsock is never opened.
"""
import tempfile

import image
import pytest
from checks import (BUILD, Run, remove_images, skip_unless_possible,  # noqa: F401
                    test_guests_boot_and_end, test_in_guest, working_directory)
from kernel import Unavailable, debian_kernel
from machine import Q35, Machine

# Until the guest must have ended: several times what it takes on two busy cores. Never a
# measurement.
PATIENCE = 1800  # a busy machine, an emulated processor; a guest that hangs is ended

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


@pytest.fixture(scope="module")
def guests(tmp_path_factory):
    """The guest, after its run."""
    skip_unless_possible()
    try:
        kernel = debian_kernel()
    except Unavailable as problem:
        pytest.skip(str(problem))
    directory = working_directory(tmp_path_factory, "loopback")
    initramfs = directory / "initramfs"
    with tempfile.TemporaryDirectory() as staged:
        image.stage(staged)
        image.make(initramfs, kernel, BUILD, staged,
                   image.pytest_content(("vsock_loopback",), SELECTION))
    machine = Machine(Q35, kernel.image, initramfs, directory)
    try:
        machine.wait(PATIENCE)
    finally:
        machine.end()
        remove_images(initramfs)
    return Run([machine])
