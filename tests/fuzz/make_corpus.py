#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the seeds of the fuzz targets: make_corpus.py [FOLDER] (default: corpus, beside this file).

Seeds are named; what a fuzzer found later is named by its hash and is left alone.
"""
import json
import pathlib
import struct
import sys

SRC4, DST4 = bytes([192, 0, 2, 1]), bytes([198, 51, 100, 2])
SRC6, DST6 = bytes.fromhex("20010db8" + "00" * 11 + "01"), bytes.fromhex("20010db80001" + "00" * 9 + "02")
TCP, UDP, ICMP, ICMP6, ESP = 6, 17, 1, 58, 50
HOP, ROUTING, FRAGMENT, AH, DSTOPT, NONE = 0, 43, 44, 51, 60, 59
HOST = "<" if sys.byteorder == "little" else ">"


def tcp(payload, options=b"", flags=0x18):
    header = struct.pack("!HHIIBBHHH", 40000, 443, 1000, 2000, (20 + len(options)) // 4 << 4, flags, 65535, 0, 0)
    return header + options + payload


def udp(payload, length=None):
    return struct.pack("!HHHH", 40000, 53, 8 + len(payload) if length is None else length, 0x1234) + payload


def icmp(payload, kind=8):
    return struct.pack("!BBHI", kind, 0, 0, 1) + payload


def ipv4(protocol, body, options=b"", fragment=0, tos=0, total=None):
    header = 20 + len(options)
    total = header + len(body) if total is None else total
    return struct.pack("!BBHHHBBH", 0x40 | header // 4, tos, total, 7, fragment, 64, protocol, 0) + SRC4 + DST4 \
        + options + body


def ipv6(protocol, body, chain=(), tos=0, payload=None):
    """chain: (type, bytes behind the next-header byte)..."""
    kinds = [kind for kind, _ in chain] + [protocol]
    extensions = b"".join(bytes([after]) + rest for (_, rest), after in zip(chain, kinds[1:]))
    length = len(extensions) + len(body) if payload is None else payload
    return struct.pack("!IHBB", 6 << 28 | tos << 20, length, kinds[0], 64) + SRC6 + DST6 + extensions + body


PAD = bytes([0, 1, 4, 0, 0, 0, 0])
NO_ROUTE = bytes([0, 0, 0, 0, 0, 0, 0])
TIMESTAMPS = bytes([1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2])
DATA = bytes(range(256))

PACKETS = {
    "tcp4": ipv4(TCP, tcp(DATA[:40], TIMESTAMPS)),
    "tcp4-ack": ipv4(TCP, tcp(b"", TIMESTAMPS)),
    "tcp4-cwr": ipv4(TCP, tcp(DATA, flags=0x99), tos=1),
    "tcp4-options": ipv4(TCP, tcp(DATA), options=bytes([0x94, 4, 0, 0, 7, 7, 4, 0, 0, 0, 0, 0])),
    "tcp4-doff": ipv4(TCP, struct.pack("!HHIIBBHHH", 1, 2, 3, 4, 0x40, 2, 5, 0, 0)),
    "tcp6": ipv6(TCP, tcp(DATA)),
    "tcp6-chain": ipv6(TCP, tcp(DATA), [(HOP, PAD), (DSTOPT, PAD), (ROUTING, NO_ROUTE), (AH, bytes([4]) + bytes(22)),
                                        (DSTOPT, PAD)]),
    "udp4": ipv4(UDP, udp(DATA[:60])),
    "udp4-zero-sum": ipv4(UDP, udp(DATA[:9])[:6] + b"\0\0" + DATA[:9]),
    "udp4-lie": ipv4(UDP, udp(DATA[:9], 200)),
    "udp4-padded": ipv4(UDP, udp(DATA[:9], 12)),
    "udp4-first": ipv4(UDP, udp(DATA[:24], 1000), fragment=0x2000),
    "udp4-middle": ipv4(UDP, DATA[:32], fragment=0x2000 | 4),
    "udp4-beyond": ipv4(UDP, DATA[:32], fragment=0x1fff),
    "udp6": ipv6(UDP, udp(DATA)),
    "udp6-first": ipv6(UDP, udp(DATA[:24], 1000), [(FRAGMENT, bytes([0, 0, 1, 0, 0, 0, 9]))]),
    "udp6-last": ipv6(UDP, DATA[:30], [(HOP, PAD), (FRAGMENT, bytes([0, 4, 0xd0, 0, 0, 0, 9]))]),
    "udp6-atomic": ipv6(UDP, udp(DATA[:24]), [(FRAGMENT, bytes(7))]),
    "icmp4": ipv4(ICMP, icmp(DATA[:56])),
    "icmp6": ipv6(ICMP6, icmp(DATA[:56], 128)),
    "esp4": ipv4(ESP, DATA[:24]),
    "none6": ipv6(NONE, b""),
    "jumbo6": ipv6(TCP, tcp(b""), [(HOP, bytes([0, 0xc2, 4, 0, 1, 0, 0]))], payload=0),
    "route6": ipv6(TCP, tcp(b""), [(ROUTING, bytes([0, 0, 1, 0, 0, 0, 0]))]),
    "total0": ipv4(TCP, tcp(DATA[:8]), total=0),
}


def frame(kind, payload, flags=0, gso=0, length=None):
    return struct.pack("<IBBH16x", len(payload) if length is None else length, kind, flags, gso) + payload


HELLO = struct.pack("<IHBBQII8x", 0x59575743, 1, 0, 4, 0x1122334455667788, 1, 1)
V4 = bytes([100, 127, 0, 2, 100, 127, 0, 1])
V6 = bytes.fromhex("fd000001" + "00" * 11 + "02" + "fd000001" + "00" * 11 + "01")


def config(families=3, dns=(), lanes=4, mtu=1500):
    resolvers = b"".join(struct.pack("<B3x16s", 4 if len(a) == 4 else 6, a) for a in dns)
    return struct.pack("<BBHI", lanes, families, mtu, 1) + (V4 if families & 1 else bytes(8)) \
        + (V6 if families & 2 else bytes(32)) + struct.pack("<B7x", len(dns)) + resolvers.ljust(80, b"\0")


def frames():
    for name, packet in PACKETS.items():
        yield name, frame(1, packet)
    yield "partial", frame(1, PACKETS["tcp4"], 1) + frame(1, PACKETS["udp6"], 1)
    yield "super", b"".join(frame(1, PACKETS[n], 1, 100) for n in ("tcp4-cwr", "tcp6", "udp6", "tcp6-chain"))
    yield "session", frame(2, HELLO) + frame(5, DATA[:8]) + frame(1, PACKETS["udp4"]) + frame(6, DATA[:8])
    yield "parent", frame(3, config()) + frame(1, PACKETS["icmp4"])
    yield "cut", frame(1, PACKETS["tcp4"])[:50]
    yield "oversized", frame(1, b"", length=65536)
    yield "control-oversized", frame(5, b"", length=513)
    yield "reserved", frame(1, PACKETS["udp4"])[:8] + b"\1" + bytes(60)
    yield "offload-on-control", frame(5, DATA[:8], 1)


def handshake():
    yield "hello", b"\0" + HELLO
    yield "hello-version", b"\0" + HELLO[:4] + b"\2\0" + HELLO[6:]
    yield "hello-lane", b"\0" + HELLO[:6] + b"\4\4" + HELLO[8:]
    yield "hello-short", b"\0" + HELLO[:6]
    yield "config-both", b"\1" + config(dns=(bytes([9, 9, 9, 9]), SRC6))
    yield "config-ipv4", b"\1" + config(1, (bytes([9, 9, 9, 9]), ) * 4)
    yield "config-ipv6", b"\1" + config(2)
    yield "config-mtu", b"\1" + config(mtu=1279)
    yield "reject", b"\2\5" + bytes(7)
    yield "ping", b"\3" + DATA[:8]


def segment():
    for name, packet in PACKETS.items():
        yield name, struct.pack("<HBH", 100, 1, 68 if packet[0] >> 4 == 4 else 1280) + packet
    large = DATA * 6
    for name, packet in (("udp4", ipv4(UDP, udp(large))), ("udp6", ipv6(UDP, udp(large))),
                         ("icmp6", ipv6(ICMP6, icmp(large, 128), [(HOP, PAD)])),
                         ("extensions8", ipv6(UDP, udp(large), [(DSTOPT, PAD)] * 8))):
        yield f"{name}-large", struct.pack("<HBH", 0, 0, 1280) + packet


def ones_sum(data):
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total


def summed(packet):
    """A UDP packet without options or extensions, its checksums filled in."""
    at, addresses = (20, packet[12:20]) if packet[0] >> 4 == 4 else (40, packet[8:40])
    ip, body = packet[:at], packet[at:at + 6] + b"\0\0" + packet[at + 8:]
    pseudo = addresses + struct.pack("!HH", UDP, len(body))
    body = body[:6] + struct.pack("!H", 0xffff - ones_sum(pseudo + body) or 0xffff) + body[8:]
    if at == 20:
        ip = ip[:10] + struct.pack("!H", 0xffff - ones_sum(ip[:10] + b"\0\0" + ip[12:])) + ip[12:]
    return ip + body


def coalesce():
    def row(*packets, flags=0):
        return b"".join(struct.pack("<BH", flags, len(packet)) + packet for packet in packets)

    def identified(packet, number):
        return packet[:4] + struct.pack("!H", number) + packet[6:]
    four = [summed(identified(ipv4(UDP, udp(DATA[:size])), 65534 + i & 0xffff)) for i, size in enumerate((60, 60, 60, 9))]
    fixed = summed(ipv4(UDP, udp(DATA[:50]), fragment=0x4000))
    six = [summed(ipv6(UDP, udp(DATA[:size]))) for size in (100, 100, 31)]
    yield "udp4", row(*four)
    yield "udp4-partial", row(*four, flags=1)
    yield "udp4-df", row(*[fixed] * 70)
    yield "udp6", row(*six)
    yield "udp6-again", row(*six, *six)
    yield "damaged", row(four[0], four[1][:-1] + b"?", *four[2:])
    yield "families", row(four[0], six[0], four[1], six[1])
    yield "super", row(*six, flags=100 << 2 & 0xff | 1)
    yield "others", row(*PACKETS.values())


def vnet():
    def header(gso_type, gso, start, offset, flags=1):
        return struct.pack(HOST + "BBHHHH", flags, gso_type, 0, gso, start, offset)
    yield "none", header(0, 0, 0, 0, 0) + PACKETS["icmp4"]
    yield "valid", header(0, 0, 0, 0, 2) + PACKETS["udp4"]
    yield "tcp4", header(0, 0, 34, 16) + PACKETS["tcp4"]
    yield "udp6", header(0, 0, 54, 6) + PACKETS["udp6"]
    yield "udp4-padded", header(0, 0, 34, 6) + PACKETS["udp4-padded"]
    yield "tcpv4", header(1, 100, 34, 16) + PACKETS["tcp4-cwr"]
    yield "tcpv4-ecn", header(0x81, 100, 34, 16) + PACKETS["tcp4-cwr"]
    yield "tcpv6", header(4, 100, 54, 16) + PACKETS["tcp6"]
    yield "tcpv6-chain", header(4, 100, 54 + 56, 16) + PACKETS["tcp6-chain"]
    yield "udp-l4", header(5, 100, 54, 6) + PACKETS["udp6"]
    yield "wrong-start", header(5, 100, 34, 6) + PACKETS["udp6"]
    yield "tunnel", header(1, 100, 84, 16) + PACKETS["tcp4-cwr"]
    yield "fragment", header(0, 0, 34, 6) + PACKETS["udp4-first"]


def name(text):
    return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".") if label) + b"\0"


WWW = name("www.eXample.com")  # at 12; "example.com" is at 16, "com" at 24


def record(owner, kind, rdata, ttl=300, klass=1, length=None):
    return owner + struct.pack("!HHIH", kind, klass, ttl, len(rdata) if length is None else length) + rdata


def opt(options=b"", size=1232, ttl=0x8000, owner=b"\0"):
    return record(owner, 41, options, ttl, size)


def option(code, value):
    return struct.pack("!HH", code, len(value)) + value


def message(flags, sections=((), (), ()), question=WWW + b"\0\1\0\1", questions=1, tail=b""):
    return struct.pack("!6H", 0x1234, flags, questions, *map(len, sections)) + question \
        + b"".join(b"".join(section) for section in sections) + tail


def pointer(offset):
    return struct.pack("!H", 0xc000 | offset)


A = record(pointer(12), 1, bytes([192, 0, 2, 1]))
CNAME = record(pointer(12), 5, b"\4host" + pointer(16), 60)
SOA = record(pointer(16), 6, b"\2ns" + pointer(16) + b"\5admin" + pointer(16) + struct.pack("!5I", 1, 2, 3, 4, 30))
BEHIND = 12 + len(WWW) + 4  # where the first record stands


def dns_query():
    query = 0x0100
    yield "plain", message(query)
    yield "edns", message(query | 0x30, ((), (), (opt(option(11, b"") + option(10, DATA[:8])), )))
    yield "root", message(query, question=b"\0\0\2\0\1")
    yield "longest", message(query, question=name(".".join(["a" * 63] * 3 + ["b" * 61])) + b"\0\1\0\1")
    yield "too-long", message(query, question=name(".".join(["a" * 63] * 3 + ["b" * 62])) + b"\0\1\0\1")
    yield "cut", message(query)[:-3]
    yield "no-question", message(query, question=b"", questions=0)
    yield "two-questions", message(query, question=(WWW + b"\0\1\0\1") * 2, questions=2)
    yield "loop", message(query, question=pointer(12) + b"\0\1\0\1")
    yield "label-loop", message(query, question=b"\1a" + pointer(12) + b"\0\1\0\1")
    yield "forward", message(query, question=pointer(18) + b"\0\1\0\1" + WWW)
    yield "reserved-label", message(query, question=b"\x41a\0\0\1\0\1")
    yield "answer-in-query", message(query, ((A, ), (), ()))
    yield "opt-twice", message(query, ((), (), (opt(), opt())))
    yield "opt-owner", message(query, ((), (), (opt(owner=pointer(24)), )))
    yield "opt-version", message(query, ((), (), (opt(ttl=0x18000), )))
    yield "opt-cut", message(query, ((), (), (opt(struct.pack("!HH", 10, 9) + DATA[:8]), )))
    yield "opt-beyond", message(query, ((), (), (record(b"\0", 41, b"", length=4), )))
    yield "tsig-like", message(query, ((), (), (opt(), record(b"\3key\0", 250, DATA[:30], 0, 255))))
    yield "trailing", message(query, tail=b"\0")
    yield "notify", message(0x2000)
    yield "response", message(0x8180)


def dns_answer():
    answer = 0x8180
    yield "a", message(answer, ((A, A), (), (opt(), )))
    yield "cname", message(answer | 0x20, ((CNAME, record(pointer(BEHIND + 12), 1, DATA[:4], 0x80000000)), (), ()))
    yield "nodata", message(answer, ((), (SOA, ), (opt(), )))
    yield "nxdomain", message(answer | 3, ((CNAME, ), (SOA, ), ()))
    yield "referral", message(answer, ((), (record(pointer(16), 2, b"\2ns" + pointer(16)), ), ()))
    yield "ede", message(answer | 2, ((), (), (opt(option(15, b"\0\x16none") + option(11, b"\1\x2c")), )))
    yield "extended-rcode", message(answer, ((), (), (opt(ttl=0x01000000), )))
    yield "opt-first", message(answer, ((A, ), (), (opt(), record(b"\3srv" + pointer(16), 28, DATA[:16]))))
    yield "opt-in-answer", message(answer, ((opt(), ), (), ()))
    yield "opt-pointed-into", message(answer, ((), (), (opt(option(65001, WWW)), record(
        pointer(BEHIND + 15), 1, DATA[:4]))))
    yield "opt-pointed-behind", message(answer, ((), (), (opt(), record(WWW, 1, DATA[:4]), record(
        pointer(BEHIND + 11), 1, DATA[:4]))))
    yield "ttl-pointed-into", message(answer, ((record(pointer(12), 1, DATA[:4], 0x01610000), record(
        pointer(BEHIND + 6), 1, DATA[:4])), (), ()))
    yield "ttl-run-over", message(answer, ((record(pointer(12), 16, b"\x0c"), record(
        pointer(BEHIND + 12), 1, DATA[:4])), (), ()))
    yield "names", message(answer, (tuple(record(pointer(12), kind, fixed + WWW[:4] + pointer(16) + tail) for
                                          kind, fixed, tail in ((15, b"\0\1", b""), (33, bytes(6), b""),
                                                                (35, bytes(4) + b"\1U\0\0", b""), (39, b"", b""),
                                                                (17, pointer(12), b""), (24, bytes(18), DATA[:9]))), (), ()))
    yield "unknown", message(answer, ((record(pointer(12), 65280, DATA), ), (), ()), WWW + b"\xff\0\0\1")
    yield "rdata-short", message(answer, ((record(pointer(12), 15, b"\0"), ), (), ()))
    yield "rdata-long", message(answer, ((record(pointer(12), 5, WWW + b"x"), ), (), ()))
    yield "rdata-beyond", message(answer, ((record(pointer(12), 1, DATA[:4], length=400), ), (), ()))
    yield "count", message(answer, ((A, ), (), ()))[:7] + b"\x09" + message(answer, ((A, ), (), ()))[8:]
    yield "large", message(answer, (tuple(record(pointer(12), 16, bytes([200]) + DATA[:200]) for _ in range(20)), (), ()))
    yield "query", message(0x0100)


def dns_cache():
    """Operations of four bytes: what, which question, two of size or time."""
    insert, find, wait, flush = range(4)
    yield "small", b"".join(bytes([insert, i, 0, i, find, i, 0, 0]) for i in range(64))
    yield "large", b"".join(bytes([insert, i % 5, 30, i]) for i in range(40))
    yield "used", b"".join(bytes([insert, i % 64, 4, i % 256, find, i % 7, 0, 0]) for i in range(300))
    yield "grow", b"".join(bytes([insert, i % 3, i % 32, 0, find, i % 3, 0, 0]) for i in range(200))
    yield "expire", b"".join(bytes([insert, i, 1, 200, wait, 0, i, 0, find, i // 2, 0, 0]) for i in range(64))
    yield "flush", bytes([insert, 1, 1, 1, flush, 0, 0, 0, find, 1, 0, 0])


def dns_name():
    yield "text", b"www.example.com."
    yield "escapes", b"a\\.b.\\255\\000x.-_"
    yield "empty-label", b"a..b"
    yield "root", b"."
    yield "longest", ".".join(["a" * 63] * 3 + ["b" * 61]).encode()
    yield "wire", bytes(12) + WWW + b"\3ftp" + pointer(16) + pointer(29)
    yield "pointers", bytes(12) + b"\0" + b"".join(pointer(12 + max(0, 2 * i - 1)) for i in range(25))


def bpf():
    def program(*steps, packet=PACKETS["tcp4"]):
        return bytes([len(steps)]) + b"".join(struct.pack(HOST + "HBBI", *step) for step in steps) + packet
    take, leave = (6, 0, 0, 0xffff), (6, 0, 0, 0)
    yield "all", program(take)
    yield "tcp", program((0x30, 0, 0, 9), (0x15, 0, 1, 6), take, leave)
    yield "port", program((0xb1, 0, 0, 0), (0x48, 0, 0, 2), (0x15, 0, 1, 443), take, leave)
    yield "arithmetic", program((0x80, 0, 0, 0), (7, 0, 0, 0), (0x2c, 0, 0, 0), (0x84, 0, 0, 0), (0x7c, 0, 0, 0),
                                (2, 0, 0, 15), (0x61, 0, 0, 15), (0x9c, 0, 0, 0), (0x16, 0, 0, 0))
    yield "divide", program((1, 0, 0, 0), (0x3c, 0, 0, 0), take)
    yield "beyond", program((0x20, 0, 0, 0xfffffffe), take)
    yield "wraps", program((1, 0, 0, 0xffffffff), (0x40, 0, 0, 2), take)
    yield "jump-out", program((5, 0, 0, 1), take)
    yield "no-return", program((0, 0, 0, 1))
    yield "memory", program((2, 0, 0, 16), take)


def control_request():
    yield "status", b"status"
    yield "publish", b"publish web=443:443/tcp"
    yield "spaces", b"   a    b  "
    yield "eight", b"1 2 3 4 5 6 7 8"
    yield "nine", b"1 2 3 4 5 6 7 8 9"
    yield "nul", b"a\0b"
    yield "high", b"caf\xc3\xa9"
    yield "empty", b""


def options_file():
    yield "all", b"# comment\nflag = yes\nnumber = 12\ntext = a = b # c\nlist = one\nlist=two\n"
    yield "bare-flag", b"flag"
    yield "crlf", b"flag = no\r\n\tnumber=99\t\r\n"
    yield "empty-text", b"text ="
    yield "unknown", b"\n\nnumbre = 1\n"
    yield "number", b"number = 100"
    yield "control", b"text = a\x0bb"
    yield "nul", b"text = a\0number = 7"
    yield "list-full", b"list = x\n" * 9
    yield "no-value", b"number\n"


def answer_of(program, grown, **members):
    lane = {"lane": 0, "state": "running", "captured_packets": 10 + grown, "sent_bytes": 500 * grown,
            "sent_writes": grown, "queue_dropped": 1, "rtt_us": 90, "rtt_min_us": 70,
            "drops": {"policy_source": grown, "inject_error": 0}}
    return {"ok": True, "program": f"causeway-{program}", "version": "1", "pid": 7, "uptime_ms": 1000 + 500 * grown,
            "control": {"clients": 1, "requests": 2}, "kernel": {"release": "6.1", "capture": "NFQUEUE"},
            "lanes": [lane], **members}


def dns_status(grown):
    histogram = [{"below_us": 250, "answers": 5 + grown}, {"below_us": 500, "answers": 1}, {"answers": 1}]
    return answer_of("dns", grown, listen=["udp:127.0.0.1:53"], waiting={"now": 1, "most": 9},
                     counters={"queries_udp": 9 + grown, "hits": 3 + grown, "asked": 5}, drops={"short": grown},
                     failures={"timeout": 1}, limits={}, cache={"entries": 1, "bytes_used": 2, "bytes_most": 3},
                     upstreams=[{"upstream": "tcp://192.0.2.1:53", "healthy": True, "queries": 5 + grown,
                                 "answers": 4, "latency": histogram, "failures": {"timeout": grown}}])


def ctl_answer():
    """Two answers, a line each."""
    def pair(make):
        return "\n".join(json.dumps(make(grown)) for grown in (0, 3)).encode()

    def parent(grown):
        enclave = {"name": "we\"b\n", "peer": "vsock:16", "device": "cwin16", "address4": "100.127.0.16", "mtu": 1500,
                   "lanes": answer_of("parent", grown)["lanes"]}
        return answer_of("parent", grown, enclaves=[enclave, {"name": "db"}], publish=["web=443:443"], allow=[],
                         handshakes={"accepted": 1}, lanes=None)

    yield "enclave", pair(lambda grown: answer_of("enclave", grown, peer="vsock:3:5005", configured=True, dns=["::1"]))
    yield "parent", pair(parent)
    yield "dns", pair(dns_status)
    yield "refusal", b'{"ok":false,"error":"publish: no"}'
    yield "nothing", b""
    yield "no-object", b"[]\n7"
    yield "unfinished", b'{"ok":true,"lanes":[{'
    yield "elements", b'{"ok":true,"lanes":[1,null,[],""],"enclaves":[2,{"lanes":{}}]}\n' \
        b'{"ok":true,"lanes":[1,null,[],"",{}],"enclaves":{}}'
    yield "dns-elements", b'{"ok":true,"program":"causeway-dns","upstreams":[1,null]}\n' \
        b'{"ok":true,"program":"causeway-dns","upstreams":[1,null,[],{"latency":[1,[],null],"failures":[]}],"cache":7}'
    yield "huge", b'{"ok":true,"lanes":[{}]}\n{"ok":true,"uptime_ms":1,"lanes":[{"captured_bytes":' \
        b'18446744073709551615,"drops":{"a":-1,"b":1e99,"c":"x"}}]}'
    yield "deep", b'{"ok":' + b"[" * 200


def ctl_rings():
    """Distance from the ring's end, how far the head is ahead, bytes in the ring."""
    def start(from_end, ahead):
        return struct.pack(HOST + "IQ", from_end, ahead)

    def record(size, captured, direction=1, time=1, reason=65535):
        return struct.pack(HOST + "IIIHBBQ", size, captured, captured, reason, direction, 0, time)

    packet = record(64, 40) + bytes(40)
    yield "two", start(4096, 128) + packet + packet
    yield "up-to-the-end", start(64, 128) + packet + packet
    yield "skip", start(128, 192) + packet + record(0, 0, 3) + bytes(40) + packet
    yield "no-room-for-a-header", start(16, 80) + bytes(16) + packet
    yield "skip-beyond-the-head", start(128, 64) + record(0, 0, 3)
    yield "beyond-the-end", start(64, 128) + record(128, 100)
    yield "beyond-the-head", start(4096, 64) + record(128, 100)
    yield "zero", start(4096, 64) + record(0, 0)
    yield "captured", start(4096, 64) + record(64, 0xffffffff)
    yield "odd", start(4096, 64) + record(36, 8)
    yield "head-far-ahead", start(4096, 1 << 40) + packet
    yield "head-behind", start(4096, (1 << 64) - 8) + packet
    yield "empty", start(0, 0)
    yield "short", b"x"


