# SPDX-License-Identifier: Apache-2.0
"""causeway-dns and the servers that it asks: real ones from Debian, and scripted ones that misbehave."""
import os
import subprocess
import threading
from pathlib import Path

import dns_wire as wire
import pytest
from dns_real import BOGUS, DNSMASQ, UNBOUND, ZONE, Authority, Servers
from dns_servers import HOLD, RESET, Last, address_record, zone
from dns_system import DnsDaemon
from netns import wait_for
from topology import INTERNET

pytestmark = pytest.mark.daemons

NAMES = {f"n{i}.example": [f"192.0.2.{i}"] for i in range(100)}


@pytest.fixture
def servers(dns):
    return Servers(dns)


def dig(dns, *words):
    return dns.run("dig", "@127.0.0.1", "+tries=1", "+time=20", *words)


def answer_of(message):
    return [record.rdata for record in message.answers]


# ---- real servers


@pytest.mark.parametrize("kind", ["unbound", "knot"])
def test_signed_zone_validates_through_us(dns, servers, kind):
    """delv asks for DNSKEY, DS and RRSIG itself and believes nobody."""
    url = servers.knot()
    if kind == "unbound":
        url = servers.unbound()
    dns.daemon("--upstream", url)
    for kind_, text in (("A", "www"), ("AAAA", "www"), ("TXT", "text"), ("A", "alias"),
                        ("SRV", "srv"), ("TXT", "big")):
        said = dns.run("delv", "@127.0.0.1", "-a", servers.trust_anchor(), f"+root={ZONE}",
                       f"{text}.{ZONE}", kind_)
        assert "; fully validated" in said and "RRSIG" in said, said


def test_dnssec_bits_of_a_validating_upstream(dns, servers):
    servers.knot()
    dns.daemon("--upstream", servers.unbound())
    with_do = dig(dns, "+dnssec", f"www.{ZONE}")
    assert "RRSIG" in with_do and " ad" in with_do.split("flags:")[1].split(";")[0]
    with_ad = dig(dns, "+adflag", f"www.{ZONE}")
    assert "RRSIG" not in with_ad and " ad" in with_ad.split("flags:")[1].split(";")[0]
    neither = dig(dns, "+noadflag", f"www.{ZONE}")
    assert "RRSIG" not in neither and " ad" not in neither.split("flags:")[1].split(";")[0]
    # What does not validate: SERVFAIL, but for those who do not want it checked.
    assert "status: SERVFAIL" in dig(dns, f"www.{BOGUS}")
    unchecked = dig(dns, "+cd", f"www.{BOGUS}")
    assert "status: NOERROR" in unchecked and "192.0.2.80" in unchecked
    # Denial of existence comes with its proof.
    denied = dig(dns, "+dnssec", f"none.{ZONE}")
    assert "NSEC" in denied and "SOA" in denied


def test_types_unknown_to_us_pass(dns, servers):
    dns.daemon("--upstream", servers.knot())
    assert "0A000001" in dig(dns, "-t", "TYPE65280", f"strange.{ZONE}")


def test_answer_larger_than_udp(dns, servers):
    dns.daemon("--upstream", servers.knot())
    assert ";; flags: qr tc" in dig(dns, "+notcp", "+ignore", "+bufsize=1232", "TXT", f"big.{ZONE}")
    assert dig(dns, "TXT", f"big.{ZONE}").count("x" * 200) == 20


def test_dnsmasq_as_upstream(dns, servers):
    servers.dnsmasq()
    dns.daemon("--upstream", f"tcp://{DNSMASQ}")
    assert "192.0.2.5" in dig(dns, "where.example")
    assert "status: REFUSED" in dig(dns, "elsewhere.example")


def test_restart_of_a_real_upstream(dns, servers):
    first = servers.dnsmasq()
    dns.daemon("--cache", "off", "--upstream", f"tcp://{DNSMASQ}")
    assert "192.0.2.5" in dig(dns, "where.example")
    first.terminate()
    first.wait()
    servers.dnsmasq()
    assert "192.0.2.5" in dig(dns, "where.example")


# ---- TLS


@pytest.mark.parametrize("name", ["dns.test", UNBOUND])
def test_tls_with_unbound(dns, servers, name):
    """Name or address in the certificate; the session is resumed after an idle close."""
    authority = Authority(dns.directory)
    servers.knot()
    servers.unbound(*authority.certificate(f"DNS:dns.test, IP:{UNBOUND}"))
    daemon = dns.daemon("--cache", "off", "--tls-ca", authority.path,
                        "--upstream", f"tls://{UNBOUND}#{name}")
    assert "192.0.2.80" in dig(dns, "+dnssec", f"www.{ZONE}")
    assert dig(dns, "TXT", f"big.{ZONE}").count("x" * 200) == 20
    counters = daemon.counters("upstream=")
    assert counters["connects"] == 1 and counters["tls_resumed"] == 0
    # Causeway closes an idle connection after 10 s: the next question needs a new one.
    wait_for(lambda: not dns.run("ss", "-Htn", "state", "established", "dport", "853").strip(),
             "the idle connection to be closed", patience=60)
    assert "192.0.2.80" in dig(dns, f"www.{ZONE}")
    counters = daemon.counters("upstream=")
    assert counters["connects"] == 2 and counters["tls_resumed"] == 1, counters


