# SPDX-License-Identifier: Apache-2.0
"""The enclave guest's own kernel: AWS's configuration for enclaves with kernel-config/ on top.

AWS's file is taken from $CAUSEWAY_AWS_CONFIG (a directory; empty: none), or from where it lies beside
this tree. Without it the base is the kernel's own tinyconfig with
kernel-config/base/guest-x86_64.config.
"""
import os
import sys
from pathlib import Path

from source import ROOT, build

# No nftables: as in AWS's kernels, iptables-legacy is what there is.
FRAGMENTS = ("default", "quota")
NAMED = "CAUSEWAY_AWS_CONFIG"
AWS_FILE = "microvm-kernel-config-{}"
GUEST = ROOT / "kernel-config/base/guest-x86_64.config"


def aws_config(architecture):
    """Path of AWS's configuration, or None."""
    name = AWS_FILE.format(architecture)
    if NAMED in os.environ:
        if not os.environ[NAMED]:
            return None
        file = Path(os.environ[NAMED], name)
        if not file.is_file():
            raise RuntimeError(f"{NAMED}: no file {file}")
        return file
    for above in ROOT.parents:
        file = above / "shared" / "data" / "aws-kernel-config" / name
        if file.is_file():
            return file
    return None


def enclave_kernel():
    """The kernel, and the words for what its base is."""
    aws = aws_config("x86_64")
    if aws:
        return build(aws, FRAGMENTS), "AWS's microvm-kernel-config-x86_64"
    return build("tinyconfig", (*FRAGMENTS, str(GUEST))), "tinyconfig and guest-x86_64.config"


def main():
    kernel, base = enclave_kernel()
    print(f"{kernel.image}: {kernel.image.stat().st_size} bytes, from {base}, "
          f"built in {kernel.seconds:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
