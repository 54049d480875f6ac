# SPDX-License-Identifier: Apache-2.0
"""causeway-dns's control socket through causewayctl, and what SIGHUP changes in a running one."""
import json
import os
import signal

import dns_wire as wire
import pytest
from control import check_names, ctl_at
from dns_servers import HOLD, zone
from dns_system import loopback
from netns import wait_for

pytestmark = pytest.mark.daemons
NAMES = {"www.example": ["192.0.2.1"]}


def status(daemon):
    done = ctl_at(daemon.control, "status", "--json", "--interval", "10")
    answer, = json.loads(done.stdout)["daemons"]
    return answer


@pytest.fixture
def busy(dns):
    """Two questions at the upstream, one of them asked twice; hits, a drop, a refusal; an upstream
    that does not answer."""
    upstream = dns.upstream(lambda data: HOLD if b"slow" in data else zone(NAMES)(data))
    made = dns.daemon("--upstream", "tcp://127.0.0.9:5300", "--cache", "1M", "--queries", "100",
                      "--timeout", "60", "--upstream", upstream.url)
    for _ in range(4):
        dns.ask("www.example")
    dns.ask("example", wire.AXFR)
    made.clients = [dns.client() for _ in range(3)]
    for client, name in zip(made.clients, ("slow.example", "SLOW.example", "slower.example")):
        client.sendto(wire.query(name), ("127.0.0.1", 53))
    made.clients[0].sendto(wire.query("www.example", flags=wire.QR), ("127.0.0.1", 53))
    upstream.wait_held(2)
    wait_for(lambda: made.counters().get("drop_response"), "the response to be dropped")
    yield made
    for client in made.clients:
        client.close()


# ---- looking

def test_status(dns, busy):
    answer = status(busy)
    assert answer["program"] == "causeway-dns" and answer["pid"] == busy.process.pid
    assert answer["listen"] == ["127.0.0.1:53", "[::1]:53"] and "upstreams_from" not in answer
    assert answer["waiting"] == {"now": 3, "most": 100}
    assert answer["asking"] == {"now": 2, "most": 100}
    assert answer["connections"]["most"] == 256
    counters = answer["counters"]
    assert counters["queries_udp"] == 9 and counters["hits"] == 3 and counters["asked"] == 3
    assert counters["joined"] == 1 and counters["refused"] == 1
    assert answer["drops"]["response"] == 1 and sum(answer["drops"].values()) == 1
    assert answer["cache"]["bytes_most"] == 1 << 20 and answer["cache"]["entries"] == 1
    dead, good = answer["upstreams"]
    assert dead["upstream"] == "tcp://127.0.0.9:5300" and not dead["healthy"]
    assert dead["failures"]["connect"] > 0 and "p50_us" not in dead
    assert good["healthy"] and good["answers"] == 1
    assert sum(bucket["answers"] for bucket in good["latency"]) == 1
    assert 0 < good["p50_us"] == good["p90_us"] == good["p99_us"]
    assert good["latency_sum_us"] < good["p99_us"]


def test_human_status(dns, busy):
    text = ctl_at(busy.control, "status", "--interval", "10").stdout
    for words in ("causeway-dns ", "listening on 127.0.0.1:53, [::1]:53", "questions: 9 (UDP 9,",
                  "2 at upstreams, 3 clients wait (of 100)", "cache: 1 answers, ", "of 1.0 MB, 42.9% of",
                  "upstream tcp://127.0.0.9:5300 does not answer", ":5300 answers: 3 questions, 1 answers",
                  "answers within ", "failed: connect ", "dropped: response 1"):
        assert words in text, (words, text)


def test_top(dns, busy):
    text = ctl_at(busy.control, "top", "--once", "--interval", "10").stdout
    rows = [line.split() for line in text.splitlines()]
    assert "causeway-dns, PID" in text and "\033" not in text
    assert rows[1][:2] == ["QUERY/s", "HIT/s"] and rows[2][0] == "all" and rows[2][-2:] == ["3", "0"]
    assert [row[:2] for row in rows[4:]] == [["tcp://127.0.0.9:5300", "down"],
                                             ["tcp://127.0.0.2:5300", "up"]]