def icmp_errors():
    """An error each way, and what must not pass."""
    def error4(quoted, kind=3):
        return ipv4(ICMP, struct.pack("!BBHI", kind, 1, 0, 0) + quoted)

    def error6(quoted, kind=1):
        return ipv6(ICMP6, struct.pack("!BBHI", kind, 4, 0, 0) + quoted)

    def turned(packet):
        """From DST to SRC: what the sender of an error was sent."""
        at, size = (12, 4) if packet[0] >> 4 == 4 else (8, 16)
        return packet[:at] + packet[at + size:at + 2 * size] + packet[at:at + size] + packet[at + 2 * size:]
    yield "error4", error4(turned(PACKETS["udp4"])[:28])
    yield "error4-whole", error4(turned(PACKETS["tcp4-options"]), 11)
    yield "error4-foreign", error4(PACKETS["udp4"][:28])
    yield "error4-cut", error4(turned(PACKETS["udp4"])[:27])
    yield "error4-nested", error4(turned(error4(PACKETS["udp4"])))
    yield "error4-of-ping", error4(turned(PACKETS["icmp4"]))
    yield "error4-other-family", error4(PACKETS["udp6"])
    yield "redirect4", error4(turned(PACKETS["udp4"]), 5)
    yield "error6", error6(turned(PACKETS["udp6"]), 2)
    yield "error6-chain", error6(turned(PACKETS["tcp6-chain"]))
    yield "error6-fragment", error6(turned(PACKETS["udp6-last"]), 3)
    yield "error6-route", error6(turned(PACKETS["route6"])[:48])
    yield "error6-nested", error6(turned(error6(PACKETS["udp6"])))
    yield "neighbour6", ipv6(ICMP6, icmp(DATA[:24], 135))
    yield "fragment4", ipv4(ICMP, icmp(DATA[:24], 3), fragment=0x2000)
    yield "fragment6-empty", ipv6(ICMP6, b"", [(FRAGMENT, bytes([0, 4, 0xd0, 0, 0, 0, 9]))])
    yield "none6", PACKETS["none6"]
    yield "ping4", PACKETS["icmp4"]
    yield "ping6", PACKETS["icmp6"]
    yield "udp4", PACKETS["udp4"]


