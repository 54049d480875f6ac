# SPDX-License-Identifier: Apache-2.0
"""Peers that mean harm: a hostile enclave at the parent's socket, a hostile parent at the enclave's.
The daemon lives, counts, says whose fault it was, leaks nothing, and serves the next honest peer."""
import os
import socket
import threading

import hostile
import pytest
from hostile import CONFIG, PACKET, PING, PONG, REJECT, dial, frame, hello
from netns import wait_for
from topology import INTERNET
from traffic import Path, transfer

pytestmark = pytest.mark.daemons
DEAD_AFTER = ["--dead-after", "2"]


@pytest.fixture
def lone_parent(workshop):
    """A parent whose enclave has not come: its place is free for a hostile one."""
    tunnel = workshop.tunnel(start=False, parent_arguments=DEAD_AFTER)
    tunnel.parent.start()
    path = tunnel.enclave.link.removeprefix("unix:")
    wait_for(lambda: os.path.exists(path), "the parent's socket")
    wait_for(lambda: "ready" in tunnel.parent.log(), "the parent to be ready")
    yield tunnel, path


def honest_enclave_works(tunnel):
    """An honest enclave now gets through, both ways."""
    assert tunnel.parent.alive(), tunnel.parent.log()
    if not tunnel.enclave.daemon.alive():
        tunnel.enclave.daemon.start()
    tunnel.wait_ready()
    for direction in ("out", "in"):
        client, server = Path(tunnel, direction, 4).pair()
        with client, server:
            transfer(client, server, 1 << 20)


def shake_hands(path, **fields):
    """Dials and says a good HELLO; the stream, behind the parent's CONFIG."""
    stream = dial(path)
    stream.sendall(hello(**fields))
    while True:
        kind, payload = hostile.read_frame(stream)
        assert kind != REJECT, f"rejected: {payload[0]}"
        if kind == CONFIG:
            return stream


@pytest.mark.parametrize("name,data", list(hostile.broken_openings()),
                         ids=[name.replace(" ", "-") for name, _ in hostile.broken_openings()])
def test_broken_opening(lone_parent, name, data):
    """The parent closes the stream, naming the peer; its slot is free for an honest one."""
    tunnel, path = lone_parent
    logged = len(tunnel.parent.log())
    with dial(path, patience=30) as stream:
        try:
            stream.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # closed before all of it was read
        answers = hostile.read_until_closed(stream)
    assert CONFIG not in [kind for kind, _ in answers]
    wait_for(lambda: path in tunnel.parent.log()[logged:], f"a word about {name}")
    honest_enclave_works(tunnel)


@pytest.mark.parametrize("name,data", list(hostile.broken_continuations()),
                         ids=[name.replace(" ", "-") for name, _ in hostile.broken_continuations()])
def test_lost_framing(lone_parent, name, data):
    """Behind a good HELLO: framing is lost, the lane is closed, nothing else happens."""
    tunnel, path = lone_parent
    with shake_hands(path) as stream:
        logged = len(tunnel.parent.log())
        try:
            stream.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass
        hostile.read_until_closed(stream)
    wait_for(lambda: path in tunnel.parent.log()[logged:], f"a word about {name}")
    honest_enclave_works(tunnel)


@pytest.mark.parametrize("where", ["header", "payload", "handshake"])
def test_stall_in_midframe(lone_parent, where):
    """Half a frame and silence: the dead-peer limit closes the lane."""
    tunnel, path = lone_parent
    if where == "handshake":
        stream = dial(path)
        stream.sendall(hello()[:30])
    else:
        stream = shake_hands(path)
        whole = frame(PACKET, b"x" * 1000)
        stream.sendall(whole[:10 if where == "header" else 500])
    with stream:
        stream.settimeout(60)
        hostile.read_until_closed(stream)
    honest_enclave_works(tunnel)


def test_malformed_packets(lone_parent):
    """Every kind of broken packet inside a frame that is in order: a drop with a reason each, and
    the lane stays open. Nothing of it reaches the wire."""
    tunnel, path = lone_parent
    parent = tunnel.topology.parent
    with shake_hands(path) as stream, parent.sniffer("eth0") as sniffer:
        packets = list(hostile.malformed_packets("100.127.0.2", INTERNET[4],
                                                 "fdc5:7e1a:9b40::2", INTERNET[6]))
        for _, packet, flags, gso_size in packets:
            stream.sendall(frame(PACKET, packet, flags, gso_size))
        stream.sendall(frame(PING, b"reached!"))
        while True:  # the lane lives: an echo comes back behind all of it
            kind, payload = hostile.read_frame(stream)
            if kind == PING:
                stream.sendall(frame(PONG, payload))
            if (kind, payload) == (PONG, b"reached!"):
                break
        counted = tunnel.parent.stats()
        dropped = {key: value for lane in counted for key, value in lane.items()
                   if key.startswith("drop_") and value}
        assert sum(dropped.values()) > len(packets) / 2, dropped
        for reason in ("version", "length", "transport", "source", "destination", "offload"):
            assert any(reason in key for key in dropped), f"no drop for {reason}: {dropped}"
        sniffer.setblocking(False)
        sources = set()
        try:
            while True:
                data = sniffer.recv(65535)
                if data[12:14] == b"\x08\0":
                    sources.add(socket.inet_ntoa(data[26:30]))
        except BlockingIOError:
            pass
        assert sources <= {"198.51.100.2", "198.51.100.1", INTERNET[4]}, \
            "only the parent's own address leaves"
    honest_enclave_works(tunnel)


