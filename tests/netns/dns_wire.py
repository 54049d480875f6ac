# SPDX-License-Identifier: Apache-2.0
"""DNS messages for tests: as much of them as a scripted server and a raw client need."""
import dataclasses
import struct

A, NS, CNAME, SOA, PTR, TXT, AAAA, OPT, RRSIG, AXFR, ANY = 1, 2, 5, 6, 12, 16, 28, 41, 46, 252, 255
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = range(6)
QR, AA, TC, RD, RA, AD, CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0020, 0x0010
DO = 0x8000  # in the OPT record's TTL field
KEEPALIVE = 11  # option code, RFC 7828


def name(text):
    labels = [label for label in text.split(".") if label]
    return b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"


def read_name(message, offset):
    """Text of the name and the offset behind it."""
    labels, end = [], None
    while True:
        length = message[offset]
        if length >= 0xc0:
            end = end or offset + 2
            offset = struct.unpack_from("!H", message, offset)[0] & 0x3fff
        elif length == 0:
            return ".".join(labels) or ".", end or offset + 1
        else:
            labels.append(message[offset + 1:offset + 1 + length].decode("latin-1"))
            offset += 1 + length


def record(owner, kind, ttl, rdata):
    """owner None: a pointer to the question."""
    head = b"\xc0\x0c" if owner is None else name(owner)
    return head + struct.pack("!HHIH", kind, 1, ttl, len(rdata)) + rdata


def opt(size=1232, flags=0, options=b"", version=0, rcode=0):
    return b"\0" + struct.pack("!HHIH", OPT, size, rcode << 24 | version << 16 | flags,
                               len(options)) + options


def option(code, data=b""):
    return struct.pack("!HH", code, len(data)) + data


def soa(owner, ttl, minimum):
    rdata = name("ns." + owner) + name("root." + owner) + struct.pack("!5I", 1, 2, 3, 4, minimum)
    return record(owner, SOA, ttl, rdata)


def query(text, kind=A, ident=0x1234, flags=RD, edns=None, cls=1):
    return (struct.pack("!6H", ident, flags, 1, 0, 0, 0 if edns is None else 1) + name(text) +
            struct.pack("!HH", kind, cls) + (edns or b""))


def response(to, answers=(), authority=(), additional=(), rcode=NOERROR, flags=0, ident=None):
    """The answer to a query (bytes), with its question."""
    end = read_name(to, 12)[1] + 4
    ident = struct.unpack_from("!H", to)[0] if ident is None else ident
    asked = struct.unpack_from("!H", to, 2)[0]
    head = struct.pack("!6H", ident, QR | RA | (asked & (RD | CD)) | flags | rcode, 1,
                       len(answers), len(authority), len(additional))
    return head + to[12:end] + b"".join([*answers, *authority, *additional])


@dataclasses.dataclass
class Record:
    owner: str
    kind: int
    cls: int
    ttl: int
    rdata: bytes


class Message:
    """A message taken apart."""

    def __init__(self, data):
        self.data = data
        self.ident, self.flags, *counts = struct.unpack_from("!6H", data)
        self.rcode = self.flags & 15
        self.name, self.kind, self.cls = None, None, None
        offset = 12
        for _ in range(counts[0]):
            self.name, offset = read_name(data, offset)
            self.kind, self.cls = struct.unpack_from("!HH", data, offset)
            offset += 4
        sections = []
        for count in counts[1:]:
            section = []
            for _ in range(count):
                owner, offset = read_name(data, offset)
                kind, cls, ttl, length = struct.unpack_from("!HHIH", data, offset)
                offset += 10
                section.append(Record(owner, kind, cls, ttl, data[offset:offset + length]))
                offset += length
            sections.append(section)
        self.answers, self.authority, self.additional = sections
        self.opt = next((entry for entry in self.additional if entry.kind == OPT), None)
        assert offset == len(data), "bytes behind the last record"

    def options(self):
        found, data = {}, self.opt.rdata if self.opt else b""
        while data:
            code, length = struct.unpack_from("!HH", data)
            found[code] = data[4:4 + length]
            data = data[4 + length:]
        return found