def reassembly():
    def rows(*given):
        return b"".join(struct.pack("!HBH", wait, lane, len(packet)) + packet for wait, lane, packet in given)

    def six(offset, more, body=DATA[:64]):
        return ipv6(UDP, body, [(FRAGMENT, struct.pack("!xHI", offset << 3 | more, 9))])
    first, middle, last = (ipv4(UDP, DATA[:64], fragment=part) for part in (0x2000, 0x2008, 0x0010))
    yield "whole4", rows((0, 0, first), (1, 0, middle), (1, 0, last))
    yield "whole6", rows((0, 0, six(0, 1)), (0, 0, six(8, 1)), (0, 0, six(16, 0)))
    yield "out-of-order", rows((0, 0, last), (0, 0, first), (0, 0, middle))
    yield "old", rows((0, 0, first), (31000, 0, last), (31000, 0, six(0, 1)), (61000, 0, first))
    yield "lanes", rows((0, 0, first), (0, 1, middle), (999, 1, last), (1, 1, last))
    yield "beyond", rows(*[(0, 0, ipv4(UDP, DATA, fragment=0x2000 | i * 32)) for i in range(30)])
    yield "others", rows(*[(7, i, packet) for i, packet in enumerate(PACKETS.values())])


def frame_reader():
    for name, content in frames():
        if len(content) < 1500:
            yield name, b"\xff" + content
            yield f"{name}-pieces", b"\6" + content


