# SPDX-License-Identifier: Apache-2.0
"""What causeway-dns makes of a question: raw clients on one side, a scripted upstream on the other."""
import struct

import dns_wire as wire
import pytest
from dns_servers import HOLD, RESET, address_record, zone
from dns_system import OTHER, half_close, loopback, recv_stream, send_stream
from netns import wait_for

pytestmark = pytest.mark.daemons

NAMES = {"www.example": ["192.0.2.1", "2001:db8::1"], "many.example": ["192.0.2.1", "192.0.2.2"]}


def addresses(message):
    return [record.rdata for record in message.answers if record.kind in (wire.A, wire.AAAA)]


def test_address_over_both_transports_and_families(dns, version):
    upstream = dns.upstream(zone(NAMES))
    dns.daemon(upstream=upstream)
    answer = dns.ask("www.example", version=version)
    assert answer.rcode == 0 and addresses(answer) == [bytes([192, 0, 2, 1])]
    assert answer.flags & wire.RA and answer.flags & wire.QR and not answer.flags & wire.AA
    with dns.connect(version) as stream:
        send_stream(stream, wire.query("www.example", wire.AAAA))
        assert len(addresses(recv_stream(stream))[0]) == 16
    assert dns.ask("none.example").rcode == wire.NXDOMAIN


@pytest.mark.parametrize("listen", ["0.0.0.0", "[::]"])
def test_answers_come_from_the_address_that_was_asked(dns, listen):
    """Also from a wildcard listener, with several addresses to choose from."""
    upstream = dns.upstream(zone(NAMES))
    dns.daemon("--listen", listen, "--cache", "off", upstream=upstream)
    version = 6 if ":" in listen else 4
    for address in (loopback(version), OTHER[version]):
        with dns.client(version) as client:
            client.sendto(wire.query("www.example"), (address, 53))
            data, source = client.recvfrom(4096)
        assert source[0] == address and wire.Message(data).rcode == 0


def test_case_and_id_are_the_clients_own(dns):
    """0x20: each gets the question as it wrote it; the upstream's id is another one every time."""
    upstream = dns.upstream(zone(NAMES))
    dns.daemon(upstream=upstream)
    for text, ident in (("wWw.ExAmPlE", 7), ("www.EXAMPLE", 0xffff), ("WWW.example", 0)):
        answer = dns.ask(text, ident=ident)
        assert (answer.name, answer.ident) == (text, ident)
        assert addresses(answer) == [bytes([192, 0, 2, 1])]
    assert [message.name for message in upstream.asked()] == ["wWw.ExAmPlE"]


def test_ids_upstream_are_not_the_clients(dns):
    upstream = dns.upstream(zone(NAMES))
    dns.daemon("--cache", "off", upstream=upstream)
    for _ in range(8):
        dns.ask("www.example", ident=1)
    assert len({message.ident for message in upstream.asked()}) > 4


def test_identical_questions_are_asked_once(dns):
    """Case, id and transport do not make another question; type, DO and CD do."""
    upstream = dns.upstream(lambda data: HOLD)
    daemon = dns.daemon(upstream=upstream)
    clients = [dns.client() for _ in range(5)]
    same = [wire.query("www.example", ident=1), wire.query("WWW.example", ident=2),
            wire.query("www.EXAMPLE", ident=3, edns=wire.opt()),
            wire.query("www.example", ident=4, flags=wire.RD | wire.AD), None]
    for client, data in zip(clients, same):
        if data:
            client.sendto(data, ("127.0.0.1", 53))
    stream = dns.connect()
    send_stream(stream, wire.query("wwW.example", ident=5))
    other = dns.client()
    others = [wire.query("www.example", wire.AAAA), wire.query("www.example", edns=wire.opt(
        flags=wire.DO)), wire.query("www.example", flags=wire.RD | wire.CD)]
    for data in others:
        other.sendto(data, ("127.0.0.1", 53))
    upstream.wait_held(4)
    wait_for(lambda: daemon.counters()["waiting"] == 8, "eight clients that wait")
    assert daemon.counters()["joined"] == 4
    upstream.release(zone(NAMES))
    for number, client in enumerate(clients[:4], 1):
        answer = wire.Message(client.recv(4096))
        assert answer.ident == number and len(answer.answers) == 1
    assert recv_stream(stream).name == "wwW.example"
    assert len(upstream.queries) == 4


