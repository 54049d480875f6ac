# SPDX-License-Identifier: Apache-2.0
"""Parent and enclave as two guests with Debian's kernel, over virtio-vsock with real CIDs."""
import pair
import pytest
from checks import (skip_unless_possible, test_guests_boot_and_end, test_in_guest,  # noqa: F401
                    working_directory)
from kernel import Unavailable, debian_kernel
from machine import Q35

FORMS = "nfqueue-4"  # the other capture is tested on the loopback
SELECTION = pair.selection(FORMS)


@pytest.fixture(scope="module")
def guests(tmp_path_factory):
    """Both guests, after their run."""
    skip_unless_possible(*pair.PROGRAMS)
    try:
        kernel = debian_kernel()
    except Unavailable as problem:
        pytest.skip(str(problem))
    return pair.run(working_directory(tmp_path_factory, "pair"), kernel,
                    pair.Enclave(Q35, kernel), SELECTION)