def netlink(kind, body, flags=0, length=None):
    return struct.pack(HOST + "IHHII", 16 + len(body) if length is None else length, kind, flags, 0, 0) + body


def attribute(kind, value, length=None):
    return (struct.pack(HOST + "HH", 4 + len(value) if length is None else length, kind) + value
            + bytes(-len(value) % 4))


def nfqueue():
    head, queue = bytes([2, 0, 0, 0]), 3 << 8
    number = attribute(1, struct.pack("!IHBx", 7, 0x0800, 1))
    packet = attribute(10, PACKETS["udp4"])
    yield "packet", netlink(queue, head + number + attribute(3, struct.pack("!I", 1)) + packet)
    yield "super", netlink(queue, head + number + attribute(14, struct.pack("!I", 3)) + packet)
    yield "truncated", netlink(queue, head + number + attribute(13, struct.pack("!I", 1500)) + packet)
    yield "no-number", netlink(queue, head + packet)
    yield "no-packet", netlink(queue, head + number)
    yield "short-value", netlink(queue, head + number + attribute(3, b"\1") + attribute(14, b""))
    yield "beyond", netlink(queue, head + number + attribute(10, b"x", 400))
    yield "zero", netlink(queue, head + number + attribute(10, b"x", 0))
    yield "error", netlink(2, bytes(20))
    yield "length", netlink(queue, head + number, length=4000)


