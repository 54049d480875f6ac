# SPDX-License-Identifier: Apache-2.0
"""The enclave guest's own kernel: AWS's configuration for enclaves with kernel-config/ on top.

AWS's file is looked for in $CAUSEWAY_AWS_CONFIG (a directory), then beside this tree. Without it the
base is the kernel's own tinyconfig with kernel-config/base/guest-x86_64.config.
"""
import os
import sys
from pathlib import Path

from source import ROOT, build

# No nftables: as in AWS's kernels, iptables-legacy is what there is.
FRAGMENTS = ("default", "quota")
AWS_FILE = "microvm-kernel-config-{}"
GUEST = ROOT / "kernel-config/base/guest-x86_64.config"


def aws_config(architecture):
    """Path of AWS's configuration, or None."""
    named = os.environ.get("CAUSEWAY_AWS_CONFIG")
    places = [Path(named)] if named else [
        above / "shared" / "data" / "aws-kernel-config" for above in ROOT.parents]
    for place in places:
        file = place / AWS_FILE.format(architecture)
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
