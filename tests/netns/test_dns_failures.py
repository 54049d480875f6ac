# SPDX-License-Identifier: Apache-2.0
"""Questions that fail: remembered for a moment (RFC 9520), and explained (RFC 8914)."""
import signal
import struct

import dns_wire as wire
import pytest
from dns_servers import address_record, zone
from netns import wait_for

pytestmark = pytest.mark.daemons

NAMES = {"www.example": ["192.0.2.1"]}


def explanation(answer):
    """(code, text) of the answer's OPT."""
    rdata = answer.opt.rdata
    while rdata:
        code, length = struct.unpack("!HH", rdata[:4])
        if code == 15:
            return struct.unpack("!H", rdata[4:6])[0], rdata[6:4 + length].decode()
        rdata = rdata[4 + length:]
    return None


@pytest.mark.parametrize("rcode", [wire.SERVFAIL, wire.REFUSED])
def test_twenty_questions_one_query(dns, rcode):
    upstream = dns.upstream(lambda data: wire.response(data, rcode=rcode))
    daemon = dns.daemon(upstream=upstream)
    asked = [dns.ask("www.example", edns=wire.opt(1232)) for _ in range(20)]
    assert {answer.rcode for answer in asked} == {rcode}
    remembered = daemon.counters()["failed_before"]
    assert len(upstream.queries) + remembered == 20 and remembered > 0
    assert {explanation(answer)[0] for answer in asked if explanation(answer)} == {13}
    upstream.answer = zone(NAMES)
    assert dns.ask("mail.example").rcode == wire.NXDOMAIN  # another question is asked
    daemon.process.send_signal(signal.SIGHUP)
    wait_for(lambda: dns.ask("www.example").rcode == 0, "the answer after SIGHUP")


def test_failures_are_explained(dns):
    dns.daemon("--timeout", 1, "--upstream", "tcp://127.0.0.9:5300")
    code, text = explanation(dns.ask("www.example", edns=wire.opt(1232)))
    assert code == 23 and "reached" in text
    assert explanation(dns.ask("example", 252, edns=wire.opt(1232)))[0] == 21
    assert dns.ask("www.example").opt is None


def test_cut_answers_hold_what_fits(dns):
    records = [address_record(f"192.0.2.{i}") for i in range(60)]
    dns.daemon(upstream=dns.upstream(lambda data: wire.response(data, records)))
    answer = dns.ask("many.example")
    assert answer.flags & wire.TC and answer.answers
    assert [r.rdata for r in answer.answers] == [bytes([192, 0, 2, i]) for i in range(len(answer.answers))]
