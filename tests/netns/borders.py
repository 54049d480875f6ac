# SPDX-License-Identifier: Apache-2.0
"""Peers that keep to the wire format and send any packet: what the tests of the borders share."""
import os
import socket
import struct
import threading
import time

import hostile
from hostile import CONFIG, PACKET, PING, PONG, checksum, dial, frame, hello
from netns import PATIENCE, wait_for
from topology import INTERNET

FIREWALLS = ("iptables", "iptables-legacy", "nft")
TCP, UDP, ICMP = 6, 17, {4: 1, 6: 58}
SYN, ACK, RST = 2, 0x10, 4
UNREACHABLE = {4: (3, 3), 6: (1, 4)}  # port unreachable: RFC 792, RFC 4443 3.1
TOO_BIG = {4: (3, 4), 6: (2, 0)}
ECHO, ECHO_REPLY = {4: 8, 6: 128}, {4: 0, 6: 129}


# ---- packets with all checksums in order

def version_of(address):
    return 6 if ":" in address else 4


def packed(address):
    family = socket.AF_INET6 if version_of(address) == 6 else socket.AF_INET
    return socket.inet_pton(family, address)


def with_checksum(source, destination, protocol, payload, at):
    """The payload with its checksum, which stands `at` bytes into it."""
    pseudo = packed(source) + packed(destination)
    if protocol == ICMP[4]:
        pseudo = b""
    elif len(pseudo) == 8:
        pseudo += struct.pack("!BBH", 0, protocol, len(payload))
    else:
        pseudo += struct.pack("!II", len(payload), protocol)
    total = checksum(pseudo + payload) or 0xffff
    return payload[:at] + struct.pack("!H", total) + payload[at + 2:]


def ip(source, destination, protocol, payload, ttl=64, identification=7, fragment=0, options=b""):
    """An IP packet around a payload; `fragment` is IPv4's field, IPv6 has fragment() for that."""
    if version_of(source) == 6:
        return struct.pack("!IHBB16s16s", 0x60000000, len(payload), protocol, ttl, packed(source),
                           packed(destination)) + payload
    header = struct.pack("!BBHHHBBH4s4s", 0x40 | 5 + len(options) // 4, 0,
                         20 + len(options) + len(payload), identification, fragment, ttl, protocol,
                         0, packed(source), packed(destination)) + options
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + payload


def udp(source, source_port, destination, port, data=b"knock", **fields):
    payload = struct.pack("!HHHH", source_port, port, 8 + len(data), 0) + data
    return ip(source, destination, UDP, with_checksum(source, destination, UDP, payload, 6),
              **fields)


def tcp(source, source_port, destination, port, flags=SYN, sequence=1, acknowledged=0, data=b""):
    payload = struct.pack("!HHIIBBHHH", source_port, port, sequence, acknowledged, 5 << 4, flags,
                          65535, 0, 0) + data
    return ip(source, destination, TCP, with_checksum(source, destination, TCP, payload, 16))


def icmp(source, destination, kind, code=0, rest=b"\0\0\0\0", data=b""):
    version = version_of(source)
    payload = struct.pack("!BBH", kind, code, 0) + rest + data
    return ip(source, destination, ICMP[version],
              with_checksum(source, destination, ICMP[version], payload, 2))


def echo(source, destination, identifier, sequence=1, data=b"ping"):
    return icmp(source, destination, ECHO[version_of(source)],
                rest=struct.pack("!HH", identifier, sequence), data=data)


def error(source, destination, quoted, kind=UNREACHABLE, mtu=0):
    """An ICMP error that quotes a packet."""
    version = version_of(source)
    number, code = kind[version]
    return icmp(source, destination, number, code, struct.pack("!I", mtu), quoted)


