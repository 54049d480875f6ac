# SPDX-License-Identifier: Apache-2.0
"""Proof servers on port 6300 in two enclaves behind a load balancer's checks. Replaces: socat.

There, a socat on the parent joins each TCP port to a vsock port, and a socat in the enclave joins
that to the server: a pair of processes per connection, idle timeouts that end long requests, health
checks that socat itself accepts while the server behind it is dead, and servers that see
127.0.0.1 as every client.

Here: `causeway-parent --enclave vsock:16:5005,name=e2 --publish e2=6300:6300`, or, with a balancer
on the parent itself, no published port at all: the enclave's address is an address like any other.
"""
import csv
import http.client
import io
import socket
import sys
from pathlib import Path

import pytest
from netns import wait_for
from system import GATEWAY4
from topology import INTERNET, PARENT
from traffic import Background, listens
from world import Service, need, running

# The tests' daemons name the enclaves e2 and e3 (tests/netns/system.py).
TUNNEL = {"enclaves": 2, "publish": ("e2=6300:6300/tcp", "e3=6301:6300/tcp")}
PORT, FRONT = 6300, 8300
NAMES = ("e2", "e3")
SERVER = Path(__file__).with_name("proof_server.py")
CHECK_PATIENCE = 90

pytestmark = need("haproxy", "curl")

HAPROXY = """
global
  stats socket {directory}/haproxy.sock
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  timeout check 2s
  retries 3
  option redispatch
frontend proofs
  bind {address}:{port}
  default_backend enclaves
backend enclaves
  balance roundrobin
  option httpchk GET /health
  http-check expect status 200
  default-server check inter 300ms fall 2 rise 2
{servers}
"""


class Balancer(Service):
    """haproxy with a check of each enclave."""

    def __init__(self, namespace, address, servers, directory):
        directory.chmod(0o755)
        self._socket, self.address = directory / "haproxy.sock", address
        config = directory / "haproxy.cfg"
        config.write_text(HAPROXY.format(
            directory=directory, address=address, port=FRONT,
            servers="".join(f"  server {name} {where}\n" for name, where in servers.items())))
        super().__init__(namespace, ["/usr/sbin/haproxy", "-db", "-f", config], directory / "log",
                         listens(namespace, FRONT))

    def states(self):
        """What the checks say of each enclave: UP, DOWN, or on the way from one to the other."""
        with socket.socket(socket.AF_UNIX) as stream:
            stream.connect(str(self._socket))
            stream.sendall(b"show stat\n")
            with stream.makefile() as reader:
                table = csv.DictReader(io.StringIO(reader.read().lstrip("# ")))
                return {row["svname"]: row["status"] for row in table if row["svname"] in NAMES}

    def wait(self, **states):
        wait_for(lambda: states.items() <= self.states().items(), f"the checks to say {states}",
                 patience=CHECK_PATIENCE)


class World:
    """Proof servers, the balancer and its clients, who are beyond the parent's network card."""

    def __init__(self, tunnel, balancer, servers, release):
        self.tunnel, self.balancer, self.servers, self.release = tunnel, balancer, servers, release
        self.enclaves = dict(zip(NAMES, tunnel.enclaves))

    def ask(self, path="who"):
        return self.tunnel.topology.router.run(
            ["curl", "-sS", "--fail", "--max-time", "60",
             f"http://{self.balancer.address}:{FRONT}/{path}"])

    def answering(self, count=8):
        """Who answers `count` requests; each is answered."""
        return {self.ask().split()[0] for _ in range(count)}

    def wait_both(self):
        """Requests are shared out again: to a server that comes back, not with the first of them."""
        wait_for(lambda: self.answering() == set(NAMES), "both to answer")

    def prove(self):
        """Begins a long request: its response and the name of who works on it."""
        connection = http.client.HTTPConnection(self.balancer.address, FRONT)
        connection.sock = self.tunnel.topology.router.connect(4, self.balancer.address, FRONT,
                                                              patience=60)
        connection.request("GET", "/prove", headers={"Connection": "close"})
        response = connection.getresponse()
        return response, response.readline().split()[0].decode()


@pytest.fixture(scope="module")
def servers(tunnel, tmp_path_factory):
    """A proof server in each enclave."""
    directory = tmp_path_factory.mktemp("proofs")
    made = {}
    for name, enclave in zip(NAMES, tunnel.enclaves):
        place = enclave.namespace
        made[name] = Service(place, [sys.executable, SERVER, name, PORT, directory / "release"],
                             directory / f"{name}.log", listens(place, PORT, 6))
    with running(*made.values()):
        yield made, directory / "release"


@pytest.fixture(scope="module", params=["on the parent", "in front"])
def world(request, tunnel, servers, tmp_path_factory):
    topology = tunnel.topology
    if request.param == "on the parent":
        namespace, address = topology.parent, PARENT[4]
        targets = [f"{enclave.address(4)}:{PORT}" for enclave in tunnel.enclaves]
    else:
        namespace, address = topology.internet, INTERNET[4]
        targets = [f"{PARENT[4]}:{port}" for port in (6300, 6301)]
    balancer = Balancer(namespace, address, dict(zip(NAMES, targets)),
                        tmp_path_factory.mktemp("balancer"))
    with running(balancer):
        balancer.wait(e2="UP", e3="UP")
        yield World(tunnel, balancer, *servers)


@pytest.fixture
def long_request(world):
    """A request that is under way before something happens, and is done after it."""
    response, name = world.prove()
    with response:
        yield response, name
    world.release.unlink(missing_ok=True)


def finish(world, response):
    """The long request's end: the proof, whole."""
    rest = Background(response.read)
    world.release.touch()
    assert rest.result() == b"proof " + b"01" * 500_000 + b"\n"


def test_balanced(world):
    assert world.answering() == set(NAMES)
    assert "is well" in world.ask("health")


def test_client_seen(world):
    """A balancer on the parent is seen as the gateway, one in front of it by its own address."""
    seen = {world.ask().split()[1] for _ in range(4)}
    assert seen == {INTERNET[4] if world.balancer.address == INTERNET[4] else GATEWAY4}


@pytest.mark.daemons
def test_enclave_daemon_killed(world, long_request):
    """The checks take the enclave out, the other one serves, the checks take it back; and the
    request that it was working on all the while is answered."""
    response, name = long_request
    other, = set(NAMES) - {name}
    daemon = world.enclaves[name].daemon
    daemon.kill()
    try:
        world.balancer.wait(**{name: "DOWN", other: "UP"})
        assert world.answering() == {other}
    finally:
        daemon.start()
    world.balancer.wait(**{name: "UP", other: "UP"})
    world.wait_both()
    finish(world, response)


@pytest.mark.daemons
def test_parent_daemon_killed(world, long_request):
    """Both enclaves are out, and both come back; the long request is answered."""
    response, _ = long_request
    daemon = world.tunnel.parent
    daemon.kill()
    try:
        world.balancer.wait(e2="DOWN", e3="DOWN")
    finally:
        daemon.start()
    world.balancer.wait(e2="UP", e3="UP")
    world.wait_both()
    finish(world, response)


def test_server_restarted(world):
    """A server that is gone is seen to be gone: no half of a proxy accepts in its place."""
    server = world.servers["e3"]
    server.stop()
    try:
        world.balancer.wait(e2="UP", e3="DOWN")
        assert world.answering() == {"e2"}
    finally:
        server.start()
    world.balancer.wait(e2="UP", e3="UP")
    world.wait_both()
