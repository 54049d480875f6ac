# SPDX-License-Identifier: Apache-2.0
"""Containers through the tunnel: what they send, what they are sent, on the default bridge and on a
user-defined network."""
import errno
import os
import socket
import struct

import pytest
from names import digest_of, query, question
from netns import wait_for
from paths import box_path
from topology import INTERNET, NARROW_MTU, PARENT, ROUTER_IN
from traffic import (MEGABYTE, Background, Path, datagram_echo, receive_all, receive_exactly,
                     send_random, transfer)

LEVEL = {4: socket.IPPROTO_IP, 6: socket.IPPROTO_IPV6}
DISCOVER = {4: 10, 6: 23}   # IP_MTU_DISCOVER, IPV6_MTU_DISCOVER
PATH_MTU = {4: 14, 6: 24}   # IP_MTU, IPV6_MTU
PMTUDISC_DONT, PMTUDISC_DO = 0, 2


def url(address, port, path):
    return f"http://[{address}]:{port}/{path}" if ":" in address else \
        f"http://{address}:{port}/{path}"


# ---- programs of the container's own


def test_wget(tunnel, box, downloads, version):
    seen = box.exec("wget", "-qO-", url(INTERNET[version], downloads.port, "whoami"))
    assert seen == PARENT[version], "the internet sees the parent's address"


def test_ping(tunnel, box, version):
    out = box.exec("ping", f"-{version}", "-c3", "-i0.1", "-W10", "-s", "1200", INTERNET[version])
    assert "3 packets received" in out


def test_traceroute(tunnel, box, version):
    """Every hop answers, and its ICMP error finds back through two NATs: the container's bridge,
    the parent, the router, the target."""
    out = box.exec("traceroute6" if version == 6 else "traceroute", "-n", "-q1", "-w10", "-m6",
                   INTERNET[version])
    hops = [line.split()[1] for line in out.splitlines() if line.split()[0].isdigit()]
    gateway = tunnel.enclave.namespace.ip_json(f"-{version} route show default")[0]["gateway"]
    bridge = box.ip_json(f"-{version} route show default")[0]["gateway"]
    assert hops == [bridge, gateway, ROUTER_IN[version], INTERNET[version]]


def test_download(tunnel, form, boxes, downloads, version):
    """1 GB where the rules are those of an enclave on AWS's kernel, less elsewhere."""
    megabytes = 1024 if (form.backend, version) == ("legacy", 4) else 128
    out = boxes["network"].shell(
        f"wget -qO- {url(INTERNET[version], downloads.port, megabytes)} | sha256sum")
    assert out.split()[0] == digest_of(megabytes)


# ---- names


def test_name_in_a_program(tunnel, box, downloads, name_server):
    """resolv.conf, the resolver and the connection together."""
    seen = box.exec("wget", "-qO-", url("web.example.test", downloads.port, "whoami"))
    assert seen in PARENT.values()


def resolver_of(box):
    for line in box.exec("cat", "/etc/resolv.conf").splitlines():
        if line.startswith("nameserver"):
            return line.split()[1]
    raise AssertionError("no nameserver")


def test_who_is_the_resolver(box):
    """The default bridge names the daemon's resolver to its containers, other networks name
    Docker's own."""
    expected = {"box-bridge": INTERNET[4], "box-network": "127.0.0.11"}
    assert resolver_of(box) == expected[box.name]


def addresses_in(answer):
    """The header's flags and the A records of an answer to one question for a name."""
    flags, count = struct.unpack_from("!H2xH", answer, 2)
    position, found = question(answer)[2], []
    for _ in range(count):
        # A record's name is a pointer to the question's, or spelt out once more.
        position = position + 2 if answer[position] & 0xc0 else answer.index(b"\0", position) + 1
        found.append(socket.inet_ntoa(answer[position + 10:position + 14]))
        position += 14
    return flags, found


def test_name_over_udp(tunnel, box, name_server):
    with box.datagram(4) as client:
        client.connect((resolver_of(box), 53))
        client.send(query("web.example.test"))
        assert addresses_in(client.recv(4096))[1] == [INTERNET[4]]
    assert name_server.asked[-1] == ("web.example.test", "udp", PARENT[4])


def test_unknown_name(tunnel, box, name_server):
    with box.datagram(4) as client:
        client.connect((resolver_of(box), 53))
        client.send(query("nowhere.example.test"))
        assert addresses_in(client.recv(4096))[0] & 0xf == 3


def test_long_answer(tunnel, box, name_server):
    """Cut short over UDP, whole over TCP."""
    target = (resolver_of(box), 53)
    with box.datagram(4) as client:
        client.connect(target)
        client.send(query("many.example.test"))
        assert addresses_in(client.recv(4096))[0] & 0x0200
    with box.connect(4, *target) as client:
        asked = query("many.example.test")
        client.sendall(len(asked).to_bytes(2, "big") + asked)
        length = int.from_bytes(receive_exactly(client, 2), "big")
        assert len(addresses_in(receive_exactly(client, length))[1]) == 100


