# SPDX-License-Identifier: Apache-2.0
r"""What the tests of two machines work with. It looks like the world of the namespace tests, so that
their clients and servers fit; only that `enclave` is another machine, reached through remote.py.

  parent guest, CID 3                                   enclave guest, CID 16
    internet -- router -- parent (namespaces)             its own namespace: cw0
                          causeway-parent  === vsock ===  causeway-enclave
                                                          container (namespace) -- docker0

The container's network is made as Docker makes one: a bridge with a private network, MASQUERADE
towards everything else, DNAT for a published port.
"""
import functools
import hashlib
import os
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

import remote
import system
from agent import HEARTBEAT, HEARTBEAT_PORT
from netns import Namespace
from traffic import Background, receive_all, send_random

ENCLAVE_CID, PARENT_CID = 16, 3
LINK_PORT = 5005
BOOT_PATIENCE = 400
# As in system.PUBLISH, plus the container's: outside, the enclave's Docker, the container.
CONTAINER_PORT, CONTAINER_OUTSIDE = 80, 8088
PUBLISH = (*system.PUBLISH, f"{CONTAINER_OUTSIDE}:{CONTAINER_OUTSIDE}/tcp")


class Heartbeat:
    """The parent's side of a Nitro enclave's first sign of life."""

    def __init__(self):
        self.beats = []
        self._listener = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
        self._listener.bind((socket.VMADDR_CID_ANY, HEARTBEAT_PORT))
        self._listener.listen(4)
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            stream, (cid, _) = self._listener.accept()
            with stream:
                beat = stream.recv(1)
                self.beats.append((cid, beat))
                if beat == HEARTBEAT:
                    stream.sendall(HEARTBEAT)


class EnclaveGuest:
    """The other machine, its namespace, and a container in it."""

    def __init__(self):
        self.heartbeat = Heartbeat()
        self.remote, self.cid = remote.accept(remote.CONTROL_PORT, BOOT_PATIENCE)
        self.run("ip netns attach enclave 1")
        self.namespace = self.remote.call(Namespace, "enclave")
        self.container = None

    def run(self, command, check=True):
        """A program in the enclave; its standard output."""
        done = self.remote.call(subprocess.run, command.split(), capture_output=True, text=True,
                                check=False)
        if check and done.returncode != 0:
            raise AssertionError(f"in the enclave: {command}: {done.stdout}{done.stderr}")
        return done.stdout


@functools.cache
def enclave_guest():
    """The other machine; it dials once, whoever asks first."""
    return EnclaveGuest()


class Pair(system.Tunnel):
    """The daemons, one on each machine."""

    def __init__(self, topology, guest, **options):
        self.guest = guest
        super().__init__(topology, publish=PUBLISH, **options)

    def _plan_daemons(self, parent_arguments, enclave_arguments):
        self.enclave.namespace, self.enclave.slot = self.guest.namespace, ENCLAVE_CID
        directory = self.guest.remote.call(tempfile.mkdtemp)
        self.guest.remote.call(os.chmod, directory, 0o755)  # the daemon drops to a user of its own
        self.enclave.daemon = self.guest.remote.call(
            system.Daemon, self.guest.namespace, "causeway-enclave",
            ["--link", f"vsock:{PARENT_CID}:{LINK_PORT}", "--lanes", str(self.lanes),
             "--capture", self.capture, *enclave_arguments], directory, "enclave")
        arguments = [word for rule in self.publish for word in ("--publish", rule)]
        arguments += [word for prefix in self.allow for word in ("--allow", prefix)]
        if "--enclave" not in parent_arguments:
            arguments += ["--enclave", f"vsock:{ENCLAVE_CID}:{LINK_PORT}"]
        self.parent = system.Daemon(self.topology.parent, "causeway-parent",
                                    [*arguments, *parent_arguments], self.directory, "parent")


DNS_PROGRAM = system.BUILD / "dns/causeway-dns"


def dns_daemon(namespace, arguments, directory):
    """causeway-dns in a namespace of the machine on which this is called."""
    made = system.Daemon(namespace, "causeway-dns", arguments, directory, "dns")
    made.command[0] = str(DNS_PROGRAM)
    return made


def file_digest(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


# ---- streams whose ends are on two machines

def here(stream):
    return not isinstance(stream, remote.Handle)


def on(stream, function, *arguments):
    """Runs function(stream, ...) on the machine that the stream is on."""
    if here(stream):
        return function(stream, *arguments)
    return stream._remote.call(function, stream, *arguments)  # pylint: disable=protected-access


def send_and_end(stream, count):
    digest = send_random(stream, count)
    stream.shutdown(socket.SHUT_WR)
    return count, digest


def transfer(sender, receiver, count):
    """As in traffic.py; each end's work is done where that end is."""
    receiving = Background(on, receiver, receive_all)
    sent = on(sender, send_and_end, count)
    assert receiving.result(300) == sent


# ---- a container's network

BRIDGE = {4: "172.30.0.1", 6: "fd00:d::1"}
CONTAINER = {4: "172.30.0.2", 6: "fd00:d::2"}
LENGTH = {4: 24, 6: 64}


class Container:
    """A namespace in the enclave behind Docker's kind of NAT."""

    def __init__(self, guest):
        self.guest = guest
        self.namespace = guest.remote.call(Namespace, "container")
        self.namespace.make()
        run = guest.run
        run("ip link add docker0 type bridge")
        run("ip link set docker0 up")
        run("ip link add veth0 type veth peer name eth0 netns container")
        run("ip link set veth0 master docker0 up")
        self.namespace.ip("link set eth0 up")
        for version in (4, 6):
            nodad = "" if version == 4 else " nodad"
            run(f"ip addr add {BRIDGE[version]}/{LENGTH[version]} dev docker0{nodad}")
            self.namespace.ip(f"addr add {CONTAINER[version]}/{LENGTH[version]} dev eth0{nodad}")
            self.namespace.ip(f"-{version} route add default via {BRIDGE[version]}")
        guest.namespace.sysctl("net.ipv4.ip_forward", 1)
        guest.namespace.sysctl("net.ipv6.conf.all.forwarding", 1)
        for version in (4, 6):
            for rule in self._rules(version):
                run(f"{self._tool(version)} -w -t nat -A {rule}")

    @staticmethod
    def _tool(version):
        # What every kernel with Docker has; nf_tables is missing in AWS's.
        return "iptables-legacy" if version == 4 else "ip6tables-legacy"

    @staticmethod
    def _rules(version):
        network = f"{BRIDGE[version]}/{LENGTH[version]}"
        to = CONTAINER[version] if version == 4 else f"[{CONTAINER[version]}]"
        return (f"POSTROUTING -s {network} ! -o docker0 -j MASQUERADE",
                f"PREROUTING -p tcp --dport {CONTAINER_OUTSIDE} ! -i docker0 -j DNAT "
                f"--to-destination {to}:{CONTAINER_PORT}")