def netlink_notice():
    def rows(*datagrams):
        return b"".join(struct.pack("!H", len(datagram)) + datagram for datagram in datagrams)
    link = netlink(16, struct.pack(HOST + "BxHiII", 0, 1, 3, 1, 0) + attribute(3, b"eth0\0"))
    address = netlink(20, struct.pack(HOST + "BBBBI", 2, 24, 0, 0, 3) + attribute(1, DATA[:4]))
    route = struct.pack(HOST + "8BI", 2, 0, 0, 0, 254, 3, 0, 1, 0)
    out = attribute(4, struct.pack(HOST + "i", 3))
    yield "link", rows(link, netlink(17, link[16:]))
    yield "address", rows(address + netlink(21, address[16:]))
    yield "route", rows(netlink(24, route + out + attribute(5, DATA[:4])))
    yield "route-behind", rows(netlink(25, route[:1] + b"\x18" + route[2:] + attribute(5, DATA[:4]) + out))
    yield "neighbour", rows(netlink(28, struct.pack(HOST + "4xiHBB", 3, 2, 0, 1)))
    yield "filter", rows(netlink(44, struct.pack(HOST + "4xiIII", 3, 1, 2, 3)))
    yield "netconf", rows(netlink(80, b"\2\0\0\0" + attribute(1, struct.pack(HOST + "i", 3))))
    yield "short", rows(netlink(16, b""), netlink(20, b"\2"), netlink(24, b"\2"), netlink(28, b""), netlink(80, b""))
    yield "cut", rows(link[:20], address[:10], netlink(24, route + attribute(4, b"", 40)))
    yield "length", rows(netlink(16, b"", length=4), netlink(16, b"", length=1 << 31))


