# SPDX-License-Identifier: Apache-2.0
"""What package.sh makes, made once for all tests of the same source and kept in the build directory."""
import contextlib
import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path

from system import BUILD, ROOT


def _source_hash():
    """Changes with any file that goes into the packages; tests do not."""
    listing = subprocess.run(["git", "ls-files", "-z", "--cached", "--others",
                              "--exclude-standard"], cwd=ROOT, capture_output=True, check=False)
    if listing.returncode == 0:
        names = listing.stdout.decode().split("\0")
    else:
        names = [str(path.relative_to(ROOT)) for path in ROOT.rglob("*")]
    digest = hashlib.sha256()
    for name in sorted(set(names)):
        path = ROOT / name
        own = name.startswith(("tests/", "build", "packages/")) and name.count("/") > 1
        if name and not own and path.is_file():
            digest.update(name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


@contextlib.contextmanager
def _locked(path):
    with open(path, "w", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def made(kind, *arguments):
    """The directory with what `package.sh KIND` makes of this source."""
    directory = BUILD / "packages"
    directory.mkdir(parents=True, exist_ok=True)
    wanted = directory / f"{kind}-{_source_hash()}"
    with _locked(directory / f"{kind}.lock"):
        if not wanted.is_dir():
            for old in directory.glob(f"{kind}-*"):
                shutil.rmtree(old)
            new = Path(f"{wanted}.new")
            done = subprocess.run([ROOT / "package.sh", kind, new, *arguments],
                                  capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
            new.rename(wanted)
    return wanted
