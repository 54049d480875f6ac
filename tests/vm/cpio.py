# SPDX-License-Identifier: Apache-2.0
"""An initramfs, written as a cpio archive in the "newc" format (linux
Documentation/driver-api/early-userspace/buffer-format.rst), from files of this machine.

Nothing is staged in a directory and nothing is compressed: the kernel copies faster than emulation
inflates. Directories appear as soon as something is put into them.
"""
import os
import re
import stat
import subprocess
from pathlib import Path

TRAILER = "TRAILER!!!"


class Archive:
    def __init__(self, path):
        self._out = open(path, "wb")  # pylint: disable=consider-using-with
        self._names = set()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._entry(TRAILER, 0, b"")
        self._out.close()

    def _entry(self, name, mode, data, device=(0, 0)):
        encoded = name.encode() + b"\0"
        # Inode, mode, uid, gid, links, mtime, size, device, rdev, length of the name, checksum.
        numbers = (len(self._names), mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(encoded), 0)
        header = b"070701" + b"".join(b"%08x" % number for number in numbers)
        self._out.write(self._padded(header + encoded))
        self._out.write(self._padded(data))

    @staticmethod
    def _padded(data):
        return data + b"\0" * (-len(data) % 4)

    def _new(self, name):
        """Registers a path and makes the directories above it; False if it is there already."""
        name = name.strip("/")
        if name in self._names:
            return False
        parent = os.path.dirname(name)
        if parent:
            self.directory(parent)
        self._names.add(name)
        return True

    def directory(self, name, mode=0o755):
        if self._new(name):
            self._entry(name.strip("/"), stat.S_IFDIR | mode, b"")

    def write(self, name, data, mode=0o644):
        if self._new(name):
            self._entry(name.strip("/"), stat.S_IFREG | mode, data)

    def link(self, name, target):
        if self._new(name):
            self._entry(name.strip("/"), stat.S_IFLNK | 0o777, str(target).encode())

    def device(self, name, major, minor, mode=0o600):
        if self._new(name):
            self._entry(name.strip("/"), stat.S_IFCHR | mode, b"", (major, minor))

    def copy(self, source, name=None):
        """A file, or (unless it gets another name) a symbolic link with what it points to."""
        # /lib may be a link to /usr/lib: the name in the archive is the one behind such links.
        source = Path(os.path.realpath(os.path.dirname(source)), os.path.basename(source))
        follow = name is None
        name = str(name or source)
        if source.is_symlink():
            self.link(name, os.readlink(source))
            if follow:
                self.copy(source.parent / os.readlink(source))
            return
        mode = 0o755 if os.access(source, os.X_OK) else 0o644
        self.write(name, source.read_bytes(), mode)

    def tree(self, source, name=None, skip=()):
        """A directory with everything in it, but for names in skip."""
        source = Path(source)
        name = str(name or source)
        for root, directories, files in os.walk(source):
            directories[:] = sorted(set(directories) - set(skip))
            inside = os.path.normpath(os.path.join(name, os.path.relpath(root, source)))
            self.directory(inside)
            for file in sorted(set(files) - set(skip)):
                self.copy(os.path.join(root, file), os.path.join(inside, file))

    def program(self, source, name=None):
        """A program (or library) with the libraries it needs."""
        self.copy(source, name)
        listing = subprocess.run(["ldd", str(source)], capture_output=True, text=True, check=False)
        for library in re.findall(r"(/\S+) \(0x", listing.stdout):
            self.copy(library)
