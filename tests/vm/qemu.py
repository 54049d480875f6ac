# SPDX-License-Identifier: Apache-2.0
"""A QEMU with the nitro-enclave machine, which came with 9.2: the installed one if it has it, else
one that is built from the source in Debian's backports.

  CACHE/qemu_VERSION_HASH/     qemu-system-x86_64; HASH is of the options and of the compiler

The backports are asked for through apt with lists of its own, so this system's choice of packages
stays as it is. meson (newer than Debian 12's) and a Python module that QEMU's configure insists on
come from there too, unpacked and not installed. Only the upstream tarball is taken of the source
package; apt checks it against the signed list. Firmware is the installed QEMU's.
"""
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from cache import Unavailable, cache_directory, install, lock, require
from machine import QEMU

MACHINE = "nitro-enclave"
FIRMWARE = ("-L", "/usr/share/qemu", "-L", "/usr/share/seabios")
BACKPORTS = """Types: deb deb-src
URIs: {uri}
Suites: {suite}-backports
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""
URI = "http://deb.debian.org/debian"
TOOLS = ("apt-get", "apt-cache", "dpkg-deb", "tar", "xz", "cc", "ninja", "pkg-config")
LIBRARIES = ("glib-2.0", "gnutls", "libcbor", "zlib")
LIBFDT = Path("/usr/include/libfdt.h")  # has no pkg-config file
PYTHON_PACKAGES = ("meson", "python3-pycotap")
OPTIONS = ("--python=/usr/bin/python3", "--target-list=x86_64-softmmu",
           "--without-default-features", "--disable-install-blobs", "--disable-debug-info",
           "--enable-system", "--enable-tcg", "--enable-fdt=system", "--enable-vhost-user",
           "--enable-gnutls", "--enable-libcbor")


def has_machine(program):
    listing = subprocess.run([program, "-M", "help"], capture_output=True, text=True, check=False)
    return any(line.split()[:1] == [MACHINE] for line in listing.stdout.splitlines())


def nitro_qemu():
    """The program; Unavailable, with a reason, if it can neither be found nor built."""
    if shutil.which(QEMU) and has_machine(QEMU):
        return QEMU
    built = sorted(cache_directory().glob(f"qemu_*_{_digest()}/{QEMU}"))
    if built:
        return str(built[-1])
    require(TOOLS)
    missing = [name for name in LIBRARIES if subprocess.run(
        ["pkg-config", "--exists", name], check=False).returncode != 0]
    missing += [] if LIBFDT.exists() else ["libfdt"]
    if missing:
        raise Unavailable(f"no development files of {', '.join(missing)}")
    with tempfile.TemporaryDirectory(dir=cache_directory()) as work:
        apt = _Apt(Path(work))
        cached = cache_directory() / f"qemu_{apt.version()}_{_digest()}"
        with lock(cached):
            if not cached.exists():
                _build(apt, Path(work), cached)
    return str(cached / QEMU)


def _digest():
    require(("cc",))
    compiler = subprocess.run(["cc", "--version"], capture_output=True, text=True, check=True)
    return hashlib.sha256(" ".join((compiler.stdout, *OPTIONS)).encode()).hexdigest()[:16]


class _Apt:
    """apt with the backports as its only source, in a directory of its own."""

    def __init__(self, work):
        self.work = work
        suite = re.search(r"^VERSION_CODENAME=(\S+)", Path("/etc/os-release").read_text(), re.M)
        if not suite:
            raise Unavailable("this is no Debian release with backports")
        for name in ("sources", "lists/partial", "archives/partial"):
            (work / name).mkdir(parents=True)
        (work / "sources/backports.sources").write_text(
            BACKPORTS.format(uri=URI, suite=suite.group(1)))
        self._options = [word for option in (
            "Dir::Etc::sourcelist=/dev/null", f"Dir::Etc::sourceparts={work}/sources",
            f"Dir::State::lists={work}/lists", f"Dir::Cache={work}",
            "APT::Sandbox::User=root") for word in ("-o", option)]
        self._suite = f"{suite.group(1)}-backports"
        self.run("apt-get", "update")

    def run(self, program, *arguments):
        done = subprocess.run([program, *self._options, *arguments], cwd=self.work,
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Unavailable(f"{program} {' '.join(arguments)}: {done.stderr.strip()[-300:]}")
        return done.stdout

    def version(self):
        found = re.findall(r"^Version: (\S+)$", self.run("apt-cache", "showsrc", "qemu"), re.M)
        if not found:
            raise Unavailable(f"apt finds no source of QEMU in {self._suite}")
        return found[-1]

    def source(self):
        """QEMU's source directory, unpacked."""
        self.run("apt-get", "source", "--tar-only", "--download-only", "qemu")
        archive = next(self.work.glob("qemu_*.orig.tar.xz"))
        (self.work / "source").mkdir()
        subprocess.run(["tar", "-C", self.work / "source", "--strip-components=1", "-xf", archive],
                       check=True)
        return self.work / "source"

    def python_path(self):
        """A directory with the Python packages, for PYTHONPATH."""
        for package in PYTHON_PACKAGES:
            self.run("apt-get", "download", f"{package}/{self._suite}")
            archive = next(self.work.glob(f"{package}_*.deb"))
            subprocess.run(["dpkg-deb", "-x", archive, self.work / "python"], check=True)
        return self.work / "python/usr/lib/python3/dist-packages"


def _build(apt, work, cached):
    source, build, made = apt.source(), work / "build", work / "made"
    # The firmware images that Debian leaves out of the tarball are looked for even if they are not
    # to be installed, wherever there is a bzip2 to unpack them.
    file = source / "meson.build"
    file.write_text(file.read_text().replace("unpack_edk2_blobs = bzip2.found()",
                                             "unpack_edk2_blobs = false"))
    build.mkdir()
    made.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(apt.python_path())}
    for command in ([source / "configure", *OPTIONS], ["ninja", QEMU]):
        done = subprocess.run(command, cwd=build, env=environment, capture_output=True, text=True,
                              check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{command[0]} failed:\n{(done.stdout + done.stderr)[-4000:]}")
    if not has_machine(build / QEMU):
        raise RuntimeError(f"QEMU was built without {MACHINE}")
    shutil.copy(build / QEMU, made / QEMU)
    install(made, cached)


if __name__ == "__main__":
    print(nitro_qemu())