def test_metrics(dns, busy):
    families = check_names(ctl_at(busy.control, "metrics").stdout)

    def value(name, **labels):
        found = [sample.value for family in families.values() for sample in family.samples
                 if sample.name == f"causeway_dns_{name}" and
                 all(sample.labels.get(key) == text for key, text in labels.items())]
        assert len(found) == 1, (name, labels, found)
        return found[0]

    assert value("questions_total", transport="udp") == 9
    assert value("cache_hits_total") == 3 and value("dropped_total", reason="response") == 1
    assert value("waiting_clients") == 3 and value("waiting_clients_limit") == 100
    good, dead = "tcp://127.0.0.2:5300", "tcp://127.0.0.9:5300"
    assert value("upstream_up", upstream=good) == 1 and value("upstream_up", upstream=dead) == 0
    assert value("upstream_failures_total", upstream=dead, reason="connect") > 0
    assert families["causeway_dns_upstream_latency_seconds"].type == "histogram"
    buckets = [sample for sample in families["causeway_dns_upstream_latency_seconds"].samples
               if sample.name.endswith("_bucket") and sample.labels["upstream"] == good]
    assert buckets[0].labels["le"] == "0.00025" and buckets[-1].labels["le"] == "+Inf"
    assert [sample.value for sample in buckets] == sorted(sample.value for sample in buckets)
    assert buckets[-1].value == value("upstream_latency_seconds_count", upstream=good) == 1
    assert value("upstream_latency_seconds_sum", upstream=good) > 0
    assert value("upstream_latency_seconds_count", upstream=dead) == 0


def test_without_a_cache_and_with_a_file(dns):
    with open(dns.path("resolvers"), "w", encoding="utf-8") as file:
        file.write("nameserver 192.0.2.99\n")
    daemon = dns.daemon("--resolvers-file", dns.path("resolvers"), "--cache", "off")
    answer = status(daemon)
    assert "cache" not in answer and answer["upstreams_from"] == dns.path("resolvers")
    text = ctl_at(daemon.control, "status", "--interval", "10").stdout
    assert "cache: off" in text and f"upstreams are those of {dns.path('resolvers')}" in text
    check_names(ctl_at(daemon.control, "metrics").stdout)
    daemon.stop()
    assert not os.path.exists(daemon.control)


def test_a_client_of_the_socket_disturbs_nobody(dns, busy):
    """Questions are answered while clients of the control socket do nothing, or ask for nonsense."""
    assert "unknown command" in ctl_at(busy.control, "publish", "80:80", check=False).stderr
    for _ in range(3):
        assert dns.ask("www.example").rcode == 0


# ---- changing

class Config:
    """A configuration file and the daemon that has it."""

    def __init__(self, dns, *lines, arguments=()):
        self.path = dns.path("dns.conf")
        self.write(*lines)
        self.daemon = dns.daemon("--config", self.path, *arguments)

    def write(self, *lines):
        with open(self.path, "w", encoding="utf-8") as file:
            file.write("".join(line + "\n" for line in lines))

    def reload(self, *lines):
        """The log of it."""
        self.write(*lines)
        offset = len(self.daemon.log())
        self.daemon.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "the cache is empty now" in self.daemon.log()[offset:], "the reload")
        return self.daemon.log()[offset:]


def addresses(answer):
    return [".".join(map(str, record.rdata)) for record in answer.answers]


def test_reload_of_upstreams(dns):
    """One that comes is asked, one that goes is not; a question in flight survives."""
    first = dns.upstream(zone(NAMES))
    second = dns.upstream(zone({"www.example": ["192.0.2.2"]}), port=5301)
    config = Config(dns, f"upstream = {first.url}")
    assert addresses(dns.ask("www.example")) == ["192.0.2.1"]
    first.answer = lambda data: HOLD
    with dns.client() as client:
        client.sendto(wire.query("www.example", wire.TXT), ("127.0.0.1", 53))
        first.wait_held(1)
        assert "changed upstream" in config.reload(f"upstream = {second.url}")
        assert wire.Message(client.recv(4096)).rcode == 0
    assert addresses(dns.ask("www.example")) == ["192.0.2.2"]
    assert [entry["upstream"] for entry in status(config.daemon)["upstreams"]] == [second.url]


def test_reload_between_pinned_and_a_file(dns):
    upstream = dns.upstream(zone(NAMES), address="127.0.0.2", port=53)
    with open(dns.path("resolvers"), "w", encoding="utf-8") as file:
        file.write("nameserver 127.0.0.2\n")
    listen = "listen = 192.0.2.53"
    follow = f"resolvers-file = {dns.path('resolvers')}"
    config = Config(dns, listen, "upstream = tcp://127.0.0.9:5300", "timeout = 1")
    assert dns.ask("www.example", address="192.0.2.53").rcode == wire.SERVFAIL
    assert "changed upstream, timeout, resolvers-file" in config.reload(listen, follow)
    assert addresses(dns.ask("www.example", address="192.0.2.53")) == ["192.0.2.1"]
    assert status(config.daemon)["upstreams_from"] == dns.path("resolvers")
    assert "nothing has changed" in config.reload(listen, follow)
    assert status(config.daemon)["upstreams"][0]["connects"] == 1
    config.reload(listen, f"upstream = {upstream.url}")
    assert "upstreams_from" not in status(config.daemon)
    assert addresses(dns.ask("www.example", address="192.0.2.53")) == ["192.0.2.1"]


