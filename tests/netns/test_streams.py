# SPDX-License-Identifier: Apache-2.0
"""TCP where iperf does not look: segment sizes, path MTU, half-close, RST, ECN, order."""
import errno
import select
import socket
import struct
import threading

import pytest
from netns import PATIENCE
from topology import INTERNET, NARROW_MTU, PARENT, ROUTER_IN, ROUTER_OUT
from traffic import (Background, Path, next_port, receive_exactly, tcp_info, tcp_send_mss,
                     transfer)

MEGABYTE = 1 << 20
TCP_MAXSEG = (socket.IPPROTO_TCP, socket.TCP_MAXSEG)
TCPI_OPT_ECN, TCPI_OPT_ECN_SEEN = 8, 16
LINGER_RESET = (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize("end", ["client sends", "server sends", "both send"])
def test_bulk(tunnel, direction, version, end):
    client, server = Path(tunnel, direction, version).pair()
    with client, server:
        if end == "both send":
            other = Background(transfer, server, client, 20 * MEGABYTE)
            transfer(client, server, 20 * MEGABYTE)
            other.result()
        elif end == "client sends":
            transfer(client, server, 20 * MEGABYTE)
        else:
            transfer(server, client, 20 * MEGABYTE)


class SegmentSizes(threading.Thread):
    """The largest TCP payload per segment that a device carries for one port, super-packets
    by the gso_size that the kernel keeps with them."""

    def __init__(self, namespace, device, port):
        super().__init__(daemon=True)
        self.port = port
        self.largest = 0
        self.bytes = 0
        self._stop_read, self._stop_write = socket.socketpair()
        self._socket = namespace.sniffer(device, vnet_header=True)
        self._socket.setblocking(False)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._stop_write.close()
        self.join(PATIENCE)
        self._socket.close()
        self._stop_read.close()

    def run(self):
        while True:
            ready, _, _ = select.select([self._socket, self._stop_read], [], [])
            if self._socket in ready:
                self._count(self._socket.recv(1 << 17))
            elif ready:
                return

    def _count(self, data):
        gso_type, _, gso_size = struct.unpack_from("=xBHH", data)
        ether_type = struct.unpack_from("!H", data, 22)[0]
        if ether_type == 0x0800:
            transport = 24 + (data[24] & 15) * 4
            end = 24 + struct.unpack_from("!H", data, 26)[0]
            protocol = data[33]
        elif ether_type == 0x86dd:
            transport, protocol = 64, data[30]
            end = transport + struct.unpack_from("!H", data, 28)[0]
        else:
            return
        if protocol != socket.IPPROTO_TCP:
            return
        if self.port not in struct.unpack_from("!HH", data, transport):
            return
        payload = end - transport - (data[transport + 12] >> 4) * 4
        self.bytes += max(payload, 0)
        self.largest = max(self.largest, gso_size if gso_type else payload)


@pytest.mark.parametrize("sender", ["client", "server"])
def test_smaller_mss(tunnel, direction, version, sender):
    """A peer that asked for small segments gets none that is larger, super-packets or not."""
    path = Path(tunnel, direction, version)
    mss = 700
    small = ((*TCP_MAXSEG, mss),)
    options = {"client": {"server_options": small}, "server": {"options": small}}[sender]
    with SegmentSizes(tunnel.topology.router, "out0", path.port) as seen:
        client, server = path.pair(**options)
        with client, server:
            source, sink = (client, server) if sender == "client" else (server, client)
            assert tcp_send_mss(source) <= mss
            transfer(source, sink, 5 * MEGABYTE)
    assert seen.bytes >= 5 * MEGABYTE, "the sniffer saw the transfer"
    assert 0 < seen.largest <= mss


def test_mss_by_route(tunnel, version):
    """The same with the limit set by the peer's route (advmss)."""
    internet = tunnel.topology.internet
    route = f"-{version} route replace {PARENT[version]} via {ROUTER_OUT[version]}"
    internet.ip(f"{route} advmss 900")
    try:
        path = Path(tunnel, "out", version)
        with SegmentSizes(tunnel.topology.router, "out0", path.port) as seen:
            client, server = path.pair()
            with client, server:
                transfer(client, server, 5 * MEGABYTE)
    finally:
        internet.ip(route.replace("replace", "del"))
    assert seen.bytes >= 5 * MEGABYTE
    assert 0 < seen.largest <= 900


@pytest.mark.parametrize("sender", ["client", "server"])
def test_path_mtu(tunnel, narrow_path, direction, version, sender):
    """Behind a narrower path the sender learns its MTU from ICMP and the transfer goes on."""
    path = Path(tunnel, direction, version)
    with SegmentSizes(tunnel.topology.router, "out0", path.port) as seen:
        client, server = path.pair()
        with client, server:
            source, sink = (client, server) if sender == "client" else (server, client)
            transfer(source, sink, 10 * MEGABYTE)
            headers = 40 if version == 4 else 60
            assert tcp_send_mss(source) <= NARROW_MTU - headers, "learned by ICMP"
            if source.getsockname()[0] == tunnel.enclave.address(version):
                assert 0 < seen.largest <= NARROW_MTU - headers, "nothing larger passed"


def test_half_close(tunnel, direction, version):
    """One direction ends; a large reply still comes through the other."""
    client, server = Path(tunnel, direction, version).pair()
    with client, server:
        client.sendall(b"request")
        client.shutdown(socket.SHUT_WR)
        assert receive_exactly(server, 7) == b"request"
        assert server.recv(1) == b"", "the end of the request is seen"
        transfer(server, client, 20 * MEGABYTE)


def test_closed_port(tunnel, direction, version):
    path = Path(tunnel, direction, version)
    with pytest.raises(ConnectionRefusedError):
        path.connect()


@pytest.mark.parametrize("breaker", ["client", "server"])
def test_reset_in_midstream(tunnel, direction, version, breaker):
    client, server = Path(tunnel, direction, version).pair()
    with client, server:
        client.sendall(b"x" * 100000)
        receive_exactly(server, 50000)
        one, other = (client, server) if breaker == "client" else (server, client)
        one.setsockopt(*LINGER_RESET)
        one.close()
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            while True:
                other.sendall(b"y" * 1000)
                if not other.recv(100000):
                    break


def set_ecn(tunnel, value):
    before = []
    for namespace in (tunnel.enclave.namespace, tunnel.topology.internet):
        before.append(namespace.sysctl("net.ipv4.tcp_ecn"))
        namespace.sysctl("net.ipv4.tcp_ecn", value)
    return before


@pytest.fixture
def ecn(tunnel):
    before = set_ecn(tunnel, 1)
    yield
    for namespace, value in zip((tunnel.enclave.namespace, tunnel.topology.internet), before):
        namespace.sysctl("net.ipv4.tcp_ecn", value)


def mark_congestion(router, flag):
    if flag:
        # Every twentieth packet; CE set by hand as a congested router would.
        router.nft("""
table inet congestion {
chain forward {
type filter hook forward priority mangle; policy accept;
numgen inc mod 20 == 0 ip ecn ect0 ip ecn set ce
numgen inc mod 20 == 0 ip6 ecn ect0 ip6 ecn set ce
}
}""")
    else:
        router.run("nft delete table inet congestion")


@pytest.mark.parametrize("sender", ["client", "server"])
def test_tcp_ecn(tunnel, ecn, direction, version, sender):
    """ECN is negotiated, a router's congestion marks reach the receiver, and its echo the sender."""
    router = tunnel.topology.router
    client, server = Path(tunnel, direction, version).pair()
    mark_congestion(router, True)
    try:
        with client, server:
            source, sink = (client, server) if sender == "client" else (server, client)
            transfer(source, sink, 10 * MEGABYTE)
            for stream in (client, server):
                assert tcp_info(stream)[5] & TCPI_OPT_ECN, "negotiated"
            assert tcp_info(sink)[5] & TCPI_OPT_ECN_SEEN, "marked packets came"
            # tcpi_delivered_ce: what the receiver's ECE told the sender
            assert struct.unpack_from("=I", tcp_info(source), 184 + 8)[0] > 0
    finally:
        mark_congestion(router, False)


def test_timeout_of_a_silent_host(tunnel, version):
    """A connection to nobody ends in EHOSTUNREACH from the last router, not in silence."""
    nobody = {4: "203.0.113.99", 6: "2001:db8:113::99"}[version]
    with pytest.raises(OSError) as caught:
        tunnel.enclave.namespace.connect(version, nobody, next_port())
    assert caught.value.errno == errno.EHOSTUNREACH


def test_no_route_behind_the_router(tunnel, version):
    """Network unreachable, said by the router."""
    nowhere = {4: "192.0.2.1", 6: "2001:db8:dead::1"}[version]
    with pytest.raises(OSError) as caught:
        tunnel.enclave.namespace.connect(version, nowhere, next_port())
    assert caught.value.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH)


