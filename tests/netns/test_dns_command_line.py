# SPDX-License-Identifier: Apache-2.0
"""Start-up of causeway-dns: mistakes, --check, the configuration printed and read back, the sandbox."""
import contextlib
import os
import re
import socket
import subprocess

import dns_wire as wire
import pytest
from dns_servers import zone
from dns_system import PROGRAM, recv_stream, send_stream
from netns import wait_for
from system import EXTRA

pytestmark = pytest.mark.daemons

BAD = [
    (("--nonsense",), ("--nonsense",)),
    (("--listen", "localhost"), ("--listen", "localhost")),
    (("--listen", "127.0.0.1:0"), ("--listen",)),
    (("--listen", "127.0.0.1:99999"), ("--listen",)),
    (("--listen", "[::1"), ("--listen",)),
    (("--listen", "[::1]53"), ("--listen",)),
    (("--listen", "vsock:any"), ("--listen", "vsock:CID:PORT")),
    (("--listen", "unix:"), ("--listen",)),
    ((*["--listen", "127.0.0.1"] * 17,), ("--listen", "at most 16")),
    (("--upstream", "1.1.1.1"), ("--upstream", "1.1.1.1")),
    (("--upstream", "udp://1.1.1.1"), ("--upstream",)),
    (("--upstream", "tcp://one.one"), ("--upstream",)),
    (("--upstream", "tls://1.1.1.1"), ("--upstream",)),
    (("--upstream", "resolv-conf", "--upstream", "tcp://1.1.1.1"), ("--upstream", "alone")),
    (("--upstream", "tls://9.9.9.9#x", "--upstream", "vsock:3:53"), ("vsock:3:53", "--fallback plain")),
    (("--upstream", "tcp://192.0.2.1", "--upstream", "unix:/x"), ("unix:/x", "--fallback plain")),
    (("--fallback", "tls"), ("--fallback", "none or plain")),
    (("--tls-only",), ("--tls-only", "tls://")),
    (("--tls-only", "--upstream", "resolv-conf"), ("--tls-only", "tls://")),
    (("--tls-only", "--upstream", "tcp://192.0.2.1"), ("tcp://192.0.2.1", "--tls-only")),
    (("--tls-only", "--upstream", "unix:/x"), ("unix:/x", "--tls-only")),
    (("--negative-ttl", "86401"), ("--negative-ttl",)),
    (("--cache", "12"), ("--cache", "64k")),
    (("--cache", "lots"), ("--cache", "lots")),
    (("--cache", "17G"), ("--cache",)),
    (("--cache", "M"), ("--cache",)),
    (("--cache", ""), ("--cache",)),
    (("--serve-stale", "700000"), ("--serve-stale",)),
    (("--timeout", "0"), ("--timeout",)),
    (("--queries", "0"), ("--queries",)),
    (("--queries", "16385"), ("--queries", "16384")),
    (("--client-limit", "-1"), ("--client-limit",)),
    (("--tcp-clients", "8193"), ("--tcp-clients",)),
    (("--log-level", "loud"), ("--log-level", "loud")),
    (("--resolv-conf", "/nonexistent/r", "--listen", "127.0.0.1:5353"), ("--resolv-conf", "53")),
    (("--resolv-conf", "/nonexistent/r", "--upstream", "resolv-conf:/nonexistent/r"), ("itself",)),
    (("--docker-daemon-json", "/nonexistent/d"), ("--docker-daemon-json", "loopback")),
    (("--docker-daemon-json", "/nonexistent/d", "--listen", "0.0.0.0"), ("--docker-daemon-json",)),
    (("stray",), ("stray",)),
]
FAILING = [
    (("--listen", "127.0.0.1", "--listen", "127.0.0.1"), ("127.0.0.1:53", "in use")),
    (("--host", "noaddress"), ("--host", "noaddress")),
    (("--host", "x=1.2.3"), ("--host",)),
    (("--resolv-conf", "/nonexistent/r"), ("/nonexistent/r", "No such file")),
    (("--resolv-conf", "/proc"), ("/proc",)),
    (("--user", "no-such-user"), ("no such user",)),
    (("--fallback", "plain", "--upstream", "tls://192.0.2.1#x.example", "--tls-ca", "/nonexistent/ca"), ("/nonexistent/ca",)),
    (("--listen", "unix:/nonexistent/s"), ("unix:/nonexistent/s", "No such file")),
]


def line_id(value):
    return " ".join(value)[:50] if isinstance(value, tuple) else None


def complains(dns, line, status, words):
    done = dns.run(PROGRAM, *line, check=False)
    sentences = [text for text in done.stderr.splitlines() if ": error: " in text]
    assert len(sentences) == 1 and done.returncode == status, done.stderr
    for word in words:
        assert word in sentences[0], sentences[0]


@pytest.mark.parametrize("line,words", BAD, ids=line_id)
def test_bad_command_line(dns, line, words):
    complains(dns, line, 2, words)


@pytest.mark.parametrize("line,words", FAILING, ids=line_id)
def test_start_that_fails(dns, line, words):
    if "--user" in line and EXTRA:
        pytest.skip("this build runs without the sandbox")
    complains(dns, ("--upstream", "tcp://192.0.2.1", *line), 1, words)


def test_help_and_version(dns):
    shown = dns.run(PROGRAM, "--help")
    assert "--serve-stale" in shown and max(map(len, shown.splitlines())) <= 100
    assert re.fullmatch(r"causeway-dns \d+\.\d+\.\d+\ncommit [\w.-]+, \w+ build by .+\n",
                        dns.run(PROGRAM, "--version"))


