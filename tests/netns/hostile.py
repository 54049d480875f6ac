# SPDX-License-Identifier: Apache-2.0
"""The wire format (docs/wire.md) spoken by hand, by peers that do not keep to it."""
import os
import random
import socket
import struct

PACKET, HELLO, CONFIG, REJECT, PING, PONG = range(1, 7)
HEADER_BYTES = 24
MAGIC = 0x59575743
VERSION = 1


def frame(kind, payload, flags=0, gso_size=0, length=None, reserved=b"\0" * 16):
    return struct.pack("<IBBH", len(payload) if length is None else length, kind, flags,
                       gso_size) + reserved + payload


def hello(lane=0, lanes=1, session=None, attempt=1, magic=MAGIC, version=VERSION, features=0,
          tail=b"\0" * 8):
    session = random.getrandbits(64) if session is None else session
    return frame(HELLO, struct.pack("<IHBBQII", magic, version, lane, lanes, session, attempt,
                                    features) + tail)


def config(lanes=1, families=1, mtu=1500, address4="100.127.0.2", gateway4="100.127.0.1",
           features=0, dns_count=0, tail=b"\0" * 87):
    return frame(CONFIG, struct.pack("<BBHI4s4s16s16sB", lanes, families, mtu, features,
                                     socket.inet_aton(address4), socket.inet_aton(gateway4),
                                     b"\0" * 16, b"\0" * 16, dns_count) + tail)


def dial(path, patience=10):
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    stream.settimeout(patience)
    stream.connect(path)
    return stream


def read_exactly(stream, count):
    data = b""
    while len(data) < count:
        part = stream.recv(count - len(data))
        if not part:
            raise ConnectionResetError("the stream ended")
        data += part
    return data


def read_frame(stream):
    """Kind and payload of the next frame; ConnectionResetError at the end of the stream."""
    header = read_exactly(stream, HEADER_BYTES)
    length, kind = struct.unpack_from("<IB", header)
    return kind, read_exactly(stream, length)


def read_until_closed(stream):
    """All frames that still come; returns when the other side has closed."""
    kinds = []
    try:
        while True:
            kinds.append(read_frame(stream))
    except (ConnectionResetError, BrokenPipeError):
        return kinds


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total ^ 0xffff


def ipv4(source, destination, payload, protocol=17, version_ihl=0x45, total=None, fragment=0,
         ttl=64, options=b""):
    header = struct.pack("!BBHHHBBH4s4s", version_ihl, 0,
                         20 + len(options) + len(payload) if total is None else total, 7, fragment,
                         ttl, protocol, 0, socket.inet_aton(source), socket.inet_aton(destination))
    header += options
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + payload


def ipv6(source, destination, payload, next_header=17, length=None):
    return struct.pack("!IHBB16s16s", 0x60000000, len(payload) if length is None else length,
                       next_header, 64, socket.inet_pton(socket.AF_INET6, source),
                       socket.inet_pton(socket.AF_INET6, destination)) + payload


def udp(payload=b"hostile", length=None, port=40001):
    return struct.pack("!HHHH", 40000, port, 8 + len(payload) if length is None else length,
                       0) + payload


def tcp(offset=5, payload=b"", flags=0x10):
    return struct.pack("!HHIIBBHHH", 40000, 40001, 1, 1, offset << 4, flags, 1000, 0, 0) + payload


