# SPDX-License-Identifier: Apache-2.0
"""Names that are never answered must not delay others, nor take an upstream out of use.

What each kind of server brings about in detail is in tests/dns_scenarios, under a clock of its own;
here it is real processes, sockets and DNS servers."""
import threading

import dns_wire as wire
import pytest
from dns_servers import HOLD, Last, Upstream, zone
from netns import wait_for

pytestmark = pytest.mark.daemons

NAMES = {f"n{i}.example": [f"192.0.2.{i}"] for i in range(100)}
WELL = zone(NAMES)


def is_lame(data):
    return wire.Message(data).name.startswith("lame")


def some_lame(data):
    return HOLD if is_lame(data) else WELL(data)


def good(dns, number):
    return [record.rdata for record in dns.ask(f"n{number}.example").answers] == \
        [bytes([192, 0, 2, number])]


def lame_clients(dns, count):
    """Clients that have asked for names which nobody answers."""
    clients = [dns.client() for _ in range(count)]
    for i, client in enumerate(clients):
        client.sendto(wire.query(f"lame{i}.example", ident=i), ("127.0.0.1", 53))
    return clients


class OneAtATime(Upstream):
    """Works on the questions of a connection one after the other; a lame one is the last."""

    def _take(self, stream, data):
        if is_lame(data):
            self.queries.append(data)
            threading.Event().wait(30)
            return False
        return super()._take(stream, data)


def one_at_a_time(dns, address="127.0.0.2"):
    made = OneAtATime(dns.namespace, WELL, address=address)
    dns.upstreams.append(made)
    return made


@pytest.mark.parametrize("kind", ["any-order", "one-at-a-time", "closes"])
def test_names_resolve_beside_lame_ones(dns, kind):
    """Not one good name fails while twenty lame ones wait, and none waits for a lame one's end."""
    if kind == "one-at-a-time":
        upstream = one_at_a_time(dns)
    else:
        upstream = dns.upstream(
            some_lame if kind == "any-order" else
            lambda data: HOLD if is_lame(data) else Last(WELL(data)))
    daemon = dns.daemon("--cache", "off", "--timeout", 60, upstream=upstream)
    assert good(dns, 1)
    clients = lame_clients(dns, 6)
    wait_for(lambda: sum(map(is_lame, list(upstream.queries))) >= 6, "lame questions upstream")
    for i in range(2, 40):
        assert good(dns, i), daemon.log()
    # The lame ones still wait: nothing above was bought with their end.
    assert daemon.counters()["waiting"] == 6
    assert daemon.counters("upstream=")["healthy"] == 1
    for client in clients:
        client.close()


@pytest.mark.parametrize("kind", ["any-order", "one-at-a-time"])
def test_one_lame_name_leaves_the_first_upstream_in_use(dns, kind):
    first = one_at_a_time(dns) if kind == "one-at-a-time" else dns.upstream(some_lame)
    second = dns.upstream(WELL, address="127.0.0.6")
    daemon = dns.daemon("--cache", "off", "--timeout", 30, "--upstream", first.url,
                        "--upstream", second.url)
    assert good(dns, 1)
    # The second one knows no such name.
    assert dns.ask("lame.example").rcode == wire.NXDOMAIN
    assert len(second.queries) == 1
    for i in range(2, 10):
        assert good(dns, i)
    assert len(second.queries) == 1
    assert daemon.counters(f"upstream={first.url}")["healthy"] == 1


def test_enclaves_share_a_parent_resolver(dns):
    """What one enclave asks does not delay another, through one causeway-dns on the parent."""
    upstream = dns.upstream(some_lame)
    link = f"unix:{dns.path('link')}"
    dns.daemon("--listen", link, "--cache", "off", upstream=upstream, label="parent")
    dns.daemon("--listen", "127.0.0.1", "--upstream", link, "--cache", "off", "--timeout", 60,
               label="one")
    dns.daemon("--listen", "127.0.0.9", "--upstream", link, "--cache", "off", "--timeout", 60,
               label="two")
    assert good(dns, 1)
    clients = lame_clients(dns, 10)
    wait_for(lambda: len(upstream.held) >= 10, "lame questions upstream")
    for i in range(2, 30):
        answer = dns.ask(f"n{i}.example", address="127.0.0.9")
        assert answer.rcode == 0, dns.logs()
    for client in clients:
        client.close()


def test_patience_is_staggered(dns):
    """The parent's resolver says SERVFAIL before the enclave's patience ends, so that the enclave
    hears it from there."""
    upstream = dns.upstream(some_lame)
    link = f"unix:{dns.path('link')}"
    parent = dns.daemon("--listen", link, "--timeout", 4, upstream=upstream, label="parent")
    enclave = dns.daemon("--upstream", link, "--timeout", 4, label="enclave")
    assert dns.ask("lame.example").rcode == wire.SERVFAIL
    assert parent.counters()["failure_timeout"] == 1
    assert "failure_timeout" not in enclave.counters(), enclave.stats_text()


@pytest.mark.parametrize("rcode", [wire.REFUSED, wire.SERVFAIL, wire.NOTIMP])
def test_refusal_without_a_question(dns, rcode):
    """unbound's "refuse" sends a header alone: believed, instead of waited for."""
    upstream = dns.upstream(lambda data: data[:2] + bytes([0x80, 0x80 | rcode]) + bytes(8))
    daemon = dns.daemon("--timeout", 60, upstream=upstream)
    assert dns.ask("n1.example").rcode == rcode
    assert daemon.counters("upstream=")["healthy"] == 1




def test_upstream_without_edns(dns):
    """FORMERR without OPT: asked again without, and from then on."""
    def answer(data):
        if wire.Message(data).opt is not None:
            return wire.response(data, rcode=wire.FORMERR)
        return WELL(data)

    upstream = dns.upstream(answer)
    dns.daemon("--cache", "off", upstream=upstream)
    for i in range(1, 5):
        assert good(dns, i)
    assert len(upstream.queries) == 5


def test_upstream_with_a_case_of_its_own(dns):
    upstream = dns.upstream(lambda data: WELL(data).replace(b"n1", b"N1"))
    dns.daemon(upstream=upstream)
    answer = dns.ask("n1.example")
    assert answer.name == "n1.example" and answer.rcode == 0 and len(answer.answers) == 1


def test_bytes_behind_an_answer_are_left_out(dns):
    upstream = dns.upstream(lambda data: WELL(data) + b"\0\0\0")
    dns.daemon(upstream=upstream)
    assert good(dns, 1)


def test_answer_that_is_none_needs_no_patience(dns):
    """Junk under the right id: SERVFAIL soon, not after --timeout."""
    upstream = dns.upstream(lambda data: data[:2] + b"\x80\x80\0\1\0\5\0\0\0\0" + data[12:])
    daemon = dns.daemon("--timeout", 60, upstream=upstream)
    with dns.client() as client:
        client.settimeout(50)
        client.sendto(wire.query("n1.example"), ("127.0.0.1", 53))
        assert wire.Message(client.recv(4096)).rcode == wire.SERVFAIL
    assert daemon.counters("upstream=")["failure_mismatch"] == 1