def test_cache_counts_down_and_is_flushed(dns):
    upstream = dns.upstream(zone(NAMES, ttl=300))
    daemon = dns.daemon(upstream=upstream)
    assert dns.ask("www.example").answers[0].ttl == 300
    assert dns.ask("www.example").answers[0].ttl <= 300
    assert dns.ask("none.example").rcode == dns.ask("none.example").rcode == wire.NXDOMAIN
    assert len(upstream.queries) == 2 and daemon.counters()["hits"] == 2
    wait_for(lambda: dns.ask("www.example").answers[0].ttl < 300, "a TTL that is counted down")
    daemon.process.send_signal(1)
    wait_for(lambda: "the cache is empty" in daemon.log(), "the flush")
    assert dns.ask("www.example").answers[0].ttl == 300
    assert len(upstream.queries) == 3 and daemon.counters()["flushes"] == 1


def test_negative_answers_are_kept_as_long_as_the_zone_says(dns):
    """RFC 2308 5: the lesser of the SOA's TTL and its minimum; counted down; no name, or no data."""
    upstream = dns.upstream(zone(NAMES, ttl=300, minimum=60))
    dns.daemon(upstream=upstream)
    for name, kind, rcode in (("none.example", wire.A, wire.NXDOMAIN), ("www.example", wire.TXT, 0)):
        for _ in range(3):
            answer = dns.ask(name, kind)
            assert answer.rcode == rcode and answer.answers == []
            assert answer.authority[0].kind == wire.SOA and 0 < answer.authority[0].ttl <= 60
        wait_for(lambda n=name, k=kind: dns.ask(n, k).authority[0].ttl < 60, "a TTL counted down")
    assert len(upstream.queries) == 2


def test_negative_answers_end(dns):
    """And are not given past their time for longer than others: the name may exist by then."""
    upstream = dns.upstream(zone({}, minimum=1))
    dns.daemon(upstream=upstream)
    assert dns.ask("www.example").rcode == wire.NXDOMAIN
    upstream.answer = zone(NAMES)
    wait_for(lambda: dns.ask("www.example").rcode == 0, "the name to be found")


@pytest.mark.parametrize("rcode", [wire.NXDOMAIN, wire.NOERROR])
def test_denials_without_a_soa_are_not_kept(dns, rcode):
    """RFC 2308 5: there is nothing that says for how long."""
    upstream = dns.upstream(lambda data: wire.response(data, rcode=rcode))
    dns.daemon(upstream=upstream)
    for count in range(1, 4):
        assert dns.ask("www.example").rcode == rcode
        assert len(upstream.queries) == count


def test_cut_answers_of_an_upstream_are_not_kept(dns):
    """A TC bit over TCP is the upstream's mistake: passed on as it is, and asked again for others."""
    record = address_record("192.0.2.1")
    upstream = dns.upstream(lambda data: wire.response(data, [record], flags=wire.TC))
    daemon = dns.daemon(upstream=upstream)
    for count in range(1, 4):
        assert dns.ask("www.example").flags & wire.TC
        assert len(upstream.queries) == count
    with dns.connect() as stream:
        send_stream(stream, wire.query("www.example"))
        assert recv_stream(stream).flags & wire.TC
    assert daemon.counters("cache")["entries"] == 0


def test_a_ttl_of_zero_is_not_kept(dns):
    upstream = dns.upstream(zone(NAMES, ttl=0))
    dns.daemon(upstream=upstream)
    for count in range(1, 4):
        assert dns.ask("www.example").answers[0].ttl == 0
        assert len(upstream.queries) == count


def test_cache_off(dns):
    upstream = dns.upstream(zone(NAMES))
    dns.daemon("--cache", "off", upstream=upstream)
    for _ in range(3):
        dns.ask("www.example")
    assert len(upstream.queries) == 3


