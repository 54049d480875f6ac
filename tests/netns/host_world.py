# SPDX-License-Identifier: Apache-2.0
"""What the tests of the host's side share: a host that somebody else administers.

Each test has a network of its own (fixture `host`), because each changes it behind the daemons' back.
"""
import contextlib
import re
import subprocess

from fixtures import Workshop
from netns import PATIENCE, wait_for
from system import BUILD
from topology import INTERNET, PARENT, ROUTER_OUT, Topology
from traffic import Path

FIREWALLS = ("iptables", "iptables-legacy", "nft")


class Host(Workshop):
    """A fresh network and a workshop in it."""

    def __init__(self):
        super().__init__(Topology())
        self.parent = self.topology.parent
        self.enclave = self.topology.enclave
        self.router = self.topology.router
        self.internet = self.topology.internet

    def side(self, name):
        return getattr(self, name)

    def remove(self):
        try:
            self.clear()
        finally:
            self.topology.remove()


class Talk:
    """A TCP connection that is open all the while, and says something now and then."""

    def __init__(self, tunnel, direction, version):
        self.name = f"the connection {direction}, IPv{version}"
        self.client, self.server = Path(tunnel, direction, version).pair()
        self.number = 0

    def goes_on(self):
        """Both ends hear each other, however often it has to be sent again."""
        self.number += 1
        word = self.number.to_bytes(4, "big")
        for sender, receiver in ((self.client, self.server), (self.server, self.client)):
            receiver.settimeout(PATIENCE)
            sender.sendall(word)
            got = b""
            while len(got) < len(word):
                part = receiver.recv(len(word) - len(got))
                assert part, f"{self.name} was ended"
                got += part
            assert got == word
        return True

    def close(self):
        self.client.close()
        self.server.close()


@contextlib.contextmanager
def talks(tunnel, versions=(4, 6)):
    """Open connections of each direction and family."""
    made = [Talk(tunnel, direction, version) for direction in ("out", "in") for version in versions]
    try:
        yield made
    finally:
        for talk in made:
            talk.close()


def pings(tunnel, version, patience=1):
    """Does an echo come back from the router?"""
    done = tunnel.enclave.namespace.run(
        ["ping", f"-{version}", "-n", "-c1", "-W", patience, ROUTER_OUT[version]], check=False)
    return done.returncode == 0


def wait_pings(tunnel, version):
    wait_for(lambda: pings(tunnel, version), f"IPv{version} through the tunnel")


def connects(client, server, version, address, port, inside=None):
    """Does a fresh connection to address:port get to a server that listens on `inside`?"""
    with server.listen(version, inside or port) as listener:
        try:
            with client.connect(version, address, port, patience=2):
                accepted, _ = listener.accept()
                accepted.close()
                return True
        except OSError:
            return False


def new_connections(host, tunnel, version):
    """Fresh connections pass, both ways."""
    assert connects(host.enclave, host.internet, version, INTERNET[version], 6001)
    assert connects(host.internet, host.enclave, version, PARENT[version], 7098)


def lines(daemon, pattern):
    """Lines of a daemon's log."""
    return [line for line in daemon.log().splitlines() if re.search(pattern, line)]


def warnings(daemon, pattern=""):
    return lines(daemon, "warning: .*" + pattern)


def run_check(namespace, program, *arguments, wrapper=()):
    """A daemon's --check: exit status and text."""
    command = [str(BUILD / program.split("-")[1] / program), "--check", *arguments]
    done = namespace.run(["ip", "netns", "exec", namespace.name, *wrapper, *command], check=False,
                         stderr=subprocess.STDOUT)
    return done.returncode, done.stdout
