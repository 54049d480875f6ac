# SPDX-License-Identifier: Apache-2.0
"""Address translation on a host with traffic of its own: segments that conntrack calls invalid, entries
that are older than a publication, an uplink with the largest MTU."""
import contextlib
import socket
import threading

import pytest
from control import ctl
from host_world import FIREWALLS, Host, Talk
from netns import wait_for
from topology import PARENT
from traffic import Background

pytestmark = pytest.mark.daemons


# ---- out of the window

def checksum(data):
    total = sum(int.from_bytes(data[i:i + 2].ljust(2, b"\0"), "big") for i in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def segment_of(frame, version):
    """(start of the IP packet, of the TCP header), or None."""
    if version == 4 and frame[12:14] == b"\x08\x00" and frame[23] == 6:
        return 14, 14 + (frame[14] & 15) * 4
    if version == 6 and frame[12:14] == b"\x86\xdd" and frame[20] == 6:
        return 14, 54
    return None


def out_of_window(frame, version, distance):
    """The same segment with another sequence number, and one byte that nobody asked for."""
    ip, tcp = segment_of(frame, version)
    header = bytearray(frame[tcp:tcp + 20])
    sequence = (int.from_bytes(header[4:8], "big") + distance) & 0xffffffff
    header[4:8] = sequence.to_bytes(4, "big")
    header[12] = 5 << 4
    header[13] = 0x18
    header[16:18] = b"\0\0"
    segment = bytes(header) + b"!"
    if version == 4:
        packet = bytearray(frame[ip:ip + 20])
        packet[0] = 0x45
        packet[2:4] = (20 + len(segment)).to_bytes(2, "big")
        packet[10:12] = b"\0\0"
        packet[10:12] = checksum(packet).to_bytes(2, "big")
        pseudo = bytes(packet[12:20]) + b"\0\x06" + len(segment).to_bytes(2, "big")
    else:
        packet = bytearray(frame[ip:ip + 40])
        packet[4:6] = len(segment).to_bytes(2, "big")
        pseudo = bytes(packet[8:40]) + len(segment).to_bytes(4, "big") + b"\0\0\0\x06"
    segment = bytearray(segment)
    segment[16:18] = checksum(pseudo + segment).to_bytes(2, "big")
    return bytes(frame[:14]) + bytes(packet) + bytes(segment)


@pytest.mark.parametrize("firewall", FIREWALLS)
@pytest.mark.parametrize("direction", ["out", "in"])
def test_a_segment_out_of_the_window_ends_no_connection(host: Host, version, direction, firewall):
    """conntrack does not translate what it calls invalid, so it is the parent's own TCP that would
    answer the far end: with a reset."""
    tunnel = host.tunnel(parent_arguments=["--firewall", firewall])
    talk = Talk(tunnel, direction, version)
    far = talk.server if direction == "out" else talk.client
    port = far.getsockname()[1]
    with host.internet.sniffer("eth0") as wire:
        talk.goes_on()
        while True:
            frame, (*_, kind, _, _) = wire.recvfrom(65535)
            found = segment_of(frame, version)
            if kind == socket.PACKET_OUTGOING and found and \
                    int.from_bytes(frame[found[1]:found[1] + 2], "big") == port:
                break
        for distance in (1 << 30, -(1 << 30), 1 << 29):
            wire.send(out_of_window(frame, version, distance))
        # Behind them on the same wire, and answered: whatever they did is done.
        assert talk.goes_on()
    assert talk.goes_on()
    talk.close()


@pytest.mark.parametrize("firewall", FIREWALLS)
def test_the_host_still_refuses(host: Host, version, firewall):
    """A closed port of the parent's own is refused at once, as ever."""
    host.tunnel(parent_arguments=["--firewall", firewall])
    with pytest.raises(ConnectionRefusedError):
        host.internet.connect(version, PARENT[version], 9)


# ---- older than the publication

class Caller:
    """A UDP client that sends again and again from one port."""

    def __init__(self, host, version, port):
        self.socket = host.internet.datagram(version)
        self.socket.connect((PARENT[version], port))
        self.heard = 0
        self._stop = threading.Event()
        self._worker = Background(self._run)

    def _run(self):
        self.socket.settimeout(0.05)
        while not self._stop.is_set():
            with contextlib.suppress(OSError):
                self.socket.send(b"hello")
                self.socket.recv(100)
                self.heard += 1
                self._stop.wait(0.02)

    def is_answered(self):
        before = self.heard
        wait_for(lambda: self.heard > before + 2, "answers to a client that was there before")

    def is_not_answered(self):
        before = self.heard
        wait_for(lambda: self._silent(before), "the end of the answers")

    def _silent(self, _):
        before = self.heard
        self._stop.wait(0.5)
        return self.heard == before

    def close(self):
        self._stop.set()
        self._worker.result()
        self.socket.close()


@pytest.mark.parametrize("firewall", FIREWALLS)
def test_a_client_that_was_there_before_the_publication(host: Host, version, firewall):
    """Its conntrack entry says "not translated", and it keeps the entry alive itself."""
    tunnel = host.tunnel(parent_arguments=["--firewall", firewall])
    every_address = {4: "0.0.0.0", 6: "[::]"}[version]
    with host.enclave.datagram(version, None, 6500) as server:
        server.settimeout(None)
        echo = threading.Thread(target=echo_until_closed, args=(server,), daemon=True)
        echo.start()
        caller = Caller(host, version, 6400)
        other = Caller(host, version, 6401)
        wait_for(lambda: caller.socket and entries(host, 6400), "the old entry")
        ctl(tunnel, "parent", "publish", "6400:6500/udp")
        caller.is_answered()
        ctl(tunnel, "parent", "publish", f"{every_address}:6401:6500/udp")
        other.is_answered()
        ctl(tunnel, "parent", "unpublish", "6400:6500/udp")
        caller.is_not_answered()
        other.is_answered()
        ctl(tunnel, "parent", "unpublish", f"{every_address}:6401:6500/udp")
        other.is_not_answered()
        caller.close()
        other.close()
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
    echo.join()


def entries(host, port):
    return f"dport={port}" in host.parent.run(["conntrack", "-L", "-p", "udp"], check=False).stdout \
        or f"dport={port}" in host.parent.run(["conntrack", "-f", "ipv6", "-L", "-p", "udp"],
                                               check=False).stdout


def echo_until_closed(server):
    with contextlib.suppress(OSError):
        while True:
            data, sender = server.recvfrom(100)
            if sender is None:
                return
            server.sendto(data, sender)


@pytest.mark.parametrize("firewall", FIREWALLS)
def test_a_client_that_was_there_before_the_start(host: Host, version, firewall):
    """The daemon is started with the publication while the client is sending."""
    caller = Caller(host, version, 7055)
    host.parent.nft("table inet watch {\nchain p {\ntype filter hook prerouting priority 0\n"
                    "ct state new counter\n}\n}\n")
    wait_for(lambda: entries(host, 7055), "the old entry")
    tunnel = host.tunnel(parent_arguments=["--firewall", firewall])
    with host.enclave.datagram(version, None, 7055) as server:
        server.settimeout(None)
        echo = threading.Thread(target=echo_until_closed, args=(server,), daemon=True)
        echo.start()
        caller.is_answered()
        caller.close()
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
    echo.join()
    host.parent.run("nft delete table inet watch")
    tunnel.stop()


def test_connections_of_others_stay(host: Host, version):
    """Publishing touches the entries of that port alone."""
    tunnel = host.tunnel()
    talks = [Talk(tunnel, direction, version) for direction in ("out", "in")]
    ctl(tunnel, "parent", "publish", "6400:6500/udp")
    ctl(tunnel, "parent", "publish", "6400:6500/tcp")
    ctl(tunnel, "parent", "unpublish", "6400:6500/udp")
    listing = host.parent.run(["conntrack", "-f", f"ipv{version}", "-L", "-p", "tcp"])
    assert listing.count("ESTABLISHED") >= 2
    for talk in talks:
        assert talk.goes_on()
        talk.close()