@pytest.mark.parametrize("rcode", [wire.SERVFAIL, wire.REFUSED])
def test_a_failed_answer_is_passed_on_and_not_kept_for_long(dns, rcode):
    """How long it is: test_dns_failures.py."""
    upstream = dns.upstream(lambda data: wire.response(data, rcode=rcode))
    dns.daemon(upstream=upstream)
    for _ in range(2):
        assert dns.ask("www.example").rcode == rcode
    before = len(upstream.queries)
    wait_for(lambda: dns.ask("www.example") and len(upstream.queries) > before, "another query")


def test_servfail_when_the_upstream_is_silent(dns):
    upstream = dns.upstream(lambda data: HOLD)
    daemon = dns.daemon("--timeout", 1, upstream=upstream)
    assert dns.ask("www.example").rcode == wire.SERVFAIL
    counters = daemon.counters()
    assert counters["servfail"] == 1 and counters["failure_timeout"] == 1, counters


def test_servfail_when_nobody_listens(dns):
    daemon = dns.daemon("--timeout", 1, "--upstream", "tcp://127.0.0.9:53")
    assert dns.ask("www.example").rcode == wire.SERVFAIL
    assert daemon.counters()["servfail"] == 1


def test_an_expired_answer_when_upstreams_are_gone(dns):
    """RFC 8767: first the client waits a moment, the next ones do not; a TTL of 30 s."""
    upstream = dns.upstream(zone(NAMES, ttl=1))
    daemon = dns.daemon("--timeout", 3, upstream=upstream)
    assert dns.ask("www.example").answers[0].ttl == 1
    upstream.answer = lambda data: HOLD
    wait_for(lambda: dns.ask("www.example").answers[0].ttl == 30, "an answer past its time")
    assert daemon.counters()["stale"] == 1
    wait_for(lambda: daemon.counters()["stale"] < len(upstream.held) + 2 and
             dns.ask("www.example").answers[0].ttl == 30, "another one")
    assert daemon.counters()["servfail"] == 0
    # And back: what comes late is kept.
    upstream.answer = zone(NAMES, ttl=100)
    upstream.release(zone(NAMES, ttl=100))
    wait_for(lambda: dns.ask("www.example").answers[0].ttl > 30, "a fresh answer")


def test_no_expired_answers_if_told_so(dns):
    upstream = dns.upstream(zone(NAMES, ttl=1))
    dns.daemon("--timeout", 1, "--serve-stale", "off", upstream=upstream)
    dns.ask("www.example")
    upstream.answer = lambda data: RESET
    wait_for(lambda: dns.ask("www.example").rcode == wire.SERVFAIL, "SERVFAIL")


def test_large_answers_are_cut_to_what_the_client_takes(dns):
    record = wire.record(None, wire.TXT, 60, b"".join(bytes([250]) + b"x" * 250 for _ in range(8)))
    upstream = dns.upstream(lambda data: wire.response(data, [record]))
    daemon = dns.daemon(upstream=upstream)
    for edns, cut in ((None, True), (wire.opt(1232), True), (wire.opt(2000), True),
                      (wire.opt(4096), False), (wire.opt(100), True)):
        answer = dns.ask("txt.example", wire.TXT, edns=edns)
        assert bool(answer.flags & wire.TC) == cut and len(answer.answers) == (not cut)
        assert (answer.opt is None) == (edns is None)
    assert daemon.counters()["answers_cut"] == 4
    with dns.connect() as stream:
        send_stream(stream, wire.query("txt.example", wire.TXT))
        assert recv_stream(stream).answers[0].rdata == record[12:]


def test_the_largest_answer_comes_over_tcp(dns):
    records = [wire.record(None, wire.TXT, 60, bytes([255]) + b"y" * 255)] * 240
    upstream = dns.upstream(lambda data: wire.response(data, records))
    dns.daemon("--cache", "off", upstream=upstream)
    assert dns.ask("big.example", wire.TXT, edns=wire.opt(65535)).flags & wire.TC
    with dns.connect() as stream:
        send_stream(stream, *[wire.query("big.example", wire.TXT, ident=n) for n in range(9)])
        answers = [recv_stream(stream) for _ in range(9)]
    assert {len(answer.answers) for answer in answers} == {240}


