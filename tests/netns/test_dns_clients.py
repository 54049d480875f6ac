# SPDX-License-Identifier: Apache-2.0
"""Real clients of causeway-dns: what people and programs use to resolve names."""
import re
import shutil
import subprocess

import dns_wire as wire
import pytest
from dns_servers import zone
from netns import wait_for

pytestmark = pytest.mark.daemons

NAMES = {"www.example": ["192.0.2.53", "2001:db8::53"], "v4only.example": ["192.0.2.53"],
         "localdomain.example": ["192.0.2.1"]}
LONG_TEXT = [wire.record(None, wire.TXT, 60, bytes([200]) + bytes([65 + n]) * 200) for n in range(20)]


def need(program):
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")


def answer(data):
    asked = wire.Message(data)
    if asked.kind == wire.TXT:
        return wire.response(data, LONG_TEXT)
    if asked.kind in (65, 65400):  # HTTPS; one of the private ones
        return wire.response(data, [wire.record(None, asked.kind, 60, b"\0\1\0\x01\x02")])
    return zone(NAMES)(data)


@pytest.fixture
def daemon(dns):
    return dns.daemon(upstream=dns.upstream(answer))


@pytest.fixture
def inside(dns, daemon):
    """Runs a program in a mount namespace whose /etc/resolv.conf names causeway-dns."""
    path = dns.path("resolv.conf")
    with open(path, "w", encoding="utf-8") as file:
        file.write("nameserver 127.0.0.1\n")

    def run(*command, **options):
        script = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
        return dns.run("unshare", "--mount", "sh", "-c", script, path, *command, **options)
    return run


def dig(dns, *words, server="127.0.0.1"):
    return dns.run("dig", f"@{server}", "+time=20", "+tries=1", *words)