def test_duplicate_lane(lone_parent):
    """A second stream for a lane of the same session and attempt is refused; the first lives."""
    tunnel, path = lone_parent
    with shake_hands(path, session=99, attempt=5) as first:
        with dial(path) as second:
            second.sendall(hello(session=99, attempt=5))
            kinds = [kind for kind, _ in hostile.read_until_closed(second)]
            assert kinds == [REJECT]
        first.sendall(frame(PING, b"still me"))
        while hostile.read_frame(first) != (PONG, b"still me"):
            pass
    honest_enclave_works(tunnel)


def test_flood_of_streams(lone_parent):
    """Hundreds of streams that say nothing do not keep an honest enclave out for long."""
    tunnel, path = lone_parent
    silent = []
    try:
        for _ in range(300):
            try:
                silent.append(dial(path, patience=1))
            except (BlockingIOError, TimeoutError, ConnectionRefusedError):
                break
        honest_enclave_works(tunnel)
    finally:
        for stream in silent:
            stream.close()


def test_nothing_leaks(lone_parent):
    """Descriptors, threads and devices after fifty bad sessions are those from before."""
    tunnel, path = lone_parent
    daemon = tunnel.parent

    def bad_session(number):
        openings = [data for _, data in hostile.broken_openings() if data]
        continuations = [data for _, data in hostile.broken_continuations()]
        if number % 2:
            stream = dial(path)
            data = openings[number % len(openings)]
        else:
            stream = shake_hands(path)
            data = continuations[number % len(continuations)]
        with stream:
            try:
                stream.sendall(data)
            except (BrokenPipeError, ConnectionResetError):
                pass
            hostile.read_until_closed(stream)

    for number in range(4):
        bad_session(number)
    def quiet():
        """What the daemon holds between two sessions: its lanes' threads have ended."""
        return daemon.threads() == 1 and len(daemon.descriptors())

    held = wait_for(quiet, "the first sessions to end")
    links = sorted(tunnel.topology.parent.links())
    for number in range(50):
        bad_session(number)
    # The first count may have caught a stream that was about to be closed: fewer is no leak.
    wait_for(lambda: 0 < quiet() <= held, f"no more than {held} descriptors and one thread")
    assert sorted(tunnel.topology.parent.links()) == links
    assert daemon.resident_kib() < 64 << 10
    honest_enclave_works(tunnel)


def test_second_enclave_is_not_disturbed(workshop):
    """While one enclave sends garbage, the other's connection goes on."""
    tunnel = workshop.tunnel(start=False, enclaves=2, publish=(), parent_arguments=DEAD_AFTER)
    tunnel.parent.start()
    honest = tunnel.enclaves[0]
    honest.daemon.start()
    other = tunnel.enclaves[1].link.removeprefix("unix:")
    wait_for(lambda: os.path.exists(other), "the parent's socket")
    tunnel.enclaves.pop()  # it never runs
    tunnel.wait_ready()
    client, server = Path(tunnel, "out", 4).pair()
    with client, server:
        for _, data in list(hostile.broken_openings())[1:]:
            with dial(other, patience=30) as stream:
                try:
                    stream.sendall(data)
                except (BrokenPipeError, ConnectionResetError):
                    pass
                hostile.read_until_closed(stream)
            transfer_some(client, server)


def transfer_some(client, server):
    data = os.urandom(100000)
    client.sendall(data)
    got = b""
    while len(got) < len(data):
        got += server.recv(len(data) - len(got))
    assert got == data


# ---- a hostile parent


class HostileParent:
    """Listens where the enclave dials, and answers every stream with what a test gives it."""

    def __init__(self, path, answer):
        self.path, self.answer, self.served = path, answer, 0
        self.problems = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(path)
        os.chmod(path, 0o777)
        self._listener.listen(16)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        while True:
            try:
                stream, _ = self._listener.accept()
            except OSError:
                return
            with stream:
                stream.settimeout(30)
                try:
                    kind, _ = hostile.read_frame(stream)
                    assert kind == hostile.HELLO
                    self.answer(stream)
                    hostile.read_until_closed(stream)
                except (OSError, AssertionError) as problem:
                    self.problems.append(problem)
                self.served += 1

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(30)
        os.unlink(self.path)


