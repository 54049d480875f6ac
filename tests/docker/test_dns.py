# SPDX-License-Identifier: Apache-2.0
"""causeway-dns as what dockerd's "dns" names: it starts before dockerd, listens on the bridge's
address before there is a bridge, and asks a server on the internet over TCP, through the tunnel."""
import json

import dns_wire as wire
import pytest
from conftest import LONG_TEXT
from dns_system import DnsDaemon, recv_stream, send_stream
from dockerd import BRIDGE_GATEWAY, Docker
from netns import wait_for
from topology import INTERNET, PARENT

pytestmark = pytest.mark.daemons
BRIDGE = BRIDGE_GATEWAY[4]
RESOLVER = {"box-bridge": BRIDGE, "box-network": "127.0.0.11"}


class Resolver:
    """causeway-dns, and the daemon.json that it points at itself."""

    def __init__(self, namespace, directory):
        self.namespace, self.directory = namespace, directory
        self.path = self.daemon = None

    def take_over(self, path):
        self.path = path
        self.original = path.read_text()
        self.daemon = DnsDaemon(self.namespace, [
            "--listen", "127.0.0.1", "--listen", BRIDGE, "--upstream", f"tcp://{INTERNET[4]}",
            "--docker-daemon-json", str(path)], self.directory, "dns")
        self.start()

    def start(self):
        self.daemon.start()
        self.daemon.wait_ready()

    def log(self):
        """Since the latest start."""
        return self.daemon.log()[self.daemon.log_offset:]


@pytest.fixture(scope="module")
def resolver(topology, tmp_path_factory):
    made = Resolver(topology.enclave, tmp_path_factory.mktemp("dns"))
    yield made
    assert made.daemon is None or made.daemon.stop() == 0, made.daemon.log()


@pytest.fixture(scope="module")
def docker(topology, form, resolver):
    """dockerd, configured with another resolver until causeway-dns takes that over."""
    made = Docker(topology.enclave, form.backend, resolver.take_over, dns=["192.0.2.1"])
    yield made
    made.close()


def ask(box, name, kind=wire.A, transport="udp"):
    target = (RESOLVER[box.name], 53)
    if transport == "udp":
        with box.datagram(4) as client:
            client.sendto(wire.query(name, kind), target)
            return wire.Message(client.recv(65535))
    with box.connect(4, *target) as client:
        send_stream(client, wire.query(name, kind))
        return recv_stream(client)


def resolves(box):
    answer = ask(box, "web.example.test")
    return answer.rcode == 0 and len(answer.answers) == 1


def test_listens_before_there_is_a_bridge(docker, resolver):
    assert f"{BRIDGE}:53 is not an address of this machine yet" in resolver.log()
    before = json.loads(resolver.original)
    assert before["dns"] == ["192.0.2.1"]
    assert json.loads(resolver.path.read_text()) == {**before, "dns": [BRIDGE]}


def test_who_is_the_resolver(box):
    lines = box.exec("cat", "/etc/resolv.conf").splitlines()
    assert f"nameserver {RESOLVER[box.name]}" in lines and "192.0.2.1" not in "".join(lines)


def test_name_in_a_program(tunnel, box, downloads, name_server):
    seen = box.exec("wget", "-qO-", f"http://web.example.test:{downloads.port}/whoami")
    assert seen in PARENT.values()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_addresses(tunnel, box, name_server, transport):
    for kind, length in ((wire.A, 4), (wire.AAAA, 16)):
        answer = ask(box, "web.example.test", kind, transport)
        assert answer.rcode == 0 and [len(record.rdata) for record in answer.answers] == [length]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_unknown_name(tunnel, box, name_server, transport):
    answer = ask(box, "nowhere.example.test", transport=transport)
    assert answer.rcode == wire.NXDOMAIN and answer.answers == []


def test_long_text(tunnel, box, name_server):
    """Cut short over UDP, whole over TCP."""
    assert ask(box, "text.example.test", wire.TXT).flags & wire.TC
    record, = ask(box, "text.example.test", wire.TXT, "tcp").answers
    pieces, data = [], record.rdata
    while data:
        pieces.append(data[1:1 + data[0]])
        data = data[1 + data[0]:]
    assert b"".join(pieces) == LONG_TEXT


@pytest.mark.parametrize("end", ["in order", "killed"])
def test_starts_behind_dockerd(tunnel, docker, boxes, name_server, resolver, end):
    """The other order: bridge and containers are there. They need not be started again."""
    if end == "killed":
        resolver.daemon.kill()
    else:
        assert resolver.daemon.stop() == 0
        assert resolver.path.read_text() == resolver.original
    resolver.start()
    assert f"listening on {BRIDGE}:53" in resolver.log() and " yet" not in resolver.log()
    for box in boxes.values():
        wait_for(lambda each=box: resolves(each), f"names in {box.name}")


def test_dockerd_starts_again(tunnel, docker, boxes, name_server, resolver):
    docker.stop()
    docker.start()
    for box in boxes.values():
        wait_for(lambda each=box: resolves(each), f"names in {box.name}")


def test_upstream_it_was_always_tcp(tunnel, boxes, name_server, resolver):
    """And the cache spares the way: both boxes have asked for the same name."""
    for box in boxes.values():
        assert resolves(box)
    assert {entry[1:] for entry in name_server.asked} == {("tcp", PARENT[4])}
    assert resolver.daemon.counters()["hits"] > 0


def test_daemon_json_is_as_it_was(docker, resolver):
    """Last: dockerd keeps what it has read, but the file is the operator's again."""
    assert resolver.daemon.stop() == 0
    assert resolver.path.read_text() == resolver.original
    assert sorted(path.name for path in resolver.path.parent.glob("daemon.json*")) == ["daemon.json"]