@pytest.mark.parametrize("server", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("words", [(), ("+tcp",), ("+noedns",), ("+bufsize=4096",), ("+dnssec",),
                                   ("+cdflag",), ("+cookie",), ("+nsid",), ("+subnet=192.0.2.0/24",),
                                   ("+padding=128",), ("+noadflag",), ("+norecurse",)],
                         ids=lambda words: "".join(words) or "plain")
def test_dig(dns, daemon, server, words):
    shown = dig(dns, *words, "www.example", "A", "www.example", "AAAA", server=server)
    assert shown.count("status: NOERROR") == 2, shown
    assert "192.0.2.53" in shown and "2001:db8::53" in shown
    assert "WARNING" not in shown and "warning" not in shown, shown


def test_dig_on_one_connection(dns, daemon):
    names = [word for _ in range(6) for word in ("www.example", "none.example")]
    shown = dig(dns, "+tcp", "+keepopen", *names)
    assert shown.count("status: NOERROR") == 6 and shown.count("status: NXDOMAIN") == 6
    assert daemon.counters()["streams"] == 1 and daemon.counters()["queries_tcp"] == 12


def test_dig_keepalive(dns, daemon):
    assert "TCP KEEPALIVE: 10.0 secs" in dig(dns, "+tcp", "+keepalive", "www.example")


def test_dig_large_answers_are_asked_again_over_tcp(dns, daemon):
    shown = dig(dns, "text.example", "TXT")
    assert "Truncated, retrying in TCP mode" in shown and shown.count('"' + "A" * 200 + '"') == 1
    assert "ANSWER: 20" in shown
    shown = dig(dns, "+ignore", "+bufsize=1232", "text.example", "TXT")
    assert re.search(r"flags: qr [a-z ]*tc", shown) and "ANSWER: 5," in shown
    assert daemon.counters()["answers_cut"] == 2


def test_dig_types(dns, daemon):
    shown = dig(dns, "www.example", "TYPE65400", "www.example", "HTTPS", "-x", "127.0.0.1", "example",
                "SOA", "localhost", "AAAA", "example", "AXFR", "www.example", "ANY")
    assert "\\# 5 0001000102" in shown and "1.0.0.127.in-addr.arpa." in shown
    assert "localhost." in shown and "Transfer failed" in shown and "RFC8482" in shown


def test_kdig(dns, daemon):
    need("kdig")
    for words in ((), ("+tcp",), ("+tcp", "+keepopen"), ("+bufsize=1232",), ("+padding",),
                  ("+dnssec",), ("+edns=0",)):
        shown = dns.run("kdig", "@127.0.0.1", "+timeout=20", "+retry=0", *words, "www.example",
                        "AAAA", "www.example", "A")
        assert shown.count("status: NOERROR") == 2 and "2001:db8::53" in shown, shown
        assert "WARNING" not in shown, shown
    assert "BADVERS" in dns.run("kdig", "@127.0.0.1", "+edns=1", "www.example")
    assert "Truncated" not in dns.run("kdig", "@127.0.0.1", "+tcp", "text.example", "TXT")


def test_delv(dns, daemon):
    need("delv")
    shown = dns.run("delv", "@127.0.0.1", "-i", "+cdflag", "www.example", "A")
    assert "192.0.2.53" in shown


def test_getent(inside, daemon):
    assert "192.0.2.53" in inside("getent", "ahostsv4", "v4only.example")
    both = inside("getent", "ahosts", "www.example")
    assert "192.0.2.53" in both and "2001:db8::53" in both
    assert inside("getent", "ahosts", "none.example", check=False).returncode == 2
    assert "localhost" in inside("getent", "hosts", "127.0.0.1")


def test_curl(dns, inside, daemon):
    dns.popen("/usr/bin/python3", "-m", "http.server", "--bind", "192.0.2.53", "8053",
              cwd=dns.directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with open(dns.path("hello"), "w", encoding="utf-8") as file:
        file.write("hello\n")
    wait_for(lambda: dns.run("curl", "-s", "http://192.0.2.53:8053/hello", check=False).returncode == 0,
             "the web server")
    assert inside("curl", "-sS", "http://www.example:8053/hello") == "hello\n"
    assert inside("curl", "-sS", "-4", "http://v4only.example:8053/hello") == "hello\n"


MUSL = r"""
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
int main(int argc, char **argv)
{
    (void)argc;
    for (int round = 0; round < 50; round++) {
        struct addrinfo *found, hints = {.ai_socktype = SOCK_STREAM};
        int error = getaddrinfo(argv[1], "80", &hints, &found), v4 = 0, v6 = 0;
        if (error != 0)
            return printf("%s\n", gai_strerror(error)), 1;
        for (struct addrinfo *one = found; one; one = one->ai_next)
            one->ai_family == AF_INET ? v4++ : v6++;
        freeaddrinfo(found);
        printf("%d %d\n", v4, v6);
    }
    return 0;
}
"""


def test_musl_asks_both_from_one_port(dns, inside, daemon):
    """A and AAAA leave at once from one socket; an answer that is lost costs the address."""
    need("musl-gcc")
    with open(dns.path("resolve.c"), "w", encoding="utf-8") as file:
        file.write(MUSL)
    subprocess.run(["musl-gcc", "-static", "-o", dns.path("resolve"), dns.path("resolve.c")],
                   check=True)
    shown = inside(dns.path("resolve"), "www.example")
    assert shown.splitlines() == ["1 1"] * 50
    failed = inside(dns.path("resolve"), "none.example", check=False)
    assert failed.returncode == 1 and "not resolve" in failed.stdout, failed.stdout


@pytest.mark.parametrize("mode", ["udp", "tcp"])
def test_dnsperf(dns, daemon, mode):
    """A burst of names, most of them from the cache: none is lost, none fails."""
    need("dnsperf")
    with open(dns.path("names"), "w", encoding="utf-8") as file:
        for number in range(500):
            file.write(f"www.example A\nwww.example AAAA\nn{number}.example A\n")
    shown = dns.run("dnsperf", "-s", "127.0.0.1", "-m", mode, "-d", dns.path("names"), "-n", 20,
                    "-c", 8, "-T", 1, "-q", 100, "-t", 30)
    sent, completed = (int(re.search(rf"Queries {word}: +(\d+)", shown).group(1))
                       for word in ("sent", "completed"))
    assert sent == completed == 30000, shown
    assert re.search(r"Response codes: +NOERROR 20000 \(66.67%\), NXDOMAIN 10000", shown), shown
    counters = daemon.counters()
    assert counters["answers"] == 30000 and counters["asked"] == 502
    assert counters["hits"] + counters["joined"] + counters["asked"] == 30000
