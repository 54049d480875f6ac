# SPDX-License-Identifier: Apache-2.0
"""Bad input to causeway-dns: each is answered with an error or dropped and counted, and nobody else
notices."""
import os
import random
import socket
import struct

import dns_wire as wire
import pytest
from dns_servers import HOLD, zone
from dns_system import ended, half_close, recv_stream, send_stream
from netns import wait_for
from system import EXTRA

pytestmark = pytest.mark.daemons

NAMES = {"www.example": ["192.0.2.1"]}


@pytest.fixture
def daemon(dns):
    dns.hold = dns.upstream(zone(NAMES))
    return dns.daemon(upstream=dns.hold)


def works(dns):
    return dns.ask("www.example").answers[0].rdata == bytes([192, 0, 2, 1])


def drops(daemon, name):
    return daemon.counters().get(f"drop_{name}", 0)


GOOD = wire.query("www.example")
LOOP = GOOD[:12] + b"\xc0\x0c" + struct.pack("!HH", 1, 1)
FORWARD = GOOD[:12] + b"\xc0\x10\0\0" + struct.pack("!HH", 1, 1)
LONG_NAME = GOOD[:12] + b"\x3f" + b"a" * 63 + (b"\x3f" + b"b" * 63) * 3 + b"\0\0\1\0\1"
BAD_FORMAT = {
    "no question": struct.pack("!6H", 9, wire.RD, 0, 0, 0, 0),
    "two questions": struct.pack("!6H", 9, wire.RD, 2, 0, 0, 0) + GOOD[12:] * 2,
    "65535 questions": struct.pack("!6H", 9, wire.RD, 65535, 0, 0, 0) + GOOD[12:],
    "cut in the name": GOOD[:18],
    "cut in the type": GOOD[:-3],
    "bytes behind it": GOOD + b"\0",
    "a loop": LOOP,
    "a pointer forward": FORWARD,
    "a name too long": LONG_NAME,
    "a label of type 0x40": GOOD[:12] + b"\x41a\0\0\1\0\1",
    "an answer": struct.pack("!6H", 9, wire.RD, 1, 1, 0, 0) + GOOD[12:] + wire.record(
        None, 1, 1, b"abcd"),
    "two OPT": struct.pack("!6H", 9, wire.RD, 1, 0, 0, 2) + GOOD[12:] + wire.opt() * 2,
    "OPT of a name": struct.pack("!6H", 9, wire.RD, 1, 0, 0, 1) + GOOD[12:] + b"\1a" + wire.opt(),
    "OPT with options cut": struct.pack("!6H", 9, wire.RD, 1, 0, 0, 1) + GOOD[12:] +
                            wire.opt(options=b"\0\x0b\0\xff"),
    "a record cut": struct.pack("!6H", 9, wire.RD, 1, 0, 0, 1) + GOOD[12:] + wire.opt()[:-1],
    "4000 bytes": GOOD + b"\0" * 4000,
}


@pytest.mark.parametrize("what", BAD_FORMAT)
def test_malformed_is_formerr(dns, daemon, what):
    data = BAD_FORMAT[what]
    with dns.client() as client:
        client.sendto(data, ("127.0.0.1", 53))
        answer = wire.Message(client.recv(4096))
    assert answer.rcode == wire.FORMERR and answer.ident == struct.unpack_from("!H", data)[0]
    if len(data) <= 2048:
        with dns.connect() as stream:
            send_stream(stream, data)
            assert recv_stream(stream).rcode == wire.FORMERR
    assert works(dns) and daemon.counters()["bad_format"] >= 1


def test_other_opcodes_and_edns_versions(dns, daemon):
    for opcode in (1, 2, 4, 5, 6, 15):  # inverse query, status, notify, update, stateful, unknown
        assert dns.ask("www.example", flags=opcode << 11).rcode == wire.NOTIMP
    answer = dns.ask("www.example", edns=wire.opt(version=1))
    assert answer.rcode == 0 and answer.opt.ttl >> 24 == 1  # BADVERS is 16
    counters = daemon.counters()
    assert (counters["bad_opcode"], counters["bad_version"]) == (6, 1) and works(dns)


def test_dropped_without_an_answer(dns, daemon):
    """Responses (two servers would talk for ever) and what has no header."""
    with dns.client() as client:
        for data in (b"", b"x", GOOD[:11]):
            client.sendto(data, ("127.0.0.1", 53))
        client.sendto(wire.response(GOOD), ("127.0.0.1", 53))
        client.sendto(GOOD, ("127.0.0.1", 53))
        assert wire.Message(client.recv(4096)).rcode == 0
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.recv(4096)
    assert drops(daemon, "short") == 3 and drops(daemon, "response") == 1