def conntrack():
    def tuple_of(kind, source, destination, ports=(40000, 443)):
        four = len(source) == 4
        addresses = attribute(1 if four else 3, source) + attribute(2 if four else 4, destination)
        protocol = attribute(1, b"\6") + attribute(2, struct.pack("!H", ports[0])) \
            + attribute(3, struct.pack("!H", ports[1]))
        return attribute(0x8000 | kind, attribute(0x8001, addresses) + attribute(0x8002, protocol))

    def entry(family, *attributes):
        return netlink(0x100, bytes([family, 0, 0, 0]) + b"".join(attributes), 2)
    four = tuple_of(1, SRC4, DST4) + tuple_of(2, DST4, SRC4, (443, 40000))
    six = tuple_of(1, SRC6, DST6) + tuple_of(2, DST6, SRC6, (443, 40000))
    done = netlink(3, bytes(4), 2)
    status, zone = attribute(3, struct.pack("!I", 2)), attribute(18, struct.pack("!H", 5))
    yield "four", b"\0" + entry(2, four, status) + entry(2, four, zone) + done
    yield "six", b"\1" + entry(10, six, status, zone) + done
    yield "other-family", b"\0" + entry(10, six) + done
    yield "no-tuple", b"\0" + entry(2, status) + done
    yield "long-tuple", b"\0" + entry(2, attribute(0x8001, bytes(4) * 40)) + done
    yield "nested-beyond", b"\0" + entry(2, attribute(0x8001, attribute(0x8001, b"", 80))) + done
    yield "odd-tuple", b"\0" + entry(2, attribute(0x8001, b"\7\0\1\0abc")) + done
    yield "short", b"\0" + netlink(0x100, b"\2", 2)
    yield "error", b"\0" + netlink(2, struct.pack(HOST + "i", -22) + bytes(16))
    yield "interrupted", b"\0" + netlink(0x100, bytes([2, 0, 0, 0]) + four, 0x12)