@pytest.mark.parametrize("names, days, own, sentence", [
    ("DNS:other.test", 30, False, "certificate refused: hostname mismatch"),
    ("DNS:dns.test", 30, True, "certificate refused: self-signed certificate"),
    ("DNS:dns.test", 0, False, "certificate refused: certificate has expired"),
], ids=["wrong-name", "self-signed", "expired"])
def test_certificate_that_is_not_good(dns, servers, names, days, own, sentence):
    """Nothing is asked; the next upstream is; the log says why, the counters how often."""
    authority = Authority(dns.directory)
    servers.knot()
    certificate = authority.certificate(names, days=days, own=own)
    servers.unbound(*certificate)
    if days == 0:
        wait_for(lambda: subprocess.run(["openssl", "x509", "-checkend", "0", "-noout", "-in",
                                         certificate[0]], check=False,
                                        capture_output=True).returncode == 1,
                 "the certificate to expire")
    servers.dnsmasq()
    tls = f"tls://{UNBOUND}#dns.test"
    daemon = dns.daemon("--cache", "off", "--tls-ca", authority.path, "--upstream", tls,
                        "--upstream", f"tcp://{DNSMASQ}")
    assert "192.0.2.5" in dig(dns, "where.example")
    counters = daemon.counters(f"upstream={tls.replace('#', ':853#')}")
    assert counters["queries"] >= 1 and counters["answers"] == 0 and counters["healthy"] == 0
    assert counters["failure_tls"] >= 1
    assert sentence in daemon.log()
    asked = Path(dns.path("unbound.log")).read_text()
    assert "where.example. SOA IN" in asked and "where.example. A IN" not in asked


def test_tls_only_never_falls_back(dns, servers):
    """With a TLS upstream alone a bad certificate means SERVFAIL, never a plain question."""
    authority = Authority(dns.directory)
    servers.knot()
    servers.unbound(*authority.certificate("DNS:other.test"))
    dns.daemon("--tls-ca", authority.path, "--upstream", f"tls://{UNBOUND}#dns.test")
    assert "status: SERVFAIL" in dig(dns, "where.example")


# ---- servers that misbehave


def test_answers_out_of_order(dns):
    upstream = dns.upstream(lambda data: HOLD)
    dns.daemon(upstream=upstream)
    clients = []
    for i in range(20):
        client = dns.client()
        client.sendto(wire.query(f"n{i}.example", ident=i), ("127.0.0.1", 53))
        clients.append(client)
    upstream.wait_held(20)
    upstream.held.reverse()
    upstream.release(zone(NAMES))
    for i, client in enumerate(clients):
        answer = wire.Message(client.recv(4096))
        client.close()
        assert answer.ident == i and answer_of(answer) == [bytes([192, 0, 2, i])]
    assert len(upstream.connections) == 1


def test_upstream_that_closes_after_each_answer(dns):
    well = zone(NAMES)
    upstream = dns.upstream(lambda data: Last(well(data)))
    daemon = dns.daemon("--cache", "off", "--timeout", "30", upstream=upstream)
    results = {}

    def ask(i):
        results[i] = answer_of(dns.ask(f"n{i}.example"))

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {i: [bytes([192, 0, 2, i])] for i in range(30)}, daemon.log()


def test_upstream_that_resets_once_is_asked_again(dns):
    well, state = zone(NAMES), {"resets": 0}

    def answer(data):
        if len(upstream.queries) > 1 and state["resets"] < 1:
            state["resets"] += 1
            return RESET
        return well(data)

    upstream = dns.upstream(well)
    upstream.answer = answer
    daemon = dns.daemon("--cache", "off", upstream=upstream)
    for i in range(3):
        assert answer_of(dns.ask(f"n{i}.example")) == [bytes([192, 0, 2, i])]
    assert daemon.counters("upstream=")["reconnect_asks"] == 1


def test_stalled_upstream_is_passed_over_and_returned_to(dns):
    first = dns.upstream(lambda data: HOLD)
    second = dns.upstream(zone(NAMES), address="127.0.0.6")
    daemon = dns.daemon("--cache", "off", "--timeout", "30", "--upstream", first.url,
                        "--upstream", second.url)
    assert answer_of(dns.ask("n1.example")) == [bytes([192, 0, 2, 1])]
    assert daemon.counters(f"upstream={first.url}")["healthy"] == 0
    before = len(second.queries)
    assert answer_of(dns.ask("n2.example")) == [bytes([192, 0, 2, 2])]
    assert len(second.queries) == before + 1
    first.answer = zone(NAMES)

    def is_back():
        dns.ask("n3.example")
        return daemon.counters(f"upstream={first.url}")["healthy"] == 1

    wait_for(is_back, "the first upstream to be used again", patience=60)
    before = len(second.queries)
    dns.ask("n4.example")
    assert len(second.queries) == before


