# SPDX-License-Identifier: Apache-2.0
"""UDP and ICMP where iperf does not look: borders, fragments, DF, TTL, ECN, checksums, order."""
import contextlib
import errno
import os
import signal
import socket
import struct

import pytest
from netns import wait_for
from topology import INTERNET, NARROW_MTU, PARENT, ROUTER_IN
from traffic import Background, Path, datagram_echo, next_port

SOL_UDP, UDP_SEGMENT = 17, 103
SO_NO_CHECK = 11
SO_RCVBUFFORCE = 33
IP_RECVTOS, IP_MTU_DISCOVER, IP_RECVERR, IP_MTU = 13, 10, 11, 14
IPV6_MTU_DISCOVER, IPV6_MTU, IPV6_RECVERR = 23, 24, 25
PMTUDISC_DO = 2
MSG_ERRQUEUE = 0x2000

LEVEL = {4: socket.IPPROTO_IP, 6: socket.IPPROTO_IPV6}
DISCOVER = {4: IP_MTU_DISCOVER, 6: IPV6_MTU_DISCOVER}
PATH_MTU = {4: IP_MTU, 6: IPV6_MTU}
RECEIVE_ERRORS = {4: IP_RECVERR, 6: IPV6_RECVERR}
RECEIVE_TOS = {4: IP_RECVTOS, 6: socket.IPV6_RECVTCLASS}
TOS = {4: socket.IP_TOS, 6: socket.IPV6_TCLASS}
TTL = {4: socket.IP_TTL, 6: socket.IPV6_UNICAST_HOPS}


@pytest.fixture
def ends(tunnel, direction, version):
    """A connected client and a server that has not heard of it yet."""
    path = Path(tunnel, direction, version)
    with path.datagram_server() as server, path.datagram_client() as client:
        server.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 32 << 20)
        yield client, server


@pytest.mark.parametrize("segment,count,last", [(1200, 20, 300), (1, 64, 1), (500, 40, 500),
                                                (1400, 2, 7), (1452, 44, 1451)])
def test_segmented_sender_keeps_borders(ends, segment, count, last):
    """UDP_SEGMENT: one call, many datagrams, each as long as the sender said; and back."""
    client, server = ends
    lengths = [segment] * (count - 1) + [last]
    data = os.urandom(sum(lengths))

    def check(sender, receiver):
        sender.setsockopt(SOL_UDP, UDP_SEGMENT, segment)
        sender.send(data)
        position = 0
        for length in lengths:
            received, peer = receiver.recvfrom(65535)
            assert len(received) == length
            assert received == data[position:position + length]
            position += length
        return peer

    peer = check(client, server)
    server.connect(peer)
    check(server, client)


def test_segmented_sender_many_times(ends):
    """A stream of UDP super-packets: every datagram whole, in order."""
    client, server = ends
    client.setsockopt(SOL_UDP, UDP_SEGMENT, 1000)
    number = expected = 0
    for _ in range(100):
        block = b""
        for _ in range(30):
            block += struct.pack("!I", number) * 250
            number += 1
        client.send(block)
        for _ in range(30):
            received = server.recv(65535)
            assert received == struct.pack("!I", expected) * 250
            expected += 1


@contextlib.contextmanager
def asleep(daemons):
    for daemon in daemons:
        daemon.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for daemon in daemons:
            daemon.process.send_signal(signal.SIGCONT)


RUNS = [(1200, 50), (300, 1), (1200, 7), (1, 100), (2, 3), (1452, 46), (64, 10), (1451, 3)]


def send_joined(tunnel, direction, client):
    """Sends the runs so that the daemon which gives them to the kernel finds them in few reads.
    Returns them."""
    sent = [os.urandom(size) for size, count in RUNS for _ in range(count)]
    with asleep(tunnel.daemons() and [injecting(tunnel, direction)]):
        for data in sent:
            client.send(data)
    return sent


def injecting(tunnel, direction):
    return tunnel.parent if direction == "out" else tunnel.enclave.daemon


def assert_some_joined(tunnel, direction):
    if tunnel.daemons():
        assert injecting(tunnel, direction).total("^injected_joined$") > 0


def test_joined_on_the_way(tunnel, direction, version):
    """Datagrams that go into the kernel together come out as they were and in order."""
    path = Path(tunnel, direction, version)
    with path.datagram_server() as server, path.datagram_client() as client:
        server.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 32 << 20)
        sent = send_joined(tunnel, direction, client)
        assert [server.recv(65535) for _ in sent] == sent
    assert_some_joined(tunnel, direction)


def test_joined_before_a_narrow_path(tunnel, narrow_path, direction):
    """A router cuts the long ones, which arrive whole: DF is not set. IPv6 routers do not."""
    path = Path(tunnel, direction, 4)
    with path.datagram_server() as server, path.datagram_client() as client:
        server.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 32 << 20)
        client.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, 0)  # PMTUDISC_DONT
        sent = send_joined(tunnel, direction, client)
        assert sorted(server.recv(65535) for _ in sent) == sorted(sent)
    assert_some_joined(tunnel, direction)