def policy_text():
    yield "all", b"publish = web=443:8443\npublish = db=192.0.2.9:53:53/udp\nallow = 10.1.0.0/16\n" \
        b"connected = 172.17.0.0/16\nconnected = fd00:1::/64\n"
    yield "range", b"publish = web=8000-8010:9000-9010/tcp\n"
    yield "empty", b""
    yield "twice", b"publish = web=443:443\npublish = db=443:443\n"
    yield "nobody", b"publish = cache=443:443\n"
    yield "no-name", b"publish = 443:443\n"
    yield "loopback", b"publish = web=[::1]:443:443\n"
    yield "host-bits", b"allow = 10.1.2.3/8\n"
    yield "another-key", b"enclave = vsock:9\n"
    yield "full", b"".join(b"allow = 10.%d.0.0/16\n" % i for i in range(65))
    yield "no-line-end", b"allow = ::/0"


def resolvers_text():
    yield "two", b"9.9.9.9\n2620:fe::fe\n"
    yield "four", b"192.0.2.1\n" * 4
    yield "five", b"192.0.2.1\n" * 5
    yield "empty", b""
    yield "loopback", b"127.0.0.1\n"
    yield "more", b"9.9.9.9 options debug\n"
    yield "metadata", b"169.254.169.254\n"
    yield "no-line-end", b"\n\n9.9.9.9"


