# SPDX-License-Identifier: Apache-2.0
"""What an enclave guest needs beside the ordinary for a real dockerd in it (inside/test_docker.py)."""
import shutil
from pathlib import Path

import image

# Debian's docker.io and what tests/docker/dockerd.py keeps it apart with; an XFS for disk quotas; what
# kernel-config/check is made of.
PROGRAMS = ("dockerd", "docker", "docker-init", "containerd", "containerd-shim-runc-v2", "runc",
            "nsenter", "unshare", "tar", "mkfs.xfs", "losetup", "umount", "truncate",
            "head", "od", "tr", "zcat", "gzip", "sha256sum", "mktemp")
CHECK = "kernel-config/check"
# The root is the kernel's initramfs itself, from which pivot_root is impossible.
ENVIRONMENT = {"DOCKER_RAMDISK": "1"}


def missing():
    return [name for name in PROGRAMS if shutil.which(name, path=image.PATH) is None]


def add(archive):
    for name in PROGRAMS:
        archive.program(Path(shutil.which(name, path=image.PATH)))
    archive.copy(image.ROOT / CHECK, f"/project/{CHECK}")