def test_dnssec_bits_and_records_pass(dns):
    signed = [address_record("192.0.2.1"), wire.record(None, wire.RRSIG, 300, b"\0\1" + b"s" * 60)]

    def answer(data):
        asked = wire.Message(data)
        wants = asked.opt is not None and asked.opt.ttl & wire.DO
        return wire.response(data, signed if wants else signed[:1], flags=wire.AD,
                             additional=[wire.opt(flags=wire.DO if wants else 0)])
    upstream = dns.upstream(answer)
    dns.daemon(upstream=upstream)
    plain = dns.ask("www.example")
    assert len(plain.answers) == 1 and not plain.flags & wire.AD and plain.opt is None
    assert dns.ask("www.example", flags=wire.RD | wire.AD).flags & wire.AD
    done = dns.ask("www.example", edns=wire.opt(flags=wire.DO))
    assert done.flags & wire.AD and done.opt.ttl & wire.DO
    assert [record.kind for record in done.answers] == [wire.A, wire.RRSIG]
    checked = dns.ask("www.example", flags=wire.RD | wire.CD)
    assert checked.flags & wire.CD
    assert {bool(message.flags & wire.CD) for message in upstream.asked()} == {False, True}


def test_unknown_types_pass(dns):
    """RFC 3597: a record type of the future, with data that looks like a compressed name."""
    rdata = b"\xc0\x0c\0\xff\x01"
    upstream = dns.upstream(lambda data: wire.response(
        data, [wire.record(None, wire.Message(data).kind, 60, rdata)]))
    dns.daemon(upstream=upstream)
    for kind in (64, 99, 1234, 65280, 65534):
        for _ in range(2):
            assert dns.ask("www.example", kind).answers[0].rdata == rdata


def test_questions_that_are_not_passed_on(dns):
    upstream = dns.upstream(zone(NAMES))
    daemon = dns.daemon(upstream=upstream)
    for kind in (251, 252, 250, 249, 41, 128):  # IXFR, AXFR, TSIG, TKEY, OPT
        assert dns.ask("example", kind).rcode == wire.REFUSED, kind
    assert dns.ask("version.bind", wire.TXT, cls=3).rcode == wire.REFUSED
    with dns.connect() as stream:
        send_stream(stream, wire.query("example", wire.AXFR))
        assert recv_stream(stream).rcode == wire.REFUSED
    everything = dns.ask("www.example", wire.ANY)  # RFC 8482
    assert everything.rcode == 0 and everything.answers[0].kind == 13
    assert upstream.queries == [] and daemon.counters()["refused"] == 8


def test_pipelined_questions_are_answered_as_they_are_known(dns):
    upstream = dns.upstream(lambda data: HOLD if b"slow" in data else zone(NAMES)(data))
    dns.daemon(upstream=upstream)
    with dns.connect() as stream:
        send_stream(stream, wire.query("slow.example", ident=1),
                    wire.query("www.example", ident=2), wire.query("many.example", ident=3))
        assert {recv_stream(stream).ident, recv_stream(stream).ident} == {2, 3}
        upstream.wait_held(1)
        upstream.release(zone(NAMES))
        assert recv_stream(stream).ident == 1


def test_more_pipelined_questions_than_are_worked_on(dns):
    """The rest waits in the connection and gets its turn."""
    upstream = dns.upstream(lambda data: HOLD)
    daemon = dns.daemon(upstream=upstream)
    with dns.connect() as stream:
        send_stream(stream, *[wire.query(f"n{n}.example", ident=n) for n in range(300)])
        upstream.wait_held(128)
        assert daemon.counters()["waiting"] == 128
        upstream.answer = zone(NAMES)
        upstream.release(zone(NAMES))
        assert {recv_stream(stream).ident for _ in range(300)} == set(range(300))


def test_a_client_that_ends_first_gets_its_answers(dns):
    upstream = dns.upstream(lambda data: HOLD)
    daemon = dns.daemon(upstream=upstream)
    with dns.connect() as stream:
        send_stream(stream, *[wire.query(f"n{n}.example", ident=n) for n in range(5)])
        half_close(stream)
        upstream.wait_held(5)
        upstream.release(zone(NAMES))
        assert {recv_stream(stream).ident for _ in range(5)} == set(range(5))
        assert recv_stream(stream) is None
    wait_for(lambda: daemon.counters()["connections"] == 0, "the end of the connection")