def daemon_json():
    yield "nothing", b""
    yield "empty", b" { } \n"
    yield "dns", b'{"debug": true, "dns": ["9.9.9.9", "::1"], "mtu": 1.5e3}\n'
    yield "no-dns", b'{\n  "log-opts": {"dns": "no", "list": [1, [], {}]}\n}\n'
    yield "dns-last", b'{"a":"\\"dns\\":","dns":null}'
    yield "twice", b'{"dns": ["9.9.9.9"], "debug": true, "dns": ["8.8.8.8"]}'
    yield "list", b"[]"
    yield "unfinished", b'{"dns": ["9.9.9.9"'
    yield "behind", b"{} {}"
    yield "deep", b'{"a":' + b"[" * 70 + b"]" * 70 + b"}"
    yield "control", b'{"a": "\n"}'


def resolv_conf():
    yield "all", b"# comment\nnameserver 9.9.9.9\nnameserver 2620:fe::fe\nsearch a.example b.example\n" \
        b"options edns0 trust-ad ndots:2\ndomain x\nsortlist 10.0.0.0/8\n"
    yield "own", b"nameserver 192.0.2.53\nnameserver ::1\nnameserver 9.9.9.9\n"
    yield "many", b"".join(b"nameserver 198.51.100.%d\n" % i for i in range(12))
    yield "zone", b"nameserver fe80::1%eth0\n"
    yield "tabs", b"\tnameserver\t9.9.9.9 \r\n; comment\nnameserver\n"
    yield "trust-ad", b"options trust-ad\noptions\ttrust-ad trust-ad\noptions xtrust-ad trust-adx"
    yield "no-line-end", b"search example"
    yield "empty", b""


def hosts():
    yield "all", b"127.0.0.1 localhost\n::1 localhost ip6-localhost\n192.0.2.1 db db.example # comment\n" \
        b"2001:db8::1\tdb\n"
    yield "aliases", b"192.0.2.1 a b c d e\n192.0.2.2 a\n192.0.2.1 a\n"
    yield "many", b"".join(b"198.51.100.%d many\n" % i for i in range(80))
    yield "bad", b"192.0.2 a\n192.0.2.1\n192.0.2.1 a..b\n192.0.2.1 " + b"x" * 64 + b"\n"
    yield "long-line", b"192.0.2.1 " + b"name " * 900 + b"\n192.0.2.2 behind\n"
    yield "escapes", b"192.0.2.1 a\\.b \\255\\000x . *\n"
    yield "special", b"192.0.2.1 localhost x.invalid 1.0.0.127.in-addr.arpa\n"
    yield "nul", b"192.0.2.1 a\0b\n"
    yield "empty", b""


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "corpus")
    for target in (bpf, coalesce, conntrack, control_request, ctl_answer, ctl_rings, daemon_json, dns_answer,
                   dns_cache, dns_name, dns_query, frame_reader, frames, handshake, hosts, icmp_errors,
                   netlink_notice, nfqueue, options_file, policy_text, reassembly, resolv_conf, resolvers_text,
                   segment, vnet):
        folder = root / target.__name__
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in target():
            (folder / name).write_bytes(content)


if __name__ == "__main__":
    main()