SIZES = [1, 2, 3, 7, 8, 100, 1000, 1451, 1452, 1453, 1471, 1472, 1473, 1480, 1481, 2952, 2953, 4000,
         9000, 16384, 32768, 50000, 65000, 65499, 65507]


def test_every_size(tunnel, direction, version):
    """UDP payloads of 1 to 65,507 bytes and back, in fragments where they must be."""
    path = Path(tunnel, direction, version)
    with datagram_echo(path), path.datagram_client() as client:
        for size in SIZES:
            data = os.urandom(size)
            client.send(data)
            assert client.recv(65535) == data, f"a datagram of {size} bytes"


def test_sizes_around_the_mtu(tunnel, direction, version):
    path = Path(tunnel, direction, version)
    with datagram_echo(path), path.datagram_client() as client:
        for size in range(1380, 1520):
            data = bytes([size % 251]) * size
            client.send(data)
            assert client.recv(65535) == data, f"a datagram of {size} bytes"


def test_fragments_on_a_narrow_path(tunnel, narrow_path, direction, version):
    """A router (IPv4) or the sender (IPv6) fragments to the path's MTU."""
    path = Path(tunnel, direction, version)
    with datagram_echo(path), path.datagram_client() as client:
        client.setsockopt(LEVEL[version], DISCOVER[version], 0)  # PMTUDISC_DONT: no DF
        client.settimeout(1)
        answered = []

        def answer():
            # IPv6: the first tries tell each sender in turn how narrow the path is.
            client.send(b"z" * 5000)
            try:
                answered.append(client.recv(65535))
            except (TimeoutError, OSError):
                return False
            return True

        wait_for(answer, "an answer of 5000 bytes")
        assert answered == [b"z" * 5000]


@pytest.mark.parametrize("who", ["client", "server"])
def test_df_on_a_narrow_path(ends, narrow_path, version, who):
    """The first datagram beyond the path's MTU is lost, the next one fails at once: EMSGSIZE."""
    client, server = ends
    client.send(b"hello")
    _, peer = server.recvfrom(100)
    server.connect(peer)
    sender = client if who == "client" else server
    sender.setsockopt(LEVEL[version], DISCOVER[version], PMTUDISC_DO)
    sender.send(b"x" * 1400)

    def refused():
        try:
            sender.send(b"x" * 1400)
        except OSError as problem:
            return problem.errno == errno.EMSGSIZE
        return False

    wait_for(refused, "EMSGSIZE")
    assert sender.getsockopt(LEVEL[version], PATH_MTU[version]) == NARROW_MTU
    fits = NARROW_MTU - 8 - (20 if version == 4 else 40)

    def fits_through():
        # Each datagram that was lost has left an error, which the next call on the socket reports.
        try:
            return sender.send(b"y" * fits)
        except OSError as problem:
            assert problem.errno == errno.EMSGSIZE
            return False

    wait_for(fits_through, "a datagram that fits to be taken")
    receiver = server if who == "client" else client
    while receiver.recv(65535) != b"y" * fits:
        pass  # the large ones of the time before, where they got through


def test_closed_port(tunnel, direction, version):
    """ICMP port unreachable comes back to the sender's socket."""
    path = Path(tunnel, direction, version)
    with path.datagram_client() as client:
        client.send(b"anyone?")
        with pytest.raises(ConnectionRefusedError):
            client.recv(100)


def test_time_exceeded(tunnel, version):
    """With a rising TTL the hops answer in order: gateway, router, and then the target itself."""
    inside = tunnel.enclave.namespace
    gateway = inside.ip_json(f"-{version} route show default")[0]["gateway"]
    hops = []
    with inside.datagram(version) as client:
        client.setsockopt(LEVEL[version], RECEIVE_ERRORS[version], 1)
        client.connect((INTERNET[version], 33434))
        for ttl in range(1, 4):
            client.setsockopt(LEVEL[version], TTL[version], ttl)
            client.send(b"probe")
            hops.append(offender(client, version))
    exceeded, unreachable = {4: ((11, 0), (3, 3)), 6: ((3, 0), (1, 4))}[version]
    assert hops == [(gateway, exceeded), (ROUTER_IN[version], exceeded),
                    (INTERNET[version], unreachable)]