def test_all_refused_fails_at_once(dns):
    """Known to be down: the client is told so and need not wait for its own patience."""
    daemon = dns.daemon("--timeout", "60", "--upstream", "tcp://127.0.0.7:9",
                        "--upstream", "tcp://127.0.0.8:9")
    with dns.client() as client:
        client.settimeout(50)  # less than --timeout
        client.sendto(wire.query("n1.example"), ("127.0.0.1", 53))
        assert wire.Message(client.recv(4096)).rcode == wire.SERVFAIL
    assert daemon.counters("upstream=")["failure_connect"] >= 1


def test_foreign_answers_are_dropped(dns):
    """Other ids and other names on the stream do not reach anybody, the right answer does."""
    def answer(data):
        asked = wire.Message(data)
        wrong_id = bytearray(wire.response(data, [address_record("192.0.2.66")]))
        wrong_id[0] ^= 0xff
        other = wire.query("other.example", ident=asked.ident)
        return [bytes(wrong_id), wire.response(other, [address_record("192.0.2.66")]),
                wire.response(data, [address_record("192.0.2.1")])]

    upstream = dns.upstream(answer)
    daemon = dns.daemon(upstream=upstream)
    assert answer_of(dns.ask("n1.example")) == [bytes([192, 0, 2, 1])]
    counters = daemon.counters("upstream=")
    assert counters["mismatch_id"] == 1 and counters["mismatch_question"] == 1


# ---- over a link, and from files


def test_parent_role_over_a_unix_socket(dns, servers):
    """The same program twice: one for the parent's resolvers, one that asks it over a link."""
    servers.dnsmasq()
    conf = Path(dns.path("resolv.conf"))
    conf.write_text(f"nameserver {DNSMASQ}\n")
    link = f"unix:{dns.path('link')}"
    dns.daemon("--listen", link, "--upstream", f"resolv-conf:{conf}", label="parent")
    dns.daemon("--upstream", link, label="enclave")
    assert "192.0.2.5" in dig(dns, "where.example")
    assert "192.0.2.5" in dig(dns, "+tcp", "where.example")


def test_resolv_conf_is_followed_through_links(dns, servers):
    servers.dnsmasq("127.0.0.5")
    servers.dnsmasq("127.0.0.6")
    os.mkdir(dns.path("run"))
    stub, conf = Path(dns.path("run/stub")), Path(dns.path("resolv.conf"))
    stub.write_text("nameserver 127.0.0.5\n")
    os.chmod(dns.path("run"), 0o755)
    conf.symlink_to("run/stub")
    dns.daemon("--cache", "off", "--upstream", f"resolv-conf:{conf}")
    assert "192.0.2.5" in dig(dns, "where.example")
    fresh = Path(dns.path("run/new"))
    fresh.write_text("nameserver 127.0.0.6\n")
    fresh.rename(stub)
    wait_for(lambda: "192.0.2.6" in dig(dns, "where.example"), "the other server")


def test_own_address_in_resolv_conf_is_left_out(dns):
    """Or a question would go round for ever."""
    conf = Path(dns.path("resolv.conf"))
    conf.write_text("nameserver 127.0.0.1\n")
    daemon = dns.daemon("--upstream", f"resolv-conf:{conf}")
    assert dns.ask("n1.example").rcode == wire.SERVFAIL
    assert "stats upstream=" not in daemon.stats_text()


def test_resolvers_file_that_comes_later(dns, servers):
    """What causeway-enclave writes when the parent has answered; its directory may be missing."""
    servers.dnsmasq()
    path = Path(dns.path("later/resolvers"))
    dns.daemon("--resolvers-file", path)
    assert dns.ask("where.example").rcode == wire.SERVFAIL
    path.parent.mkdir(mode=0o755)
    path.write_text(f"nameserver {DNSMASQ}\n")
    wait_for(lambda: dns.ask("where.example").rcode == 0, "the file to be read")


def test_resolvers_of_the_handshake(workshop):
    """The whole way: offered by the parent, written down, followed, asked through the tunnel."""
    tunnel = workshop.tunnel(parent_arguments=["--dns", "127.0.0.1", "--dns", INTERNET[4]])
    path = Path(tunnel.directory) / "resolvers2"
    wait_for(path.exists, "the resolvers to be written down")
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    assert lines == [f"nameserver {INTERNET[4]}"]  # loopback is nobody's to offer
    inside = tunnel.enclave.namespace
    server = tunnel.topology.internet.popen(
        ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--user=root",
         "--no-resolv", "--no-hosts", "--address=/where.example/192.0.2.99"])
    daemon = DnsDaemon(inside, ["--resolvers-file", str(path)], tunnel.directory, "dns")
    try:
        daemon.start()
        daemon.wait_ready()
        wait_for(lambda: "192.0.2.99" in inside.run(
            ["dig", "@127.0.0.1", "+tries=1", "+time=20", "where.example"]), "an answer")
        assert daemon.stop() == 0
    finally:
        daemon.stop()
        server.kill()
        server.wait()
    tunnel.stop()
    assert not path.exists()
