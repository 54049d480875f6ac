#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes replay.pcap: the traffic that counts.c replays, the same bytes every time.

make_replay.py FILE

Link type RAW: IP packets. Only the first bytes of each are kept (the capture length); the replay
fills up the rest. What stands for what a veth pair carries: a TCP segment or UDP datagram longer
than the MTU is a super-packet.
"""
import struct
import sys

LINKTYPE_RAW = 101
KEPT = 96
INSIDE4, OUTSIDE4 = bytes([100, 127, 0, 16]), bytes([203, 0, 113, 10])
INSIDE6 = bytes.fromhex("fd00c0a80000000000000000000000" + "10")
OUTSIDE6 = bytes.fromhex("20010db8000000000000000000000" + "010")
TCP, UDP, ICMP = 6, 17, 1
TIMESTAMPS = b"\1\1\x08\x0a" + bytes(8)


def ip_checksum(header):
    total = sum(struct.unpack("!10H", header))
    total = (total & 0xffff) + (total >> 16)
    return 0xffff - ((total & 0xffff) + (total >> 16))


def ipv4(protocol, length, identification, fragment=0x4000):
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, length, identification, fragment, 64, protocol, 0,
                       INSIDE4, OUTSIDE4)
    return head[:10] + struct.pack("!H", ip_checksum(head)) + head[12:]


def ipv6(protocol, length):
    return struct.pack("!IHBB16s16s", 6 << 28, length - 40, protocol, 64, INSIDE6, OUTSIDE6)


def tcp(number, port):
    return struct.pack("!HHIIBBHHH", 40000 + port, 443, number, number, 8 << 4, 0x10, 1024, 0,
                       0) + TIMESTAMPS


def udp(length, port):
    return struct.pack("!HHHH", 40000 + port, 53, length, 0)


def packet(version, protocol, length, number):
    head = ipv4(protocol, length, number) if version == 4 else ipv6(protocol, length)
    rest = length - len(head)
    transport = {TCP: lambda: tcp(number, number % 7), UDP: lambda: udp(rest, number % 5),
                 ICMP: lambda: struct.pack("!BBHHH", 8, 0, 0, 1, number)}[protocol]()
    return head + transport, length


def traffic():
    """(version, protocol, bytes): an upload with its acknowledgements, a page, names, a call."""
    for _ in range(8):
        yield from [(4, TCP, 65160), (4, TCP, 65160), (4, TCP, 52), (4, TCP, 52)]
        yield from [(6, TCP, 60072), (6, TCP, 72), (4, TCP, 14532)]
        yield from [(4, TCP, 1500)] * 6 + [(6, TCP, 1500)] * 2 + [(4, TCP, 52)] * 4
        yield from [(4, UDP, 64), (4, UDP, 540), (4, UDP, 1428), (6, UDP, 112)]
        yield from [(4, UDP, 92)] * 6 + [(4, UDP, 28 + 10 * 1200), (4, ICMP, 84)]


def main():
    with open(sys.argv[1], "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, KEPT, LINKTYPE_RAW))
        for number, (version, protocol, length) in enumerate(traffic()):
            head, length = packet(version, protocol, length, number)
            data = (head + bytes(max(0, length - len(head))))[:KEPT]
            out.write(struct.pack("<IIII", number // 1000, number % 1000 * 1000, len(data), length))
            out.write(data)


if __name__ == "__main__":
    main()