def test_router_is_reached(tunnel, version):
    """The tunnel's own check of life uses the router: it refuses, which is an answer."""
    with pytest.raises(ConnectionRefusedError):
        tunnel.enclave.namespace.connect(version, ROUTER_OUT[version], next_port())


def test_urgent_data(tunnel, version):
    client, server = Path(tunnel, "out", version).pair()
    with client, server:
        client.send(b"abc")
        client.send(b"!", socket.MSG_OOB)
        client.send(b"def")
        client.shutdown(socket.SHUT_WR)
        assert receive_exactly(server, 3) == b"abc"
        assert server.recv(1, socket.MSG_OOB) == b"!"


def test_many_in_sequence(tunnel, direction, version):
    """Connection after connection, each with a little data."""
    path = Path(tunnel, direction, version)
    with path.listen() as listener:
        for number in range(200):
            with path.connect() as client, listener.accept()[0] as server:
                message = b"%d" % number
                client.sendall(message)
                assert receive_exactly(server, len(message)) == message


def test_source_is_the_parents(tunnel, version):
    client, server = Path(tunnel, "out", version).pair()
    with client, server:
        assert server.getpeername()[0] == PARENT[version]


def test_client_address_is_kept(tunnel, version):
    client, server = Path(tunnel, "in", version).pair()
    with client, server:
        assert server.getpeername()[0] == INTERNET[version]
        assert server.getsockname()[0] == tunnel.enclave.address(version)