def test_idle_time_is_told_to_those_who_ask(dns):
    upstream = dns.upstream(zone(NAMES))
    dns.daemon(upstream=upstream)
    keepalive = wire.opt(options=wire.option(wire.KEEPALIVE))
    with dns.connect() as stream:
        for _ in range(2):
            send_stream(stream, wire.query("www.example", edns=keepalive))
            assert recv_stream(stream).options()[wire.KEEPALIVE] == struct.pack("!H", 100)
        send_stream(stream, wire.query("www.example", edns=wire.opt()))
        assert wire.KEEPALIVE not in recv_stream(stream).options()
    assert wire.KEEPALIVE not in dns.ask("www.example", edns=keepalive).options()


def test_over_a_link_from_another_causeway_dns(dns):
    """The parent's role: questions come over a stream of the link, many on one connection."""
    upstream = dns.upstream(zone(NAMES))
    link = f"unix:{dns.path('link')}"
    parent = dns.daemon("--listen", link, upstream=upstream, label="parent")
    enclave = dns.daemon("--upstream", link, "--cache", "off", label="enclave")
    for number in range(20):
        assert dns.ask("www.example", ident=number).ident == number
    assert parent.counters()["queries_link"] == 20 and parent.counters()["streams"] == 1
    assert enclave.counters("upstream")["answers"] == 20


def test_wrong_answers_of_the_upstream_are_passed_over(dns):
    """Another id, name, type or class, twice: the right one is taken when it comes."""
    def answer(data):
        good = zone(NAMES)(data)
        wrong = bytes([good[0] ^ 1]) + good[1:]
        other = wire.response(wire.query("other.example", ident=wire.Message(data).ident),
                              [address_record("203.0.113.9")])
        kind, cls = [wire.response(wire.query("www.example", ident=wire.Message(data).ident, **what),
                                   [address_record("203.0.113.9")])
                     for what in ({"kind": wire.TXT}, {"cls": 3})]
        return [wrong, other, kind, cls, good, good]
    upstream = dns.upstream(answer)
    daemon = dns.daemon("--cache", "off", upstream=upstream)
    for _ in range(5):
        assert addresses(dns.ask("www.example")) == [bytes([192, 0, 2, 1])]
    counters = daemon.counters("upstream")
    assert counters["mismatch_question"] == 15, counters


def test_upstream_over_ipv6(dns):
    upstream = dns.upstream(zone(NAMES), address="::1")
    dns.daemon(upstream=upstream)
    assert addresses(dns.ask("www.example")) == [bytes([192, 0, 2, 1])]


def test_local_names(dns, tmp_path):
    hosts = tmp_path / "hosts"
    tmp_path.chmod(0o755)
    for parent in list(tmp_path.parents)[:3]:
        parent.chmod(parent.stat().st_mode | 0o055)
    hosts.write_text("192.0.2.7 printer printer.lan\n")
    upstream = dns.upstream(zone(NAMES))
    daemon = dns.daemon("--hosts-file", hosts, "--host", "db.internal=192.0.2.8", "--user", "nobody",
                        upstream=upstream)
    assert addresses(dns.ask("printer.lan")) == [bytes([192, 0, 2, 7])]
    assert addresses(dns.ask("DB.internal")) == [bytes([192, 0, 2, 8])]
    for name in ("localhost", "LocalHost", "any.localhost"):
        assert addresses(dns.ask(name)) == [bytes([127, 0, 0, 1])]
        assert addresses(dns.ask(name, wire.AAAA)) == [bytes(15) + b"\1"]
    none = dns.ask("db.internal", wire.AAAA)
    assert none.rcode == 0 and none.answers == []
    assert upstream.queries == [] and daemon.counters()["local"] == 9
    hosts.write_text("192.0.2.9 printer.lan\n")
    wait_for(lambda: addresses(dns.ask("printer.lan")) == [bytes([192, 0, 2, 9])],
             "the hosts file to be read again")
