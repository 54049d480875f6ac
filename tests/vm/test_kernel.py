# SPDX-License-Identifier: Apache-2.0
"""The pair of guests again (test_pair.py), with the kernel that kernel-config/ makes in the enclave,
on Firecracker's kind of machine: iptables-legacy, NFQUEUE, and a real dockerd with containers.

The first run builds the kernel; see enclave_kernel.py for its base.
"""
import re

import docker_content
import image
import pair
import pytest
from cache import Unavailable
from checks import (skip_unless_possible, test_guests_boot_and_end, test_in_guest,  # noqa: F401
                    working_directory)
from enclave_kernel import enclave_kernel
from kernel import debian_kernel
from machine import MICROVM_WITHOUT_ACPI

FORMS = "nfqueue-2"
SELECTION = [*pair.selection(FORMS), f"{image.TESTS}/test_docker.py"]


@pytest.fixture(scope="module")
def guests(request, tmp_path_factory):
    """Both guests, after their run."""
    skip_unless_possible(*pair.PROGRAMS)
    if docker_content.missing():
        pytest.skip(f"not installed: {', '.join(docker_content.missing())}")
    try:
        parent_kernel = debian_kernel()
        kernel, base = enclave_kernel()
    except Unavailable as problem:
        pytest.skip(str(problem))
    enclave = pair.Enclave(MICROVM_WITHOUT_ACPI, kernel, "2G", environment=docker_content.ENVIRONMENT,
                           additions=(docker_content.add,))
    run = pair.run(working_directory(tmp_path_factory, "vm-kernel"), parent_kernel, enclave,
                   SELECTION)
    booted = re.search(r"^init: .* up since (\S+) s", run.machines[1].console(), re.M)
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\nThe enclave's kernel: {base} with kernel-config/, {kernel.image.stat().st_size} bytes, "
              f"built in {kernel.seconds:.0f} s, {booted.group(1) if booted else 'not'} s to its init")
    return run
