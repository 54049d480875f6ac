# SPDX-License-Identifier: Apache-2.0
"""causeway-dns in a namespace of its own, and raw clients for it."""
import os
import shutil
import socket
import struct
import subprocess
import tempfile

import dns_wire as wire
import pytest
from dns_servers import Upstream
from netns import Namespace, wait_for
from fixtures import SANITIZER
from system import BUILD, Daemon
from topology import register

PROGRAM = BUILD / "dns" / "causeway-dns"
# What others reach the machine at; they live on the loopback device.
OTHER = {4: "192.0.2.53", 6: "2001:db8::53"}


class DnsDaemon(Daemon):
    def __init__(self, namespace, arguments, directory, label):
        self.control = os.path.join(directory, f"{label}.sock")
        super().__init__(namespace, "causeway-dns", ["--control", self.control, *arguments],
                         directory, label)
        self.command[0] = str(PROGRAM)

    def wait_ready(self):
        def ready():
            assert self.alive(), f"{self.label} ended\n{self.log()}"
            return ": ready" in self.log()[self.log_offset:]
        wait_for(ready, f"{self.label} to be ready")

    def start(self):
        self.log_offset = len(self.log())
        super().start()

    def counters(self, kind="server"):
        """The words of the first line of counters of a kind, as numbers where they are."""
        for line in self.stats_text().splitlines():
            if line.startswith(f"stats {kind}"):
                words = dict(word.split("=", 1) for word in line.split() if "=" in word)
                return {key: int(value) if value.isdigit() else value
                        for key, value in words.items()}
        raise AssertionError(f"no counters of {kind}")


class DnsWorld:
    """A namespace with a causeway-dns and a scripted upstream in it."""

    _count = 0

    def __init__(self):
        DnsWorld._count += 1
        self.namespace = register(Namespace(f"cwtest-{os.getpid()}-dns{DnsWorld._count}-enclave"))
        self.namespace.make()
        for version, address in OTHER.items():
            length = "32" if version == 4 else "128 nodad"
            self.namespace.ip(f"addr add {address}/{length} dev lo")
        self.directory = tempfile.mkdtemp(prefix="cwtest-dns-")
        os.chmod(self.directory, 0o755)
        self.upstreams, self.daemons, self.processes = [], [], []

    def upstream(self, answer, **options):
        made = Upstream(self.namespace, answer, **options)
        self.upstreams.append(made)
        return made

    def daemon(self, *arguments, upstream=None, ready=True, label=None):
        words = [] if upstream is None else ["--upstream", upstream.url]
        label = label or f"dns{len(self.daemons)}"
        made = DnsDaemon(self.namespace, [*words, *map(str, arguments)], self.directory, label)
        self.daemons.append(made)
        made.start()
        if ready:
            made.wait_ready()
        return made

    def path(self, name):
        return os.path.join(self.directory, name)

    def run(self, *command, check=True, **options):
        return self.namespace.run([str(word) for word in command], check=check, **options)

    def popen(self, *command, **options):
        made = self.namespace.popen(command, stdin=subprocess.DEVNULL, **options)
        self.processes.append(made)
        return made

    # ---- raw clients

    def ask(self, text, kind=wire.A, version=4, address=None, port=53, **options):
        """One question by UDP; the answer taken apart."""
        with self.client(version) as client:
            client.sendto(wire.query(text, kind, **options), (address or loopback(version), port))
            return wire.Message(client.recv(65535))

    def client(self, version=4):
        return self.namespace.datagram(version)

    def connect(self, version=4, address=None, port=53):
        return self.namespace.connect(version, address or loopback(version), port)

    def logs(self):
        return "\n".join(f"--- {daemon.label}\n{daemon.log()}" for daemon in self.daemons)

    def clear(self):
        """Ends what a test has started."""
        sick = [daemon.label for daemon in self.daemons if daemon.stop() != 0]
        logs = self.logs()
        self.daemons.clear()
        while self.processes:
            process = self.processes.pop()
            process.kill()
            process.wait()
        while self.upstreams:
            self.upstreams.pop().close()
        for name in os.listdir(self.directory):
            path = self.path(name)
            shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
        assert not sick and not SANITIZER.search(logs), logs

    def remove(self):
        self.namespace.remove()
        shutil.rmtree(self.directory, ignore_errors=True)


def loopback(version):
    return {4: "127.0.0.1", 6: "::1"}[version]


def send_stream(stream, *messages):
    stream.sendall(b"".join(struct.pack("!H", len(data)) + data for data in messages))


def recv_exactly(stream, length):
    data = b""
    while len(data) < length:
        got = stream.recv(length - len(data))
        if not got:
            return None
        data += got
    return data


def recv_stream(stream):
    """The next message, or None at the end."""
    prefix = recv_exactly(stream, 2)
    return None if prefix is None else wire.Message(
        recv_exactly(stream, struct.unpack("!H", prefix)[0]))


def ended(stream):
    """Has the server closed the connection, in order or by a reset? Waits for it."""
    try:
        return stream.recv(1) == b""
    except ConnectionResetError:
        return True


def half_close(stream):
    stream.shutdown(socket.SHUT_WR)


@pytest.fixture(scope="module")
def dns_world():
    made = DnsWorld()
    yield made
    made.remove()


@pytest.fixture
def dns(dns_world):
    """The namespace, empty again after each test."""
    yield dns_world
    dns_world.clear()