def fragments(packet, size, identification, only=None):
    """A packet in fragments of `size` bytes, a multiple of 8; `only`: so many of them."""
    version = packet[0] >> 4
    header, payload = packet[:20 if version == 4 else 40], packet[20 if version == 4 else 40:]
    made = []
    for offset in range(0, len(payload), size):
        part = payload[offset:offset + size]
        more = offset + size < len(payload)
        if version == 4:
            source, target = socket.inet_ntoa(header[12:16]), socket.inet_ntoa(header[16:20])
            made.append(ip(source, target, header[9], part, identification=identification & 0xffff,
                           fragment=offset // 8 | (0x2000 if more else 0)))
        else:
            extension = struct.pack("!BBHI", header[6], 0, offset | more, identification)
            made.append(struct.pack("!IHBB", 0x60000000, len(part) + 8, 44, 64) + header[8:] +
                        extension + part)
        if only is not None and len(made) == only:
            break
    return made


class Seen:
    """The parts of a received packet that tests ask for."""

    def __init__(self, packet):
        self.bytes = packet
        self.version = packet[0] >> 4
        if self.version == 4:
            header = (packet[0] & 15) * 4
            self.protocol = packet[9]
            addresses, family = (packet[12:16], packet[16:20]), socket.AF_INET
        else:
            header, self.protocol = 40, packet[6]
            addresses, family = (packet[8:24], packet[24:40]), socket.AF_INET6
        self.source, self.destination = (socket.inet_ntop(family, each) for each in addresses)
        self.payload = packet[header:]
        self.source_port = self.port = None
        if self.protocol in (TCP, UDP):
            self.source_port, self.port = struct.unpack_from("!HH", self.payload)

    @property
    def flags(self):
        return self.payload[13] if self.protocol == TCP else None

    @property
    def icmp_type(self):
        return self.payload[0] if self.protocol in ICMP.values() else None

    def is_error(self):
        if self.protocol == ICMP[6] and self.version == 6:
            return self.icmp_type < 128
        return self.version == 4 and self.icmp_type in (3, 4, 5, 11, 12)


# ---- a hostile enclave

class Peer:
    """An enclave behind a good HELLO that sends whatever a test gives it, and keeps what comes."""

    def __init__(self, path):
        self.packets = []
        self._lock = threading.Lock()
        self._pongs = 0
        self._echoes = 0
        self.stream = dial(path)
        self.stream.sendall(hello())
        while True:
            kind, payload = hostile.read_frame(self.stream)
            assert kind != hostile.REJECT, f"rejected: {payload[0]}"
            if kind == CONFIG:
                break
        self.address = {4: socket.inet_ntoa(payload[8:12]),
                        6: socket.inet_ntop(socket.AF_INET6, payload[16:32])}
        self.gateway = {4: socket.inet_ntoa(payload[12:16]),
                        6: socket.inet_ntop(socket.AF_INET6, payload[32:48])}
        self.stream.settimeout(None)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        try:
            while True:
                kind, payload = hostile.read_frame(self.stream)
                if kind == PACKET:
                    with self._lock:
                        self.packets.append(Seen(payload))
                elif kind == PING:
                    self._write(frame(PONG, payload))
                elif kind == PONG:
                    self._pongs += 1
        except OSError:
            pass

    def _write(self, data):
        self.stream.sendall(data)

    def send(self, *packets):
        for packet in packets:
            self._write(frame(PACKET, packet))

    def saw(self, wanted):
        """The packets that came and that `wanted` accepts."""
        with self._lock:
            return [packet for packet in self.packets if wanted(packet)]

    def settle(self, version, address=None):
        """Whatever was sent before has been through the parent's daemon and kernel: an echo that
        was sent behind it has come back. The echo is one that every policy lets through."""
        target, identifier, first = address or INTERNET[version], os.getpid() & 0xffff, \
            self._echoes + 1
        due = 0.0

        def answered():
            """Any of them serves; a network may lose one."""
            nonlocal due
            if time.monotonic() >= due:
                self._echoes += 1
                self.send(echo(self.address[version], target, identifier, self._echoes))
                due = time.monotonic() + 1
            wanted = [struct.pack("!HH", identifier, number)
                      for number in range(first, self._echoes + 1)]
            return self.saw(lambda p: p.version == version and
                            p.icmp_type == ECHO_REPLY[version] and p.payload[4:8] in wanted)
        wait_for(answered, "the echo behind it")

    def close(self):
        try:
            self.stream.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.stream.close()
        self._reader.join(PATIENCE)


class Border:
    """A parent with two hostile enclaves: a is e2, b is e3."""

    def __init__(self, workshop, firewall, arguments=(), **options):
        options.setdefault("publish", ("e3=8080:80/tcp", "e3=5300:53/udp"))
        self.tunnel = workshop.tunnel(start=False, enclaves=2,
                                      parent_arguments=["--firewall", firewall, *arguments],
                                      **options)
        self.topology, self.parent = self.tunnel.topology, self.tunnel.parent
        self.paths = [enclave.link.removeprefix("unix:") for enclave in self.tunnel.enclaves]
        self.host = self.topology.parent
        self.peers = []
        self.parent.start()
        self.ready()

    def ready(self):
        wait_for(lambda: "ready" in self.parent.log() or not self.parent.alive(),
                 "the parent to be ready")
        assert self.parent.alive(), self.parent.log()

    def enter(self):
        """Both enclaves come; returns them."""
        self.peers = [Peer(path) for path in self.paths]
        for peer in self.peers:
            peer.settle(4)
            peer.settle(6)
        return self.peers

    def dropped(self, reason=""):
        return self.parent.total(f"^drop_.*{reason}")

    def close(self):
        for peer in self.peers:
            peer.close()
        self.peers = []


# ---- a hostile parent

def config(address4="100.127.0.2", gateway4="100.127.0.1", address6="fdc5:7e1a:9b40::2",
           gateway6="fdc5:7e1a:9b40::1", lanes=1, mtu=1500):
    """A CONFIG frame of both families, or of those that have an address."""
    def bits(address, size):
        return packed(address) if address else b"\0" * size
    families = (1 if address4 else 0) | (2 if address6 else 0)
    return frame(CONFIG, struct.pack("<BBHI", lanes, families, mtu, 0) + bits(address4, 4) +
                 bits(gateway4 if address4 else None, 4) + bits(address6, 16) +
                 bits(gateway6 if address6 else None, 16) + b"\0" * 88)


class HostileParent:
    """Listens where an enclave dials; says CONFIG and then whatever a test gives it."""

    def __init__(self, path, answer=None):
        self.path, self.answer = path, answer or config()
        self.dials = 0
        self.packets = []
        self._pongs = []
        self._stream = None
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
            try:
                hostile.read_frame(stream)
                stream.sendall(self.answer)
                self._stream = stream
                self.dials += 1
                while True:
                    kind, payload = hostile.read_frame(stream)
                    if kind == PING:
                        stream.sendall(frame(PONG, payload))
                    elif kind == PONG:
                        self._pongs.append(payload)
                    elif kind == PACKET:
                        self.packets.append(Seen(payload))
            except OSError:
                stream.close()

    def send(self, *packets):
        for packet in packets:
            self._stream.sendall(frame(PACKET, packet))

    def settle(self, source, address):
        """What was sent before has been through the enclave's daemon and kernel: it answered an
        echo that was sent behind it."""
        count = len(self.packets)
        wanted = struct.pack("!HH", os.getpid() & 0xffff, count & 0xffff)
        due = 0.0

        def answered():
            nonlocal due
            if time.monotonic() >= due:
                self.send(echo(source, address, os.getpid() & 0xffff, count & 0xffff))
                due = time.monotonic() + 1
            return any(packet.icmp_type == ECHO_REPLY[packet.version] and
                       packet.payload[4:8] == wanted for packet in self.packets[count:])
        wait_for(answered, "the echo behind it")

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        if self._stream is not None:
            try:
                self._stream.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self._thread.join(PATIENCE)
        os.unlink(self.path)


def frames_of(sniffer):
    """The IP packets that a sniffer has caught so far."""
    sniffer.setblocking(False)
    caught = []
    try:
        while True:
            data = sniffer.recv(65535)
            if data[12:14] in (b"\x08\0", b"\x86\xdd"):
                caught.append(Seen(data[14:]))
    except BlockingIOError:
        return caught


def holds_for(condition, seconds=1.0):
    """For what must not happen: is the condition true at every look for a while?"""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not condition():
            return False
        time.sleep(0.02)
    return True
