# SPDX-License-Identifier: Apache-2.0
"""What is believed of an upstream, and for how long."""
from pathlib import Path

import dns_wire as wire
import pytest
from dns_servers import address_record, zone
from dns_system import OTHER
from netns import wait_for

pytestmark = pytest.mark.daemons

NAMES = {"www.example": ["192.0.2.1", "2001:db8::1"]}


def authentic(data):
    return wire.response(data, [address_record("192.0.2.1")], flags=wire.AD)


@pytest.mark.parametrize("address, kept", [("127.0.0.2", True), (OTHER[4], False), (OTHER[6], False)])
def test_ad_of_who_is_not_authenticated_is_cleared(dns, address, kept):
    upstream = dns.upstream(authentic, address=address)
    dns.daemon(upstream=upstream)
    for _ in range(2):  # from the upstream, and from the cache
        answer = dns.ask("www.example", flags=wire.RD | wire.AD)
        assert bool(answer.flags & wire.AD) == kept


def test_trust_ad_is_not_taken_over(dns):
    conf = Path(dns.path("resolv.conf"))
    conf.write_text("nameserver 127.0.0.53\noptions edns0 trust-ad timeout:2\nsearch trust-ad.example\n")
    upstream = dns.upstream(authentic)
    daemon = dns.daemon("--resolv-conf", conf, upstream=upstream)
    text = conf.read_text()
    assert "edns0" in text and "timeout:2" in text and "trust-ad.example" in text
    assert "trust-ad" not in text.replace("trust-ad.example", "")
    assert daemon.stop() == 0
    assert "options edns0 trust-ad timeout:2" in conf.read_text()


def test_negative_answers_are_kept_for_an_hour_at_most(dns):
    upstream = dns.upstream(zone(NAMES, ttl=604800, minimum=604800))
    dns.daemon(upstream=upstream)
    for text in ("none.example", "www.example"):
        answer = dns.ask(text, wire.TXT)
        assert answer.authority[0].ttl == 3600


@pytest.mark.parametrize("kind", ["nxdomain", "ttl-0"])
def test_contradicted_answers_do_not_come_back(dns, kind):
    """An expired answer is not given once a fresh one has said otherwise."""
    upstream = dns.upstream(zone(NAMES, ttl=1))
    dns.daemon("--timeout", 2, upstream=upstream)
    assert dns.ask("www.example").rcode == 0
    assert dns.ask("www.example", wire.AAAA).rcode == 0
    if kind == "nxdomain":
        upstream.answer = zone({}, ttl=0, minimum=0)
        wait_for(lambda: dns.ask("www.example").rcode == wire.NXDOMAIN, "the fresh answer")
    else:
        upstream.answer = zone({"www.example": ["192.0.2.9", "2001:db8::9"]}, ttl=0)
        wait_for(lambda: dns.ask("www.example").answers[0].rdata[3] == 9, "the fresh answer")
        wait_for(lambda: dns.ask("www.example", wire.AAAA).answers[0].rdata[15] == 9, "the other")
    upstream.answer = lambda data: wire.response(data, rcode=wire.SERVFAIL)
    assert dns.ask("www.example").rcode == wire.SERVFAIL
    assert dns.ask("www.example", wire.AAAA).rcode == wire.SERVFAIL