FILE = """\
listen = 127.0.0.1:53
listen = [2001:db8::53]:5353
listen = vsock:any:5353
listen = unix:/run/x
upstream = tcp://1.1.1.1:53
upstream = tls://9.9.9.9:853#dns.quad9.net
fallback = plain
host = a.example=192.0.2.1
hosts-file = none
cache = 1024k
serve-stale = off
negative-ttl = 60
timeout = 3
queries = 100
client-limit = 10
tcp-clients = 20
resolv-conf = /etc/resolv.conf
resolvers-file = /run/causeway/resolvers
user = nobody
no-sandbox = yes
log-level = debug
"""


def test_print_config_reads_back(dns):
    path = dns.path("dns.conf")
    with open(path, "w", encoding="utf-8") as file:
        file.write(FILE)
    shown = dns.run(PROGRAM, "--config", path, "--print-config")
    for line in FILE.splitlines():
        assert line in shown.splitlines(), line
    with open(path, "w", encoding="utf-8") as file:
        file.write(shown)
    assert dns.run(PROGRAM, "--config", path, "--print-config") == shown


def test_check(dns):
    hosts = dns.path("hosts")
    with open(hosts, "w", encoding="utf-8") as file:
        file.write("")
    good = dns.run(PROGRAM, "--check", "--hosts-file", hosts, "--listen", "192.0.2.53")
    assert "listening on 192.0.2.53:53" in good and good.endswith("ready\n")
    taken = dns.namespace.datagram(4, "127.0.0.1", 53)
    done = dns.run(PROGRAM, "--check", "--tls-ca", "/nonexistent/ca", check=False)
    assert done.returncode == 1 and "not ready: 2 missing" in done.stdout, done.stdout
    taken.close()
    assert os.listdir(dns.directory) == ["hosts"]


def test_sandbox(dns):
    """No capability is left, and a user of its own if told so."""
    if EXTRA:
        pytest.skip("this build runs without the sandbox")
    daemon = dns.daemon("--user", "nobody", upstream=dns.upstream(zone({})))
    with open(f"/proc/{daemon.process.pid}/status", encoding="utf-8") as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    assert (status["CapEff"], status["CapPrm"]) == ("0" * 16, "0" * 16)
    assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "1")
    assert status["Uid"].split() == ["65534"] * 4 and status["Threads"] == "1"
    assert dns.ask("none.example").rcode == 3


def ask_as_clients_do(dns, version, address):
    """The kernel finishes an IPv6 address after `ip addr add` has returned: what is sent before may be lost, and every
    resolver library asks again."""
    for _ in range(3):
        with contextlib.suppress(TimeoutError):
            return dns.ask("none.example", version=version, address=address)
    raise AssertionError(f"no answer at {address}")


@pytest.mark.parametrize("address", ["172.17.0.1", "fd00:d0c::1"])
def test_an_address_that_comes_later(dns, address):
    """Docker's bridge: listened on before it is there, and when it comes back."""
    version = 6 if ":" in address else 4
    daemon = dns.daemon("--listen", address, upstream=dns.upstream(zone({})))
    assert " is not an address of this machine yet" in daemon.log()
    for _ in range(2):
        dns.namespace.ip(f"addr add {address}/{'128 nodad' if version == 6 else 32} dev lo")
        assert ask_as_clients_do(dns, version, address).rcode == 3
        with dns.connect(version, address) as stream:
            send_stream(stream, wire.query("none.example"))
            assert recv_stream(stream).rcode == 3
        dns.namespace.ip(f"addr del {address}/{128 if version == 6 else 32} dev lo")


def test_without_ipv6(dns):
    """The default's [::1] may be missing; one that was asked for may not be in use."""
    dns.namespace.sysctl("net.ipv6.conf.all.disable_ipv6", 1)
    try:
        daemon = dns.daemon(upstream=dns.upstream(zone({})))
        assert "[::1]:53 is not an address of this machine: not listening" in daemon.log()
        assert dns.ask("none.example").rcode == 3
    finally:
        dns.namespace.sysctl("net.ipv6.conf.all.disable_ipv6", 0)
        wait_for(lambda: "::1" in dns.namespace.ip("-6 addr show dev lo"), "the loopback address")
        dns.namespace.ip("addr replace 2001:db8::53/128 dev lo nodad")


def test_socket_file_is_removed(dns):
    path = dns.path("link")
    daemon = dns.daemon("--listen", f"unix:{path}", upstream=dns.upstream(zone({})))
    assert oct(os.stat(path).st_mode & 0o777) == "0o600"
    daemon.kill()
    dns.daemons.remove(daemon)
    dns.daemon("--listen", f"unix:{path}", upstream=dns.upstream(zone({}), port=5301)).stop()
    assert not os.path.exists(path)


def test_service_manager_is_told(dns):

    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(dns.path("notify"))
    manager.settimeout(30)
    process = dns.namespace.popen([PROGRAM, "--upstream", "tcp://192.0.2.1", *EXTRA],
                                  env={**os.environ, "NOTIFY_SOCKET": dns.path("notify")},
                                  stderr=subprocess.DEVNULL)
    dns.processes.append(process)
    assert manager.recv(4096).startswith(b"READY=1")
    process.terminate()
    assert manager.recv(4096) == b"STOPPING=1" and process.wait(30) == 0
    manager.close()
