# SPDX-License-Identifier: Apache-2.0
"""The system that is booted: a small Debian with systemd, made once by mmdebstrap or debootstrap and
kept in the cache. What a test changes goes into an overlay on top of it."""
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from cache import Unavailable, cache_directory, install, lock, require

MIRROR = os.environ.get("CAUSEWAY_DEBIAN_MIRROR", "http://deb.debian.org/debian")

# What any host has that is not an empty container, and what the tests look with.
HOST = ("systemd", "systemd-sysv", "dbus", "adduser", "iproute2", "iptables", "nftables",
        "iputils-ping", "procps", "curl", "man-db", "python3-minimal")
# The libraries of the packages under test: apt then installs them without a network.
LIBRARIES = {
    "bookworm": ("libcap2", "libjson-c5", "liburing2", "libmicrohttpd12", "libmnl0",
                 "libnetfilter-queue1", "libpcap0.8", "libseccomp2", "libssl3"),
    "trixie": ("libcap2", "libjson-c5", "liburing2", "libmicrohttpd12t64", "libmnl0",
               "libnetfilter-queue1", "libpcap0.8t64", "libseccomp2", "libssl3t64"),
}


def _command(suite, packages, directory):
    include = f"--include={','.join(packages)}"
    if shutil.which("mmdebstrap"):  # several times faster: it does not wait for the disk
        return ["mmdebstrap", "--mode=root", "--variant=minbase", include, suite, directory, MIRROR]
    return ["debootstrap", "--variant=minbase", include, suite, directory, MIRROR]


def root_file_system(suite):
    """The directory with the suite's root file system; Unavailable says why there is none."""
    packages = HOST + LIBRARIES[suite]
    name = hashlib.sha256(" ".join((MIRROR, suite) + packages).encode()).hexdigest()[:12]
    cached = cache_directory() / f"debian-{suite}-{name}"
    with lock(cached):
        if not cached.is_dir():
            if not shutil.which("mmdebstrap"):
                require(["debootstrap"])
            made = Path(f"{cached}.new")
            shutil.rmtree(made, ignore_errors=True)
            done = subprocess.run(_command(suite, packages, made), capture_output=True, text=True,
                                  check=False)
            if done.returncode != 0:
                shutil.rmtree(made, ignore_errors=True)
                raise Unavailable(f"no root file system of {suite}: "
                                  + (done.stderr or done.stdout).strip().splitlines()[-1])
            install(made, cached)
    return cached