def malformed_packets(source4, target4, source6, target6):
    """(name, packet, flags, gso_size): inside a frame that is itself in order."""
    good4 = ipv4(source4, target4, udp())
    random_bytes = random.Random(7)
    yield "all zero", b"\0" * 20, 0, 0
    yield "all ones", b"\xff" * 60, 0, 0
    for version in (0, 1, 3, 5, 7, 15):
        yield f"version {version}", bytes([version << 4 | 5]) + good4[1:], 0, 0
    for words in (0, 1, 4, 15):
        yield f"header of {words} words", bytes([0x40 | words]) + good4[1:], 0, 0
    for total in (0, 3, 4, 19, 20, 27, len(good4) + 1, 65535):
        yield f"total length {total}", ipv4(source4, target4, udp(), total=total), 0, 0
    yield "a fragment beyond 65,535", ipv4(source4, target4, b"x" * 64, fragment=0x1fff), 0, 0
    yield "a tiny first fragment", ipv4(source4, target4, b"x" * 8, 6, fragment=0x2000), 0, 0
    for offset in (0, 1, 4, 15):
        yield f"TCP data offset {offset}", ipv4(source4, target4, tcp(offset), 6), 0, 0
    yield "TCP cut short", ipv4(source4, target4, tcp()[:19], 6), 0, 0
    for length in (0, 7, 9999):
        yield f"UDP length {length}", ipv4(source4, target4, udp(length=length)), 0, 0
    yield "ICMP cut short", ipv4(source4, target4, b"\x08\0\0", 1), 0, 0
    yield "IPv6 longer than it is", ipv6(source6, target6, udp(), length=9000), 0, 0
    yield "IPv6 jumbogram", ipv6(source6, target6, b"\x11\0\xc2\4\0\1\0\0", 0, length=0), 0, 0
    yield "endless extensions", ipv6(source6, target6, b"\x3c\0\0\0\0\0\0\0" * 150, 60), 0, 0
    yield "an extension beyond the end", ipv6(source6, target6, b"\x11\xff" + b"\0" * 14, 60), 0, 0
    yield "an IPv6 fragment alone", ipv6(source6, target6, b"\x11\0\xff\xf9\0\0\0\1abcdefgh", 44), \
        0, 0
    # Offload metadata that the packet contradicts.
    for gso_size in (1, 8, 65535):
        yield f"TCP gso_size {gso_size}", ipv4(source4, target4, tcp(payload=b"x" * 3000), 6), 1, \
            gso_size
        yield f"UDP gso_size {gso_size}", ipv4(source4, target4, udp(b"x" * 3000)), 1, gso_size
    yield "ICMP with gso_size", ipv4(source4, target4, b"\x08\0\0\0" + b"x" * 3000, 1), 0, 1000
    yield "ICMP, checksum to be filled in", ipv4(source4, target4, b"\x08\0\0\0\0\0\0\0", 1), 1, 0
    yield "a fragment with gso_size", ipv4(source4, target4, udp(b"x" * 3000), fragment=0x2000), \
        1, 1000
    # Addresses that nobody may have.
    for bad in ("0.0.0.0", "127.0.0.1", "255.255.255.255", "224.0.0.1", "198.51.100.2",
                "100.127.0.3"):
        yield f"source {bad}", ipv4(bad, target4, udp()), 0, 0
        yield f"destination {bad}", ipv4(source4, bad, udp()), 0, 0
    for bad in ("::", "::1", "ff02::1", "fe80::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"):
        yield f"source {bad}", ipv6(bad, target6, udp()), 0, 0
        yield f"destination {bad}", ipv6(source6, bad, udp()), 0, 0
    for size in (20, 21, 40, 63, 1500, 9000, 65535):
        yield f"{size} random bytes", random_bytes.randbytes(size), 0, 0
        yield f"{size} random bytes as IPv4", b"\x45\0" + random_bytes.randbytes(size - 2), 0, 0
        yield f"{size} random bytes as IPv6", b"\x60\0" + random_bytes.randbytes(size - 2), 1, 999


def broken_openings():
    """(name, bytes): what a stream may begin with instead of a HELLO. The first frame decides."""
    yield "nothing at all", b""
    yield "garbage", os.urandom(4096)
    yield "zeros", b"\0" * 4096
    yield "HTTP", b"GET / HTTP/1.1\r\nHost: causeway\r\n\r\n" + b" " * 64
    yield "wrong magic", hello(magic=0x12345678)
    yield "version 0", hello(version=0)
    yield "version 2", hello(version=2)
    yield "version 65535", hello(version=65535)
    yield "lane beyond the count", hello(lane=3, lanes=2)
    yield "no lanes", hello(lanes=0)
    yield "too many lanes", hello(lanes=255)
    yield "nonzero reserved bytes", hello(tail=b"\1" * 8)
    yield "a long HELLO", hello(tail=b"\0" * 100)
    yield "a short HELLO", hello(tail=b"")
    yield "a packet first", frame(PACKET, b"\x45" + b"\0" * 40)
    yield "a CONFIG first", config()
    yield "a PING first", frame(PING, b"12345678")
    yield "an unknown type", frame(77, b"abc")
    yield "type 0", frame(0, b"abc")
    yield "an oversize packet", frame(PACKET, b"", length=65536)
    yield "an absurd length", frame(HELLO, b"", length=0xffffffff)
    yield "an empty HELLO", frame(HELLO, b"")
    yield "a lane of an unknown session", hello(lane=1, lanes=4)
    yield "nonzero header", frame(HELLO, b"x" * 32, reserved=b"\1" * 16)


def broken_continuations():
    """(name, bytes): what may follow a good HELLO and costs the lane."""
    yield "garbage", b"\xa5" * 4096
    yield "an oversize packet", frame(PACKET, b"", length=65536)
    yield "an absurd length", frame(PACKET, b"", length=0xfffffff0)
    yield "an unknown type", frame(9, b"abc")
    yield "a short packet", frame(PACKET, b"x" * 19)
    yield "unknown flags", frame(PACKET, b"x" * 40, flags=0x80)
    yield "offload on a PING", frame(PING, b"12345678", flags=1)
    yield "a nonzero reserved byte", frame(PACKET, b"x" * 40, reserved=b"\0" * 15 + b"\1")
    yield "an oversize PING", frame(PING, b"x" * 513)
