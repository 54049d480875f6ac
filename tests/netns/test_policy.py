# SPDX-License-Identifier: Apache-2.0
"""Where an enclave may go, and as whom: the policy of the parent, with real packets."""
import socket
import struct

import pytest
from system import Tunnel
from topology import INTERNET, METADATA, PARENT, PARENT_SECOND, PRIVATE
from traffic import closed_to, reaches


@pytest.fixture(scope="module")
def closed(topology):
    """One tunnel for the tests that only look."""
    made = Tunnel(topology, lanes=2)
    yield made
    made.discard()


@pytest.mark.parametrize("kind", ["tcp", "udp"])
@pytest.mark.parametrize("target", [METADATA, PRIVATE], ids=["metadata", "private"])
def test_closed_destination(closed, version, target, kind):
    """The parent itself gets there; the enclave does not."""
    internet = closed.topology.internet
    assert reaches(closed.topology.parent, internet, version, target[version], kind)
    assert closed_to(closed.enclave.namespace, internet, version, target[version], kind)


@pytest.mark.parametrize("kind", ["tcp", "udp"])
@pytest.mark.parametrize("target", [PARENT, PARENT_SECOND], ids=["first", "second"])
def test_parents_own_addresses(closed, version, target, kind):
    parent = closed.topology.parent
    address = target[version]
    assert reaches(closed.topology.router, parent, version, address, kind)
    assert closed_to(closed.enclave.namespace, parent, version, address, kind)


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_gateway_is_no_server(closed, version, kind):
    gateway = closed.enclave.namespace.ip_json(f"-{version} route show default")[0]["gateway"]
    assert closed_to(closed.enclave.namespace, closed.topology.parent, version, gateway, kind)


@pytest.mark.parametrize("address", ["127.0.0.1", "224.0.0.1", "255.255.255.255", "0.0.0.1",
                                     "169.254.1.1"])
def test_never_destination(closed, address):
    """A raw packet to an address that no policy opens ends at the parent."""
    inside = closed.enclave.namespace
    with closed.topology.parent.sniffer("eth0") as sniffer:
        send_raw(inside, closed.enclave.address(4), address, b"to-never")
        send_raw(inside, closed.enclave.address(4), INTERNET[4], b"to-internet")
        assert not seen_before(sniffer, b"to-never", b"to-internet")


def send_raw(namespace, source, destination, payload):
    """One IPv4 UDP datagram straight out of cw0, with whatever addresses."""
    udp = struct.pack("!HHHH", 40000, 40001, 8 + len(payload), 0) + payload
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, socket.IPPROTO_UDP, 0,
                         socket.inet_aton(source), socket.inet_aton(destination))
    total = sum(struct.unpack("!10H", header))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    header = header[:10] + struct.pack("!H", total ^ 0xffff) + header[12:]
    send_frame(namespace, 0x0800, header + udp)


def send_raw6(namespace, source, destination, payload):
    udp = struct.pack("!HHHH", 40000, 40001, 8 + len(payload), 0) + payload
    header = struct.pack("!IHBB16s16s", 0x60000000, len(udp), socket.IPPROTO_UDP, 64,
                         socket.inet_pton(socket.AF_INET6, source),
                         socket.inet_pton(socket.AF_INET6, destination))
    # RFC 8200 8.1: the checksum is not optional over IPv6.
    pseudo = header[8:] + struct.pack("!II", len(udp), socket.IPPROTO_UDP) + udp
    pseudo += b"\0" * (len(pseudo) % 2)
    total = sum(struct.unpack(f"!{len(pseudo) // 2}H", pseudo))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    udp = udp[:6] + struct.pack("!H", (total ^ 0xffff) or 0xffff) + udp[8:]
    send_frame(namespace, 0x86dd, header + udp)


def send_frame(namespace, ether_type, packet):
    links = namespace.links()["cw0"]
    own = bytes.fromhex(links["address"].replace(":", ""))
    gateway = namespace.ip_json("neigh show dev cw0")
    other = bytes.fromhex(gateway[0]["lladdr"].replace(":", ""))
    with namespace.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as raw:
        raw.bind(("cw0", 0))
        raw.send(other + own + struct.pack("!H", ether_type) + packet)


def seen_before(sniffer, wanted, last):
    """Whether a frame with `wanted` comes by before the one with `last`."""
    while True:
        frame = sniffer.recv(65535)
        if wanted in frame:
            return True
        if last in frame:
            return False


@pytest.mark.parametrize("source", ["198.51.100.2", "100.127.0.3", "203.0.113.10", "127.0.0.1",
                                    "0.0.0.0", "100.127.0.1"])
def test_spoofed_source(closed, source):
    """A packet in another's name does not leave the parent, and is counted."""
    inside = closed.enclave.namespace
    daemon = closed.parent
    before = daemon.total("drop_.*source") if daemon else 0
    with closed.topology.parent.sniffer("eth0") as sniffer:
        send_raw(inside, source, INTERNET[4], b"spoofed")
        send_raw(inside, closed.enclave.address(4), INTERNET[4], b"genuine")
        assert not seen_before(sniffer, b"spoofed", b"genuine")
    if daemon:
        assert daemon.total("drop_.*source") == before + 1


@pytest.mark.parametrize("source", [PARENT[6], "fd00:dead::1", "::1"])
def test_spoofed_source6(closed, source):
    inside = closed.enclave.namespace
    daemon = closed.parent
    before = daemon.total("drop_.*source") if daemon else 0
    with closed.topology.parent.sniffer("eth0") as sniffer:
        send_raw6(inside, source, INTERNET[6], b"spoofed")
        send_raw6(inside, closed.enclave.address(6), INTERNET[6], b"genuine")
        assert not seen_before(sniffer, b"spoofed", b"genuine")
    if daemon and source != "::1":  # which the enclave's own kernel drops (RFC 4291 2.5.3)
        assert daemon.total("drop_.*source") == before + 1


def test_nothing_gets_in_unasked(closed, version):
    """A packet for the enclave's own address, from the parent's network, is not forwarded."""
    router = closed.topology.router
    address = closed.enclave.address(version)
    router.ip(f"-{version} route add {address} via {PARENT[version]}")
    try:
        assert closed_to(router, closed.enclave.namespace, version, address, "udp")
        assert closed_to(router, closed.enclave.namespace, version, address, "tcp")
    finally:
        router.ip(f"-{version} route del {address}")