@pytest.mark.parametrize("user", [(), ("--user", "nobody")], ids=["root", "user"])
def test_reload_of_local_names(dns, user):
    """In the sandbox and as another user: the file is the helper's to open."""
    upstream = dns.upstream(zone(NAMES))
    config = Config(dns, "host = db.internal=192.0.2.8", "hosts-file = none",
                    arguments=("--upstream", upstream.url, *user))
    os.chmod(config.path, 0o600)
    assert addresses(dns.ask("db.internal")) == ["192.0.2.8"]
    hosts = dns.path("hosts")
    with open(hosts, "w", encoding="utf-8") as file:
        file.write("192.0.2.7 printer\n")
    config.reload("host = db.internal=192.0.2.9", "host = new.internal=192.0.2.10",
                  f"hosts-file = {hosts}")
    assert addresses(dns.ask("db.internal")) == ["192.0.2.9"]
    assert addresses(dns.ask("new.internal")) == ["192.0.2.10"]
    assert addresses(dns.ask("printer")) == ["192.0.2.7"]
    config.reload("hosts-file = none")
    assert dns.ask("db.internal").rcode == wire.NXDOMAIN


def test_reload_of_log_level_stale_and_timeout(dns):
    upstream = dns.upstream(zone(NAMES, ttl=1))
    pinned = f"upstream = {upstream.url}"
    config = Config(dns, pinned, "timeout = 60", "log-level = info")
    log = config.reload(pinned, "timeout = 1", "serve-stale = off", "log-level = debug")
    assert "changed serve-stale, timeout, log-level" in log
    assert dns.ask("www.example").rcode == 0
    upstream.answer = lambda data: HOLD
    wait_for(lambda: dns.ask("www.example").rcode == wire.SERVFAIL, "SERVFAIL, after a second")


@pytest.mark.parametrize("lines,sentence", [
    (("nonsense = 1",), "nonsense"), (("timeout = 0",), "timeout"), (("host = x=1.2.3",), "--host"),
    (("upstream = tls://127.0.0.9#x.example",), "needs a restart"),
    (("host = a.example=192.0.2.1", "upstream = resolv-conf", "upstream = tcp://127.0.0.9"), "alone")])
def test_reload_that_fails_changes_nothing(dns, lines, sentence):
    upstream = dns.upstream(zone(NAMES))
    good = ("host = db.internal=192.0.2.8", f"upstream = {upstream.url}")
    config = Config(dns, *good)
    log = config.reload("host = db.internal=192.0.2.9", *lines)
    assert "configuration not changed: " in log and sentence in log
    assert addresses(dns.ask("db.internal")) == ["192.0.2.8"]
    assert addresses(dns.ask("www.example")) == ["192.0.2.1"]
    assert "nothing has changed" in config.reload(*good)


def test_reload_of_what_needs_a_restart(dns):
    upstream = dns.upstream(zone(NAMES))
    pinned = f"upstream = {upstream.url}"
    config = Config(dns, pinned)
    log = config.reload(pinned, "listen = 192.0.2.53", "cache = 1M")
    assert "a change of listen needs a restart" in log and "a change of cache needs" in log
    for version in (4, 6):
        assert dns.ask("www.example", version=version, address=loopback(version)).rcode == 0


def test_reload_again_and_again(dns):
    """No descriptor and no memory is left behind."""
    upstream = dns.upstream(zone(NAMES))
    with open(dns.path("resolvers"), "w", encoding="utf-8") as file:
        file.write("")
    lines = [(f"upstream = {upstream.url}", "host = a.example=192.0.2.1"),
             (f"resolvers-file = {dns.path('resolvers')}", "host = b.example=192.0.2.1")]
    config = Config(dns, *lines[0])
    config.reload(*lines[1])
    config.reload(*lines[0])
    descriptors = sorted(os.listdir(f"/proc/{config.daemon.process.pid}/fd"))
    for turn in range(1, 41):
        config.reload(*lines[turn % 2])
    assert sorted(os.listdir(f"/proc/{config.daemon.process.pid}/fd")) == descriptors
    assert addresses(dns.ask("a.example")) == ["192.0.2.1"]
