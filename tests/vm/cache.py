# SPDX-License-Identifier: Apache-2.0
"""What takes long to make, or is downloaded, is kept outside the tree in
${XDG_CACHE_HOME:-/var/cache}/causeway, under names that change with the content.

A thing is made under another name and renamed into place last: whatever has its name is complete.
"""
import contextlib
import fcntl
import os
import shutil
from pathlib import Path


class Unavailable(Exception):
    """Something cannot be had here: a reason to skip."""


def cache_directory():
    made = Path(os.environ.get("XDG_CACHE_HOME") or "/var/cache") / "causeway"
    made.mkdir(parents=True, exist_ok=True)
    return made


def require(tools):
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        raise Unavailable(f"not installed: {', '.join(missing)}")


def install(made, cached):
    """Renames what is finished into the cache; somebody else's that is there is as good."""
    try:
        made.rename(cached)
    except OSError:
        if not cached.exists():
            raise


@contextlib.contextmanager
def lock(cached):
    """One at a time makes a thing: others wait for it instead of making it again."""
    with open(f"{cached}.lock", "w", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
