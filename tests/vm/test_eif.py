# SPDX-License-Identifier: Apache-2.0
"""The image format, read back by the rules of its readers (QEMU's hw/core/eif.c among them)."""
import json
import zlib

import eif
import pytest


def sections(image):
    """Type and data of each section, by the table in the header."""
    fields = eif.HEAD.unpack_from(image)
    count, offsets, sizes = fields[6], fields[7:39], fields[39:71]
    found = []
    for offset, size in zip(offsets[:count], sizes[:count]):
        kind, flags, length = eif.SECTION.unpack_from(image, offset)
        assert (flags, length) == (0, size)
        start = offset + eif.SECTION.size
        found.append((kind, image[start:start + size]))
    assert set(offsets[count:] + sizes[count:]) == {0}
    return found


@pytest.fixture(name="image")
def _image():
    return eif.pack(b"kernel" * 100, "console=ttyS0", [b"first", b""])


def test_header(image):
    assert eif.HEAD.size + eif.CRC.size == 548
    assert image[:8] == b".eif\0\4\0\0"
    assert image[26:28] == b"\0\5"


def test_sections(image):
    found = sections(image)
    assert [kind for kind, _ in found] == [1, 2, 5, 3, 3]
    assert [data for _, data in found[:2]] == [b"kernel" * 100, b"console=ttyS0"]
    assert [data for _, data in found[3:]] == [b"first", b""]
    assert set(json.loads(found[2][1])) >= {"ImageName", "ImageVersion", "BuildMetadata"}


def test_sections_fill_the_file(image):
    assert len(image) == 548 + sum(12 + len(data) for _, data in sections(image))


def test_checksum(image):
    said = int.from_bytes(image[544:548], "big")
    assert said == zlib.crc32(image[:544] + image[548:])
    changed = bytearray(image)
    changed[-20] ^= 1
    assert said != zlib.crc32(bytes(changed[:544] + changed[548:]))


def test_equal_input_equal_image(image):
    assert image == eif.pack(b"kernel" * 100, "console=ttyS0", [b"first", b""])