def test_junk_datagrams(dns, daemon):
    chance = random.Random(1)
    with dns.client() as client:
        client.setblocking(False)
        for _ in range(3000):
            data = bytearray(GOOD if chance.random() < 0.7 else chance.randbytes(chance.randrange(600)))
            for _ in range(chance.randrange(4)):
                if data:
                    data[chance.randrange(len(data))] = chance.randrange(256)
            client.sendto(bytes(data), ("127.0.0.1", 53))
            try:
                wire.Message(client.recv(4096))
            except BlockingIOError:
                pass
    assert works(dns) and daemon.alive()


@pytest.mark.parametrize("junk,reason", [
    (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "stream_oversized"),
    (b"\xff\xff" + b"x" * 5000, "stream_oversized"),
    (b"\0\0", "short"),
    (b"\0\x05hello", "short"),
    (struct.pack("!H", 40) + wire.response(GOOD)[:40].ljust(40, b"\0"), "response"),
], ids=["http", "too long", "empty", "no header", "response"])
def test_junk_streams_are_closed(dns, daemon, junk, reason):
    with dns.connect() as stream:
        stream.sendall(junk)
        assert ended(stream)
    wait_for(lambda: drops(daemon, reason) == 1, f"a drop for {reason}")
    assert works(dns)


def test_a_stream_cut_in_a_query(dns, daemon):
    with dns.connect() as stream:
        stream.sendall(struct.pack("!H", len(GOOD)) + GOOD[:-1])
        half_close(stream)
        assert ended(stream)
    wait_for(lambda: drops(daemon, "stream_broken") == 1, "a broken stream")


def test_queries_in_single_bytes(dns, daemon):
    with dns.connect() as stream:
        for byte in struct.pack("!H", len(GOOD)) + GOOD:
            stream.send(bytes([byte]))
        assert recv_stream(stream).rcode == 0


def test_slow_clients_are_closed(dns, daemon):
    """One that does not complete its query, one that asks nothing; a good one meanwhile."""
    slow, idle = dns.connect(), dns.connect()
    slow.sendall(struct.pack("!H", len(GOOD)) + GOOD[:5])
    assert works(dns)
    assert ended(idle) and ended(slow)
    counters = daemon.counters()
    assert counters["drop_stream_slow_query"] == 1 and counters["streams_idle"] == 1
    assert counters["connections"] == 0


def test_a_client_that_does_not_read(dns):
    """Answers wait in memory of fixed size; then the connection goes, and no other."""
    records = [wire.record(None, wire.TXT, 600, bytes([255]) + b"z" * 255)] * 240
    upstream = dns.upstream(lambda data: wire.response(data, records))
    daemon = dns.daemon(upstream=upstream)
    greedy = dns.namespace.stream(4)
    greedy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    greedy.connect(("127.0.0.1", 53))
    greedy.setblocking(False)
    data = wire.query("big.example", wire.TXT)
    block = (struct.pack("!H", len(data)) + data) * 50

    def pushed_out():
        try:
            greedy.send(block)
        except BlockingIOError:
            pass
        except OSError:
            return True
        counters = daemon.counters()
        return counters.get("drop_stream_slow_reader") or counters.get("drop_stream_no_buffer")
    wait_for(pushed_out, "the end of the connection")
    with dns.connect() as stream:
        send_stream(stream, data)
        assert len(recv_stream(stream).answers) == 240
    assert daemon.resident_kib() < 120 * 1024
    greedy.close()


def test_a_full_table_closes_the_longest_idle(dns):
    upstream = dns.upstream(lambda data: HOLD if b"slow" in data else zone(NAMES)(data))
    daemon = dns.daemon("--tcp-clients", 8, upstream=upstream)
    busy = dns.connect()
    send_stream(busy, wire.query("slow.example"))
    upstream.wait_held(1)
    streams = []
    for _ in range(7):
        streams.append(dns.connect())
        send_stream(streams[-1], GOOD)
        assert recv_stream(streams[-1]).rcode == 0
    send_stream(streams[0], GOOD)  # now streams[1] has been idle longest
    assert recv_stream(streams[0]).rcode == 0
    with dns.connect() as late:
        send_stream(late, GOOD)
        assert recv_stream(late).rcode == 0
        assert ended(streams[1])
        assert daemon.counters()["streams_evicted"] == 1
        upstream.release(zone(NAMES))
        assert recv_stream(busy).ident == 0x1234
        send_stream(streams[0], GOOD)
        assert recv_stream(streams[0]).rcode == 0


def test_all_connections_busy(dns):
    upstream = dns.upstream(lambda data: HOLD)
    daemon = dns.daemon("--tcp-clients", 4, upstream=upstream)
    streams = [dns.connect() for _ in range(4)]
    for number, stream in enumerate(streams):
        send_stream(stream, wire.query(f"n{number}.example"))
    upstream.wait_held(4)
    with dns.connect() as late:
        assert ended(late)
    wait_for(lambda: drops(daemon, "streams_full") == 1, "a connection refused")
    upstream.release(zone(NAMES))
    assert [recv_stream(stream).rcode for stream in streams] == [wire.NXDOMAIN] * 4