def test_other_containers_by_name(docker, boxes, inner_network):
    """Docker answers for its own containers; causeway and its resolver are not asked."""
    with boxes["network"].datagram(4) as client:
        client.connect(("127.0.0.11", 53))
        client.send(query("box-network"))
        assert addresses_in(client.recv(4096))[1] == [boxes["network"].address(4)]


# ---- both directions, any socket


def test_tcp(tunnel, box, direction, version):
    client, server = box_path(tunnel, box, direction, version).pair()
    with client, server:
        transfer(client, server, 16 * MEGABYTE)
        transfer(server, client, 16 * MEGABYTE)


def test_both_ways_at_once(tunnel, box, direction, version):
    client, server = box_path(tunnel, box, direction, version).pair()
    with client, server:
        work = [Background(transfer, client, server, 16 * MEGABYTE),
                Background(transfer, server, client, 16 * MEGABYTE)]
        for each in work:
            each.result()


@pytest.mark.parametrize("first", ["client", "server"])
def test_half_close(tunnel, box, direction, version, first):
    """An end that has said its last word still hears everything."""
    client, server = box_path(tunnel, box, direction, version).pair()
    with client, server:
        speaker, listener = (client, server) if first == "client" else (server, client)
        speaker.sendall(b"the question")
        speaker.shutdown(socket.SHUT_WR)
        assert receive_all(listener)[0] == len(b"the question")
        hearing = Background(receive_all, speaker)
        sent = send_random(listener, 4 * MEGABYTE)
        listener.shutdown(socket.SHUT_WR)
        assert hearing.result() == (4 * MEGABYTE, sent)


def test_who_is_seen(tunnel, box, direction, version):
    """Outside: the parent. In a container: the client itself."""
    client, server = box_path(tunnel, box, direction, version).pair()
    with client, server:
        assert server.getpeername()[0] == (PARENT if direction == "out" else INTERNET)[version]
    path = box_path(tunnel, box, direction, version)
    with path.datagram_server() as server, path.datagram_client() as client:
        client.send(b"who am I?")
        assert server.recvfrom(100)[1][0] == (PARENT if direction == "out" else INTERNET)[version]


SIZES = [1, 100, 1452, 1453, 1472, 1473, 2953, 9000, 32768, 65000, 65507]


def test_datagrams_of_every_size(tunnel, box, direction, version):
    """And back; in fragments where they must be."""
    path = box_path(tunnel, box, direction, version)
    with datagram_echo(path), path.datagram_client() as client:
        for size in SIZES:
            data = os.urandom(size)
            client.send(data)
            assert client.recv(65535) == data, f"a datagram of {size} bytes"


def test_segmented_sender_keeps_borders(tunnel, box, direction, version):
    """UDP_SEGMENT in a container: one call, many datagrams, each as long as the sender said."""
    path = box_path(tunnel, box, direction, version)
    with path.datagram_server() as server, path.datagram_client() as client:
        client.setsockopt(17, 103, 1200)  # SOL_UDP, UDP_SEGMENT
        data = os.urandom(20 * 1200 + 300)
        client.send(data)
        for start in range(0, len(data), 1200):
            assert server.recv(65535) == data[start:start + 1200]


def test_closed_port(tunnel, box, direction, version):
    """ICMP's "port unreachable" comes back to the socket that sent."""
    with box_path(tunnel, box, direction, version).datagram_client() as client:
        client.send(b"anyone?")
        with pytest.raises(ConnectionRefusedError):
            client.recv(100)


# ---- path MTU


def test_tcp_on_a_narrow_path(tunnel, narrow_path, box, direction, version):
    client, server = box_path(tunnel, box, direction, version).pair()
    with client, server:
        transfer(client, server, MEGABYTE)
        transfer(server, client, MEGABYTE)


@pytest.mark.parametrize("who", ["box", "internet"])
def test_df_on_a_narrow_path(tunnel, narrow_path, box, version, who):
    """The router's "too big" reaches the sender through all NAT: the next one fails at once."""
    path = box_path(tunnel, box, "out" if who == "box" else "in", version)
    with path.datagram_server(), path.datagram_client() as client:
        client.setsockopt(LEVEL[version], DISCOVER[version], PMTUDISC_DO)

        def refused():
            try:
                client.send(b"x" * 1400)
            except OSError as problem:
                return problem.errno == errno.EMSGSIZE
            return False

        wait_for(refused, "EMSGSIZE")
        assert client.getsockopt(LEVEL[version], PATH_MTU[version]) == NARROW_MTU


