# SPDX-License-Identifier: Apache-2.0
"""The enclave as an enclave image (EIF) on QEMU's emulation of a Nitro enclave: Firecracker's kind of
machine without ACPI and PCI, one file that holds kernel, command line and ramdisk, and a heartbeat
that the parent answers. The kernel is AWS's configuration with kernel-config/ (enclave_kernel.py).

The ramdisk's init is the tests' own (inside/init and inside/agent.py). AWS's is not in Debian, and
would do two things more that no test here looks at: load the driver of the security module, and
change its root. What it says to the parent, ours says too.
"""
import eif
import pair
import pytest
from cache import Unavailable
from checks import (skip_unless_possible, test_guests_boot_and_end, test_in_guest,  # noqa: F401
                    working_directory)
from enclave_kernel import enclave_kernel
from kernel import debian_kernel
from machine import COMMAND_LINE, Board
from qemu import FIRMWARE, MACHINE, nitro_qemu

FORMS = "nfqueue-4,packet-1"
SELECTION = pair.selection(FORMS, is_image=True)


def nitro_enclave(program):
    return Board(f"{MACHINE},vsock=vsock,id=causeway", shares_memory=True, is_image=True,
                 options=FIRMWARE, has_reports=False, qemu=program)


@pytest.fixture(scope="module")
def guests(tmp_path_factory):
    """Both guests, after their run."""
    skip_unless_possible(*pair.PROGRAMS)
    try:
        program = nitro_qemu()
        kernel, _ = enclave_kernel()
        parent_kernel = debian_kernel()
    except Unavailable as problem:
        pytest.skip(str(problem))
    enclave = pair.Enclave(nitro_enclave(program), kernel, environment={"HEARTBEAT": "yes"},
                           command_line=f"{COMMAND_LINE} pci=off", pack=eif.write)
    return pair.run(working_directory(tmp_path_factory, "nitro"), parent_kernel, enclave,
                    SELECTION)