def test_many_connections_that_do_nothing(dns, daemon):
    """A thousand of them; a good client gets in."""
    crowd = [dns.connect() for _ in range(1000)]
    with dns.connect() as stream:
        send_stream(stream, GOOD)
        assert recv_stream(stream).rcode == 0
    assert works(dns)
    assert daemon.counters()["streams_evicted"] >= 700
    assert len(daemon.descriptors()) < 256 + 64
    for client in crowd:
        client.close()


def test_one_client_too_many_questions(dns):
    """Its own limit is its own: others are served."""
    upstream = dns.upstream(lambda data: HOLD if b"slow" in data else zone(NAMES)(data))
    daemon = dns.daemon("--listen", "0.0.0.0", "--client-limit", 10, upstream=upstream)
    with dns.client() as greedy, dns.client() as other:
        greedy.bind(("127.0.0.3", 0))
        for number in range(15):
            greedy.sendto(wire.query(f"slow{number}.example", ident=number), ("127.0.0.1", 53))
        refused = [wire.Message(greedy.recv(4096)) for _ in range(5)]
        assert [answer.rcode for answer in refused] == [wire.SERVFAIL] * 5
        other.bind(("127.0.0.4", 0))
        other.sendto(wire.query("slow.example"), ("127.0.0.1", 53))
        upstream.wait_held(11)
        assert daemon.counters()["limit_client_limit"] == 5
        upstream.release(zone(NAMES))
        assert len({greedy.recv(4096)[:2] for _ in range(10)}) == 10
        assert wire.Message(other.recv(4096)).rcode == wire.NXDOMAIN
        greedy.sendto(GOOD, ("127.0.0.1", 53))
        assert wire.Message(greedy.recv(4096)).rcode == 0


def test_too_many_questions_in_all(dns):
    upstream = dns.upstream(lambda data: HOLD)
    daemon = dns.daemon("--queries", 20, "--timeout", 30, upstream=upstream)
    with dns.client() as client:
        for number in range(25):
            client.sendto(wire.query(f"n{number}.example", ident=number), ("127.0.0.1", 53))
        assert [wire.Message(client.recv(4096)).rcode for _ in range(5)] == [wire.SERVFAIL] * 5
        assert daemon.counters()["limit_queries_limit"] == 5
        upstream.wait_held(20)
        upstream.release(zone(NAMES))
        assert len({client.recv(4096)[:2] for _ in range(20)}) == 20
    assert daemon.counters()["waiting"] == 0


def test_clients_that_go_before_their_answer(dns):
    upstream = dns.upstream(lambda data: HOLD)
    daemon = dns.daemon(upstream=upstream)
    for number in range(50):
        with dns.connect() as stream:
            send_stream(stream, wire.query(f"n{number}.example"))
            upstream.wait_held(number + 1)
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wait_for(lambda: daemon.counters()["connections"] == 0, "the ends of the connections")
    upstream.answer = zone(NAMES)
    upstream.release(zone(NAMES))
    wait_for(lambda: daemon.counters()["waiting"] == 0, "the answers")
    assert daemon.counters()["drop_client_gone"] == 50 and works(dns)


def test_memory_is_the_cache_and_a_little_more(dns):
    """All questions waiting, all connections open and one that does not read: 16 MB suffice."""
    if EXTRA:
        pytest.skip("a sanitizer's memory would be counted, too")
    big = [wire.record(None, wire.TXT, 600, bytes([255]) + b"z" * 255)] * 240
    upstream = dns.upstream(lambda data: wire.response(data, big) if b"big" in data else HOLD)
    daemon = dns.daemon("--cache", "1M", "--client-limit", 4096, "--timeout", 60, upstream=upstream)
    streams = [dns.connect() for _ in range(255)]
    for stream in streams:
        stream.sendall(b"\0")
    reader = dns.connect()
    send_stream(reader, *[wire.query("big.example", wire.TXT)] * 100)
    with dns.client() as client:
        for number in range(4000):
            client.sendto(wire.query(f"n{number}.example"), ("127.0.0.1", 53))
            if number % 100 == 0:
                upstream.wait_held(number // 2)
    wait_for(lambda: daemon.counters()["waiting"] >= 4000, "questions that wait")
    assert daemon.resident_kib() < (1 + 16) * 1024
    upstream.release(zone({}))
    wait_for(lambda: daemon.counters()["waiting"] == 0, "the answers")
    assert daemon.resident_kib() < (1 + 16) * 1024


def test_no_memory_grows(dns, daemon):
    """Many names, many clients: after a first round the process is as large as it will be."""
    def burst(seed):
        with dns.client() as client:
            for number in range(2000):
                client.sendto(wire.query(f"n{seed}-{number}.example"), ("127.0.0.1", 53))
                client.recv(4096)
    burst(0)
    before = daemon.resident_kib()
    for seed in range(1, 4):
        burst(seed)
    assert daemon.resident_kib() < before + 8 * 1024
    assert len(os.listdir(f"/proc/{daemon.process.pid}/fd")) < 40