def offender(client, version):
    """Who sent the ICMP error that waits for this socket, and its type and code."""

    def arrived():
        try:
            return client.recvmsg(2048, 1024, MSG_ERRQUEUE | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None

    _, ancillary, _, _ = wait_for(arrived, "an ICMP error")
    # struct sock_extended_err, then the offender's sockaddr (linux include/uapi/linux/errqueue.h)
    (_, _, data), = [item for item in ancillary if item[1] == RECEIVE_ERRORS[version]]
    _, _, icmp_type, icmp_code = struct.unpack_from("=IBBB", data)
    if version == 4:
        return socket.inet_ntop(socket.AF_INET, data[20:24]), (icmp_type, icmp_code)
    return socket.inet_ntop(socket.AF_INET6, data[24:40]), (icmp_type, icmp_code)


@pytest.mark.parametrize("segmented", [False, True], ids=["single", "segmented"])
@pytest.mark.parametrize("ecn", [0, 1, 2, 3], ids=["not-ect", "ect1", "ect0", "ce"])
def test_ecn_bits(ends, version, ecn, segmented):
    """The bits of RFC 3168 arrive as sent, forth and back."""
    client, server = ends

    def check(sender, receiver):
        receiver.setsockopt(LEVEL[version], RECEIVE_TOS[version], 1)
        sender.setsockopt(LEVEL[version], TOS[version], ecn)
        if segmented:
            sender.setsockopt(SOL_UDP, UDP_SEGMENT, 500)
        sender.send(b"x" * 1500 if segmented else b"x")
        for _ in range(3 if segmented else 1):
            _, ancillary, _, peer = receiver.recvmsg(2048, 256)
            (_, _, data), = ancillary
            assert data[0] & 3 == ecn
        return peer

    server.connect(check(client, server))
    check(server, client)


def test_zero_checksum(tunnel, direction):
    """An IPv4 datagram without a checksum (RFC 768) arrives, still without one."""
    path = Path(tunnel, direction, 4)
    device = "eth0" if direction == "out" else "cw0"
    with path.server.sniffer(device) as sniffer, path.datagram_server() as server, \
            path.datagram_client() as client:
        client.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
        client.send(b"no checksum")
        assert server.recv(100) == b"no checksum"
        while True:
            frame = sniffer.recv(2048)
            if b"no checksum" in frame:
                break
    assert frame[14 + 20 + 6:14 + 20 + 8] == b"\0\0"


def test_broken_checksum_is_not_repaired(tunnel):
    """A datagram whose checksum is wrong stays wrong: the receiver must be able to see it."""
    inside, internet = tunnel.enclave.namespace, tunnel.topology.internet
    port = next_port()
    with internet.datagram(4, port=port) as server, \
            inside.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP) as raw:
        for checksum, payload in ((0x1234, b"broken"), (0, b"whole")):
            raw.sendto(struct.pack("!HHHH", 40000, port, 8 + len(payload), checksum) + payload,
                       (INTERNET[4], 0))
        assert server.recv(100) == b"whole"


def numbered(sender, count, size, segment):
    number = 0
    while number < count:
        if segment:
            block = b"".join(struct.pack("!I", number + i).ljust(size, b".") for i in range(30))
            sender.send(block)
            number += 30
        else:
            sender.send(struct.pack("!I", number).ljust(size, b"."))
            number += 1
    return number


@pytest.mark.parametrize("segmented", [False, True], ids=["single", "segmented"])
def test_order_in_one_flow(ends, segmented):
    """Numbered datagrams as fast as they go: some may be lost, none may overtake another."""
    client, server = ends
    size = 1000
    if segmented:
        client.setsockopt(SOL_UDP, UDP_SEGMENT, size)
    sending = Background(numbered, client, 30000, size, segmented)
    seen = last = 0
    server.settimeout(1)
    try:
        while last < 29999:
            number = struct.unpack_from("!I", server.recv(65535))[0]
            assert number >= last, "a datagram was overtaken or doubled"
            last, seen = number + 1, seen + 1
    except TimeoutError:
        pass
    sending.result()
    assert seen > 1000


def test_many_flows(tunnel, direction, version):
    """Five hundred sockets at once; each gets its own answer."""
    path = Path(tunnel, direction, version)
    with datagram_echo(path):
        clients = [path.datagram_client() for _ in range(500)]
        try:
            for start in range(0, len(clients), 50):
                part = clients[start:start + 50]
                for number, client in enumerate(part):
                    client.send(b"flow %d" % (start + number))
                for number, client in enumerate(part):
                    assert client.recv(100) == b"flow %d" % (start + number)
        finally:
            for client in clients:
                client.close()


def test_options_are_carried(tunnel):
    """A header with options passes."""
    path = Path(tunnel, "out", 4)
    with path.datagram_server() as server, path.datagram_client() as client:
        client.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, bytes([1, 1, 1, 1]))
        client.send(b"with options")
        assert server.recv(100) == b"with options"


def test_client_address_is_kept(tunnel, version):
    path = Path(tunnel, "in", version)
    with path.datagram_server() as server, path.datagram_client() as client:
        client.send(b"who am I?")
        assert server.recvfrom(100)[1][0] == INTERNET[version]


def test_source_is_the_parents(tunnel, version):
    path = Path(tunnel, "out", version)
    with path.datagram_server() as server, path.datagram_client() as client:
        client.send(b"who am I?")
        assert server.recvfrom(100)[1][0] == PARENT[version]
