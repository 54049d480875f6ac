# SPDX-License-Identifier: Apache-2.0
"""Enclave images: the file that a Nitro enclave (or QEMU's nitro-enclave machine) boots.

The format, version 4 (AWS's aws-nitro-enclaves-image-format; read by QEMU's hw/core/eif.c). All
numbers are big-endian:

  header, 548 bytes
    4   magic ".eif"
    2   version, 4
    2   flags, 0
    8   default memory, bytes
    8   default number of processors
    2   reserved, 0
    2   number of sections
    256 offset of each section's header in the file (32 places)
    256 size of each section's data
    4   unused, 0
    4   CRC-32 (zlib's) of everything but this field: the header before it, then the sections
  sections, each
    2   type: 1 kernel, 2 command line, 3 ramdisk, 4 signature, 5 metadata
    2   flags, 0
    8   size of the data
    ... data

The kernel comes first, then the command line, the metadata, the ramdisks. A signature is optional;
without one PCR8 stays zero. Measurements (PCR0 to PCR2) are computed by whoever boots the image.
"""
import json
import struct
import sys
import zlib
from pathlib import Path

MAGIC, VERSION = b".eif", 4
KERNEL, COMMAND_LINE, RAMDISK, METADATA = 1, 2, 3, 5
SECTIONS_MAX = 32
HEAD = struct.Struct(f">4sHHQQHH{SECTIONS_MAX}Q{SECTIONS_MAX}QI")
CRC = struct.Struct(">I")
SECTION = struct.Struct(">HHQ")
DEFAULT_MEMORY, DEFAULT_PROCESSORS = 768 << 20, 2
# Fixed, so that equal input makes an equal image.
ABOUT = {"ImageName": "causeway", "ImageVersion": "1", "DockerInfo": {},
         "BuildMetadata": {"BuildTime": "1970-01-01T00:00:00Z", "BuildTool": "causeway",
                           "BuildToolVersion": "1", "OperatingSystem": "Linux",
                           "KernelVersion": "6.1"}}


def pack(kernel, command_line, ramdisks):
    """An image, as bytes, from the bytes of its parts."""
    sections = [(KERNEL, kernel), (COMMAND_LINE, command_line.encode()),
                (METADATA, json.dumps(ABOUT).encode())]
    sections += [(RAMDISK, each) for each in ramdisks]
    offsets, sizes, position = [], [], HEAD.size + CRC.size
    for _, data in sections:
        offsets.append(position)
        sizes.append(len(data))
        position += SECTION.size + len(data)
    unused = [0] * (SECTIONS_MAX - len(sections))
    head = HEAD.pack(MAGIC, VERSION, 0, DEFAULT_MEMORY, DEFAULT_PROCESSORS, 0, len(sections),
                     *offsets, *unused, *sizes, *unused, 0)
    body = b"".join(SECTION.pack(kind, 0, len(data)) + data for kind, data in sections)
    return head + CRC.pack(zlib.crc32(body, zlib.crc32(head))) + body


def write(kernel, command_line, ramdisk, path):
    """An image from files."""
    Path(path).write_bytes(pack(Path(kernel).read_bytes(), command_line,
                                [Path(ramdisk).read_bytes()]))


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit("usage: eif.py KERNEL COMMAND-LINE RAMDISK IMAGE")
    write(*sys.argv[1:])
