# SPDX-License-Identifier: Apache-2.0
"""The same measurements between a real enclave and its parent (bench/run --remote).

    enclave                              parent (this machine)
    bench/agent  ==(the tunnel, up)==>   bench/run, and a namespace in the place of the internet

The harness runs on the parent. The far end is a namespace of its own behind a veth pair, so that
what is measured is the tunnel and not the instance's network; the enclave's clients are run by
bench/agent, which is reached through the tunnel. In the ceiling's place stands the same client on
the parent itself.
"""

import hashlib
import hmac
import json
import os
import socket
import threading
from dataclasses import dataclass, field

from harness import accounting
from harness.system import System
from harness.world import Failed, World

PORT = 5299
CONNECT_LIMIT_S = 10


class Agent:
    """Asks bench/agent, a connection for each request."""

    def __init__(self, address, token):
        host, _, port = address.partition(":")
        self.address = (host, int(port or PORT))
        self.token = token

    def connect(self, limit):
        """A connection that has been let in, and its lines."""
        try:
            connection = socket.create_connection(self.address, CONNECT_LIMIT_S)
            connection.settimeout(limit)
            stream = connection.makefile("rb")
            nonce = json.loads(stream.readline())["nonce"]
        except (OSError, ValueError, KeyError) as error:
            raise Failed(f"agent {self.address[0]} port {self.address[1]}: {error}") from None
        proof = hmac.new(self.token, nonce.encode(), hashlib.sha256).hexdigest()
        connection.sendall(json.dumps({"proof": proof}).encode() + b"\n")
        return connection, stream

    def ask(self, request, limit=CONNECT_LIMIT_S, hold=None):
        """The answer. hold: a list that takes the connection, so that another thread can end it."""
        connection, stream = self.connect(limit)
        with connection:
            if hold is not None:
                hold.append(connection)
            try:
                connection.sendall(json.dumps(request).encode() + b"\n")
                reply = json.loads(stream.readline())
            except (OSError, ValueError) as error:
                raise Failed(f"agent: no answer to {request['op']}: {error}") from None
        if "error" in reply:
            raise Failed("agent: " + reply["error"])
        return reply

    def run(self, argv, timeout, hold=None):
        argv = [os.path.basename(argv[0]), *argv[1:]]
        done = self.ask({"op": "run", "argv": argv, "timeout": timeout}, timeout + 10, hold)
        if done["status"] != 0:
            words = done["stderr"].strip() or done["stdout"].strip() or f"exit {done['status']}"
            raise Failed(f"{argv[0]}: {words.splitlines()[-1][:200]}")
        return done["stdout"]


class Background:
    """A command that runs in the enclave meanwhile; as much of Popen as measure.py needs."""

    def __init__(self, agent, argv, timeout):
        self.out, self.error, self.connection = None, None, []
        self.thread = threading.Thread(target=self.work, args=(agent, argv, timeout), daemon=True)
        self.thread.start()

    def work(self, agent, argv, timeout):
        try:
            self.out = agent.run(argv, timeout, self.connection)
        except (Failed, OSError) as error:
            self.error = error

    def poll(self):
        return None if self.thread.is_alive() else 0

    def communicate(self, timeout):
        self.thread.join(timeout)
        if self.error or self.thread.is_alive():
            raise Failed(str(self.error or "a command in the enclave does not end"))
        return self.out, ""

    def kill(self):
        for connection in self.connection:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def wait(self):
        self.thread.join()


@dataclass
class Found:
    """A process of the tunnel that was running before; of Popen what accounting needs."""
    pid: int

    def poll(self):
        return None if os.path.exists(f"/proc/{self.pid}") else "no status"


@dataclass
class FoundDaemon:
    name: str
    process: Found
    log: str = os.devnull
    children: bool = False
    peak_kb: int = field(default=0)


class RemoteWorld(World):
    """The parent is this machine's own namespace, the enclave is wherever the agent is (or, without
    an agent, here, too)."""

    def __init__(self, mtu, agent, names):
        super().__init__(mtu)
        self.agent, self.account = agent, names if agent else []
        net = 4 * (World._count % 64)
        self.near, self.far = f"192.0.2.{net + 1}", f"192.0.2.{net + 2}"

    def make(self):
        self.run(["ip", "netns", "add", self.names["internet"]])
        self._made.append("internet")
        self.run(["ip", "link", "set", "lo", "up"], "internet")
        device = f"cwb{os.getpid() % 1000000}n{World._count}"
        self.run(["ip", "link", "add", device, "mtu", str(self.mtu), "type", "veth", "peer", "name",
                  "inet0", "mtu", str(self.mtu), "netns", self.names["internet"]])
        self.run(["ip", "address", "add", self.near + "/30", "dev", device])
        self.run(["ip", "link", "set", device, "up"])
        self.address("internet", "inet0", self.far + "/30")
        self.run(["ip", "route", "add", "default", "via", self.near], "internet")
        self.daemons = [FoundDaemon(name, Found(pid)) for name in self.account
                        for pid in accounting.find(name)]

    def inside(self, role, argv):
        return super().inside("internet", argv) if role == "internet" else list(argv)

    def run(self, argv, role=None, timeout=30, **options):
        if role == "enclave" and self.agent:
            return self.agent.run(argv, timeout)
        return super().run(argv, role, timeout, **options)

    def background(self, argv, role, timeout):
        if role == "enclave" and self.agent:
            return Background(self.agent, argv, timeout)
        return super().background(argv, role, timeout)

    def elsewhere(self):
        """What accounting cannot see from here: see accounting.report()."""
        if not self.agent:
            return None
        return self.agent.ask({"op": "account", "names": self.account})

    def close(self):
        self.daemons = []  # they are not ours to end
        super().close()


class Remote(System):
    protocols = ("tcp", "udp")

    def target(self, world, port):
        return world.far, port


class Parent(Remote):
    name = "parent"
    title = "a client on the parent itself, no tunnel"

    def world(self, mtu, options):
        return RemoteWorld(mtu, None, [])

    def up(self, world):
        world.run(["ping", "-c1", "-W1", "-n", world.far])


class Tunnel(Remote):
    name = "tunnel"
    title = "a client in the enclave, through the tunnel that is up"

    def world(self, mtu, options):
        return RemoteWorld(mtu, options.agent, options.account)

    def up(self, world):
        def passes():
            try:
                world.run(["ping", "-c1", "-W1", "-n", world.far], "enclave")
                return True
            except Failed as error:
                if str(error).startswith("agent"):
                    raise
                return False
        world.wait(passes, "a ping from the enclave to the far end")


ADAPTERS = {"parent": Parent, "tunnel": Tunnel}