@pytest.fixture
def lone_enclave(workshop):
    tunnel = workshop.tunnel(start=False, enclave_arguments=DEAD_AFTER)
    yield tunnel, tunnel.enclave.link.removeprefix("unix:")


def with_config(data, **fields):
    def answer(stream):
        stream.sendall(hostile.config(**fields))
        stream.sendall(data)
    return answer


def only(data):
    return lambda stream: stream.sendall(data)


BAD_ANSWERS = {
    "garbage": only(b"\x5a" * 4096),
    "a HELLO": only(hello()),
    "a packet before CONFIG": only(frame(PACKET, hostile.ipv4("203.0.113.10", "100.127.0.2",
                                                               hostile.udp()))),
    "an oversize frame": only(frame(PACKET, b"", length=1 << 30)),
    "REJECT": only(frame(REJECT, b"\1" + b"\0" * 7)),
    "REJECT for no known reason": only(frame(REJECT, b"\xee" + b"\0" * 7)),
    "CONFIG of no lanes": only(hostile.config(lanes=0)),
    "CONFIG of 200 lanes": only(hostile.config(lanes=200)),
    "CONFIG of MTU 0": only(hostile.config(mtu=0)),
    "CONFIG without families": only(hostile.config(families=0)),
    "CONFIG with a short tail": only(hostile.config(tail=b"")),
    "CONFIG of 9 resolvers": only(hostile.config(dns_count=9)),
    "loopback as the address": only(hostile.config(address4="127.0.0.1")),
    "multicast as the address": only(hostile.config(address4="224.0.0.1")),
    "broadcast as the address": only(hostile.config(address4="255.255.255.255")),
    "loopback as the gateway": only(hostile.config(gateway4="127.0.0.1")),
    "garbage behind CONFIG": with_config(b"\x99" * 4096),
    "a second HELLO behind CONFIG": with_config(hello()),
    "an unknown type behind CONFIG": with_config(frame(42, b"x")),
}


@pytest.mark.parametrize("name", BAD_ANSWERS)
def test_hostile_parent(lone_enclave, name):
    """The enclave closes the stream, tries again, and is well once an honest parent is there."""
    tunnel, path = lone_enclave
    bad = HostileParent(path, BAD_ANSWERS[name])
    try:
        tunnel.enclave.daemon.start()
        wait_for(lambda: bad.served >= 2, "a second try")
        assert tunnel.enclave.daemon.alive(), tunnel.enclave.daemon.log()
        log = tunnel.enclave.daemon.log()
        assert "warning" in log or "error" in log, "somebody is told"
        assert path in log, "and by name"
    finally:
        bad.close()
    tunnel.parent.start()
    honest_enclave_works(tunnel)


def test_malformed_packets_to_the_enclave(lone_enclave):
    """Nothing but packets for its own address gets into the enclave; the lane stays open."""
    tunnel, path = lone_enclave
    done = threading.Event()
    answered = []

    def answer(stream):
        stream.sendall(hostile.config())
        for _, packet, flags, gso_size in hostile.malformed_packets(
                INTERNET[4], "100.127.0.2", INTERNET[6], "fdc5:7e1a:9b40::2"):
            stream.sendall(frame(PACKET, packet, flags, gso_size))
        stream.sendall(frame(PING, b"reached!"))
        while True:
            kind, payload = hostile.read_frame(stream)
            if kind == PING:
                stream.sendall(frame(PONG, payload))
            if (kind, payload) == (PONG, b"reached!"):
                answered.append(True)
                break
        done.wait(60)

    bad = HostileParent(path, answer)
    try:
        tunnel.enclave.daemon.start()
        wait_for(lambda: answered or bad.problems, "the lane's echo")
        assert answered, bad.problems
        dropped = tunnel.enclave.daemon.total("^drop_")
        assert dropped > 20, "broken packets are counted"
        assert tunnel.enclave.daemon.alive()
    finally:
        done.set()
        bad.close()
    tunnel.parent.start()
    honest_enclave_works(tunnel)


def test_enclave_leaks_nothing(lone_enclave):
    tunnel, path = lone_enclave
    answers = list(BAD_ANSWERS.values())
    bad = HostileParent(path, lambda stream: answers[bad.served % len(answers)](stream))
    daemon = tunnel.enclave.daemon
    try:
        daemon.start()
        wait_for(lambda: bad.served >= 5, "five tries", patience=120)
        before = len(daemon.descriptors()), daemon.threads()
        wait_for(lambda: bad.served >= 30, "thirty tries", patience=120)
        wait_for(lambda: len(daemon.descriptors()) <= before[0] + 1, "descriptors as before")
        assert daemon.threads() <= before[1] + 1
    finally:
        bad.close()
    tunnel.parent.start()
    honest_enclave_works(tunnel)
