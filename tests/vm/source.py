# SPDX-License-Identifier: Apache-2.0
"""Debian's kernel source and kernels that are built from it, in the cache outside the tree.

  CACHE/linux-source-6.1_VERSION/     the unpacked source; never written to again
  CACHE/kernel-HASH/                  image, config, seconds: HASH is of everything that decides them

A directory with such a name is complete: it is renamed into place last.
"""
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from cache import Unavailable, cache_directory, install, lock, require

ROOT = Path(__file__).resolve().parents[2]
MERGE = ROOT / "kernel-config/merge"
PACKAGE = "linux-source-6.1"
CONFIGURE_TOOLS = ("gcc", "make", "flex", "bison")
BUILD_TOOLS = (*CONFIGURE_TOOLS, "bc", "ld", "perl")
IMAGE = "arch/x86/boot/bzImage"


def _source_version():
    shown = subprocess.run(["apt-cache", "show", "--no-all-versions", PACKAGE],
                           capture_output=True, text=True, check=False)
    found = re.search(r"^Version: (\S+)$", shown.stdout, re.M)
    if not found:
        raise Unavailable(f"apt knows no {PACKAGE}")
    return found.group(1)


def _unpack(version, work, cached):
    command = ["apt-get", "download", "-o", "APT::Sandbox::User=root", f"{PACKAGE}={version}"]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Unavailable(f"{PACKAGE} {version} cannot be downloaded: {done.stderr.strip()[-300:]}")
    subprocess.run(["dpkg-deb", "-x", next(work.glob("*.deb")), work / "package"], check=True)
    archive = work / f"package/usr/src/{PACKAGE}.tar.xz"
    subprocess.run(["tar", "-C", work, "-xf", archive], check=True)
    install(work / PACKAGE, cached)


def kernel_source():
    """The source's directory, from the cache or from Debian; Unavailable if neither."""
    require(("apt-get", "apt-cache", "dpkg-deb", "tar", "xz"))
    version = _source_version()
    cached = cache_directory() / f"{PACKAGE}_{version}"
    with lock(cached):
        if not cached.exists():
            with tempfile.TemporaryDirectory(dir=cache_directory()) as work:
                _unpack(version, Path(work), cached)
    return cached


def make(source, output, *targets, architecture="x86_64"):
    """The kernel's make, with its output elsewhere. Returns what it said."""
    # The names that would go into the image are fixed: equal input, equal image.
    environment = {"PATH": os.environ["PATH"], "LANG": "C", "KBUILD_BUILD_USER": "causeway",
                   "KBUILD_BUILD_HOST": "causeway", "KBUILD_BUILD_TIMESTAMP": "1970-01-01"}
    done = subprocess.run(["make", "-C", source, f"O={output}", f"ARCH={architecture}", *targets],
                          env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"make {' '.join(targets)} failed:\n{(done.stdout + done.stderr)[-4000:]}")
    return done.stdout + done.stderr


def merge(*arguments):
    done = subprocess.run([MERGE, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"merge {' '.join(map(str, arguments))}:\n{done.stdout}{done.stderr}")


def configure(source, output, base, fragments, architecture="x86_64"):
    """A settled .config in output, which holds every line of the fragments. base: a configuration's
    path, or a target of the kernel's make that writes one."""
    require(CONFIGURE_TOOLS)
    settled = Path(output) / ".config"
    if isinstance(base, Path):
        shutil.copy(base, settled)
    else:
        make(source, output, base, architecture=architecture)
    merge(settled, *fragments, "-o", settled)
    make(source, output, "olddefconfig", architecture=architecture)
    merge("--verify", settled, *fragments)
    return settled


def _digest(source, config, compiler):
    digest = hashlib.sha256()
    for part in (source.name, compiler, config.read_text()):
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()[:16]


class BuiltKernel:
    """A kernel without modules of its own. seconds: what its build took."""

    def __init__(self, directory):
        self.directory = directory
        self.image = directory / "image"
        self.config = directory / "config"
        self.seconds = float((directory / "seconds").read_text())

    def add_modules(self, archive):
        """Everything is built in."""


def build(base, fragments):
    """The kernel for a base (see configure()) with fragments, from the cache or built now, which
    takes ten minutes or twenty of two processors."""
    require(BUILD_TOOLS)
    source = kernel_source()
    compiler = subprocess.run(["gcc", "--version"], capture_output=True, text=True, check=True).stdout
    with tempfile.TemporaryDirectory(dir=cache_directory()) as work:
        output, made = Path(work, "output"), Path(work, "made")
        output.mkdir()
        made.mkdir()
        config = configure(source, output, base, fragments)
        cached = cache_directory() / f"kernel-{_digest(source, config, compiler)}"
        with lock(cached):
            if not cached.exists():
                began = time.monotonic()
                make(source, output, f"-j{os.cpu_count()}", "bzImage")
                (made / "seconds").write_text(f"{time.monotonic() - began:.0f}\n")
                shutil.copy(output / IMAGE, made / "image")
                shutil.copy(output / ".config", made / "config")
                install(made, cached)
    return BuiltKernel(cached)
