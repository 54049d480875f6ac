# SPDX-License-Identifier: Apache-2.0
"""Debian's packaged cloud kernel: downloaded with apt, unpacked into the cache outside the tree.

CACHE/PACKAGE_VERSION/ holds the package's files and a depmod index.
"""
import re
import subprocess
import tempfile
from pathlib import Path

from cache import Unavailable, cache_directory, install, require

META_PACKAGE = "linux-image-cloud-amd64"
# What the daemons and the tests may ask the kernel for; dependencies come along by themselves.
MODULE_PLACES = ("kernel/net", "kernel/drivers/net/veth.ko", "kernel/drivers/net/dummy.ko",
                 "kernel/drivers/net/tun.ko", "kernel/drivers/net/net_failover.ko",
                 "kernel/drivers/net/virtio_net.ko", "kernel/drivers/virtio",
                 "kernel/drivers/vhost", "kernel/fs/overlayfs")


def _run(command, cwd=None):
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def _candidate():
    """Name and version of the package that the meta package stands for."""
    shown = _run(["apt-cache", "show", "--no-all-versions", META_PACKAGE])
    found = re.search(r"^Depends: (linux-image-\S+-cloud-amd64) \(= (\S+)\)", shown.stdout, re.M)
    if not found:
        raise Unavailable(f"apt knows no {META_PACKAGE}")
    return found.groups()


def _download(package, version, directory):
    command = ["apt-get", "download", "-o", "APT::Sandbox::User=root", f"{package}={version}"]
    done = _run(command, directory)
    if done.returncode != 0:
        raise Unavailable(f"{package} {version} cannot be downloaded: {done.stderr.strip()[-300:]}")
    return next(directory.glob("*.deb"))


class Kernel:
    """An unpacked kernel package."""

    def __init__(self, directory):
        self.directory = directory
        self.image = next((directory / "boot").glob("vmlinuz-*"))
        self.release = self.image.name.removeprefix("vmlinuz-")
        self.modules = directory / "lib/modules" / self.release

    def add_modules(self, archive):
        """Puts the modules of MODULE_PLACES, what they need, and the index into an archive."""
        needs = {}
        for line in (self.modules / "modules.dep").read_text().splitlines():
            module, _, others = line.partition(":")
            needs[module] = others.split()
        for module in needs:
            if module.startswith(MODULE_PLACES):
                for each in (module, *needs[module]):
                    archive.copy(self.modules / each, f"/lib/modules/{self.release}/{each}")
        for index in self.modules.glob("modules.*"):
            archive.copy(index, f"/lib/modules/{self.release}/{index.name}")


def debian_kernel():
    """The kernel, from the cache or from Debian; Unavailable if neither."""
    require(("apt-cache", "apt-get", "dpkg-deb", "depmod"))
    package, version = _candidate()
    cached = cache_directory() / f"{package}_{version}"
    if not cached.exists():
        with tempfile.TemporaryDirectory(dir=cache_directory()) as work:
            work = Path(work)
            unpacked = work / "unpacked"
            subprocess.run(["dpkg-deb", "-x", _download(package, version, work), unpacked],
                           check=True)
            release = next((unpacked / "lib/modules").iterdir()).name
            subprocess.run(["depmod", "-b", unpacked, release], check=True)
            install(unpacked, cached)
    return Kernel(cached)