def test_fragments_on_a_narrow_path(tunnel, narrow_path, box, direction, version):
    """A router (IPv4) or the sender (IPv6) fragments to the path's MTU."""
    path = box_path(tunnel, box, direction, version)
    with datagram_echo(path), path.datagram_client() as client:
        client.setsockopt(LEVEL[version], DISCOVER[version], PMTUDISC_DONT)
        client.settimeout(1)

        def answered():
            # IPv6: the first tries tell each sender in turn how narrow the path is.
            try:
                client.send(b"z" * 5000)
                return client.recv(65535) == b"z" * 5000
            except OSError:
                return False

        wait_for(answered, "an answer of 5000 bytes")


# ---- several containers


@pytest.fixture(scope="module")
def crowd_of_boxes(docker, boxes, inner_network):
    """Two more on each network."""
    return [*boxes.values(), docker.box("more-1"), docker.box("more-2"),
            docker.box("more-3", "--network", inner_network)]


def from_port(place, version, kind, port):
    made = place.stream(version) if kind == "tcp" else place.datagram(version)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("0.0.0.0" if version == 4 else "::", port))
    return made


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_same_source_port(tunnel, crowd_of_boxes, version, kind):
    """Every container, and the enclave itself, speak from one and the same port to one and the same
    server at the same time: the server sees as many clients as there are, each gets its own
    answers."""
    places = [*crowd_of_boxes, tunnel.enclave.namespace]
    path = Path(tunnel, "out", version)
    internet = tunnel.topology.internet
    server = internet.listen(version, path.port, path.address) if kind == "tcp" else \
        internet.datagram(version, path.address, path.port)
    clients = [from_port(place, version, kind, 40000) for place in places]
    try:
        seen = {}
        for number, client in enumerate(clients):
            client.connect((path.address, path.port))
            client.send(b"client %d" % number)
            if kind == "tcp":
                stream, peer = server.accept()
                assert stream.recv(100) == b"client %d" % number
                seen[peer] = stream
            else:
                data, peer = server.recvfrom(100)
                assert data == b"client %d" % number
                seen[peer] = number
        assert len(seen) == len(places)
        assert {peer[0] for peer in seen} == {PARENT[version]}
        for number, (peer, stream) in enumerate(seen.items()):
            if kind == "tcp":
                stream.sendall(b"answer %d" % number)
                stream.close()
            else:
                server.sendto(b"answer %d" % number, peer)
        for number, client in enumerate(clients):
            assert client.recv(100) == b"answer %d" % number
    finally:
        for client in clients:
            client.close()
        server.close()


def test_many_boxes_at_once(tunnel, crowd_of_boxes, version):
    """Each transfers both ways, all at the same time."""
    pairs = [Path(tunnel, "out", version, inside=box).pair() for box in crowd_of_boxes]
    work = [Background(transfer, *ends, 8 * MEGABYTE)
            for pair in pairs for ends in (pair, pair[::-1])]
    for each in work:
        each.result()
    for pair in pairs:
        for stream in pair:
            stream.close()


MARK = b"from one container to the other"


def test_between_containers(tunnel, crowd_of_boxes, boxes, version):
    """What containers of a network say to each other is between them: their own addresses, and
    nothing of it on cw0."""
    here, there = boxes["network"], crowd_of_boxes[-1]
    outward = Path(tunnel, "out", version, inside=here)
    with tunnel.enclave.namespace.sniffer("cw0") as sniffer, there.listen(version, 5000) as inner, \
            outward.datagram_server() as outer, outward.datagram_client() as client:
        with here.connect(version, there.address(version), 5000) as one:
            other, peer = inner.accept()
            with other:
                assert peer[0] == here.address(version)
                one.sendall(MARK)
                assert receive_exactly(other, len(MARK)) == MARK
                transfer(other, one, MEGABYTE)
        client.send(b"the last word")
        assert outer.recv(100) == b"the last word"
        frame = b""
        while b"the last word" not in frame:
            frame = sniffer.recv(65535)
            assert MARK not in frame


def test_between_networks(tunnel, boxes, version):
    """Docker keeps its networks apart, with a tunnel as without."""
    here, there = boxes["bridge"], boxes["network"]
    with there.listen(version, 5001):
        there.connect(version, there.address(version), 5001).close()
        with pytest.raises(OSError):
            here.connect(version, there.address(version), 5001, patience=1)


def test_between_published_ports(tunnel, boxes, version):
    """The enclave itself reaches a container by a published port of its own."""
    with boxes["bridge"].listen(version, 7003) as listener:
        address = tunnel.enclave.address(version)
        with tunnel.enclave.namespace.connect(version, address, 7003):
            listener.accept()[0].close()
