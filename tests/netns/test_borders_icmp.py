# SPDX-License-Identifier: Apache-2.0
"""ICMP errors that an enclave forges about packets that it never got reach nobody."""
import socket
import struct

import pytest
from borders import (FIREWALLS, ICMP, TOO_BIG, UNREACHABLE, Border, error, fragments, icmp,
                     packed, tcp, udp)
from netns import wait_for
from topology import INTERNET, PARENT, PRIVATE

pytestmark = pytest.mark.daemons
PORT, SERVER_PORT = 23000, 9000
IP_MTU, IPV6_MTU = 14, 24
IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, PMTUDISC_DO = 10, 23, 2


@pytest.fixture(scope="module", params=FIREWALLS)
def firewall(request):
    return request.param


@pytest.fixture
def border(workshop, firewall):
    made = Border(workshop, firewall)
    made.enter()
    yield made
    made.close()
    for version in (4, 6):
        made.host.ip(f"-{version} route flush cache")


def connected(namespace, version, source, port, destination, server_port):
    """A UDP socket with a conversation under way."""
    made = namespace.datagram(version, source, port)
    made.connect((destination, server_port))
    made.send(b"question")
    made.setblocking(False)
    return made


def unharmed(conversation):
    try:
        conversation.recv(100)
    except BlockingIOError:
        return True
    except ConnectionRefusedError:
        return False
    return True


FORGERIES = {
    "plain": lambda packet: [packet],
    # The quote in the second fragment: who checks the first sees no addresses.
    "in fragments": lambda packet: fragments(packet, 8, 4711),
    "in fragments that split the quote": lambda packet: fragments(packet, 24, 4712),
}


@pytest.mark.parametrize("form", FORGERIES)
def test_parents_own_conversation(border, version, form):
    hostile = border.peers[0]
    with border.topology.internet.datagram(version, INTERNET[version], SERVER_PORT), \
            connected(border.host, version, PARENT[version], PORT, INTERNET[version],
                      SERVER_PORT) as conversation:
        quoted = udp(PARENT[version], PORT, INTERNET[version], SERVER_PORT, b"question")
        forged = error(hostile.address[version], PARENT[version], quoted)
        hostile.send(*FORGERIES[form](forged))
        hostile.settle(version)
        assert unharmed(conversation)
        assert border.dropped("policy_") > 0


def test_parents_path_mtu(border, version):
    hostile = border.peers[0]
    level, option = {4: (socket.IPPROTO_IP, IP_MTU), 6: (socket.IPPROTO_IPV6, IPV6_MTU)}[version]
    discover = {4: IP_MTU_DISCOVER, 6: IPV6_MTU_DISCOVER}[version]
    with border.topology.internet.datagram(version, INTERNET[version], SERVER_PORT), \
            border.host.datagram(version, PARENT[version], PORT) as conversation:
        conversation.setsockopt(level, discover, PMTUDISC_DO)
        conversation.connect((INTERNET[version], SERVER_PORT))
        conversation.send(b"question")
        quoted = udp(PARENT[version], PORT, INTERNET[version], SERVER_PORT, b"question")
        hostile.send(error(hostile.address[version], PARENT[version], quoted, TOO_BIG,
                           {4: 576, 6: 1280}[version]))
        hostile.settle(version)
        try:
            conversation.send(b"x" * 1400)
        except OSError:
            pass
        assert conversation.getsockopt(level, option) == 1500


def test_another_enclave(border, version):
    """Also with a payload attached: an error is a letter, too."""
    hostile, other = border.peers
    with border.topology.internet.datagram(version, INTERNET[version], SERVER_PORT):
        question = udp(other.address[version], PORT, INTERNET[version], SERVER_PORT, b"q" * 1100)
        other.send(question)
        other.settle(version)
        hostile.send(error(hostile.address[version], other.address[version], question))
        hostile.settle(version)
        other.settle(version)
        assert not other.saw(lambda p: p.is_error())


def test_flow_of_another_enclave_at_its_server(border, version):
    hostile, other = border.peers
    with border.topology.internet.datagram(version, INTERNET[version], SERVER_PORT) as server:
        other.send(udp(other.address[version], PORT, INTERNET[version], SERVER_PORT))
        _, address = server.recvfrom(100)
        server.connect(address)
        server.send(b"answer")
        server.setblocking(False)
        wait_for(lambda: other.saw(lambda p: b"answer" in p.bytes), "the answer")
        # As the server has it, and as the other enclave has it.
        for target, port in ((address[0], address[1]), (other.address[version], PORT)):
            quoted = udp(INTERNET[version], SERVER_PORT, target, port, b"answer")
            hostile.send(error(hostile.address[version], INTERNET[version], quoted))
        hostile.settle(version)
        assert unharmed(server)


def test_private_host(border, version):
    hostile, internet = border.peers[0], border.topology.internet
    family = {4: socket.AF_INET, 6: socket.AF_INET6}[version]
    with internet.datagram(version, PRIVATE[version], SERVER_PORT) as server, \
            connected(border.host, version, PARENT[version], PORT, PRIVATE[version], SERVER_PORT), \
            internet.socket(family, socket.SOCK_RAW, ICMP[version]) as listener:
        server.recv(100)
        quoted = udp(PRIVATE[version], SERVER_PORT, PARENT[version], PORT, b"answer")
        hostile.send(error(hostile.address[version], PRIVATE[version], quoted))
        hostile.settle(version)
        listener.setblocking(False)
        kinds = []
        try:
            while True:
                packet = listener.recv(2000)
                kinds.append(packet[20] if version == 4 else packet[0])
        except BlockingIOError:
            pass
        assert UNREACHABLE[version][0] not in kinds


def test_error_about_a_packet_that_came_is_delivered(border, version):
    """The server learns that nobody is there: its own address and port stand in what is quoted."""
    hostile = border.peers[0]
    with border.topology.internet.datagram(version, INTERNET[version], SERVER_PORT) as server:
        hostile.send(udp(hostile.address[version], PORT, INTERNET[version], SERVER_PORT))
        _, address = server.recvfrom(100)
        server.connect(address)
        server.send(b"answer")
        server.setblocking(False)
        answer, = wait_for(lambda: hostile.saw(lambda p: b"answer" in p.bytes), "the answer")
        hostile.send(error(hostile.address[version], INTERNET[version], answer.bytes))
        wait_for(lambda: not unharmed(server), "the error at the server")


def icmp_oddities(version, own, target):
    """(name, packet): errors that quote nothing that could be judged, and what has no business
    across a border."""
    good = udp(target, SERVER_PORT, own, PORT)
    kind, code = UNREACHABLE[version]

    def around(quote):
        return icmp(own, target, kind, code, data=quote)
    yield "no quote", around(b"")
    yield "a quote of one byte", around(good[:1])
    yield "half an IP header", around(good[:12])
    yield "an IP header alone", around(good[:20 if version == 4 else 40])
    yield "seven bytes of the transport header", around(good[:(20 if version == 4 else 40) + 7])
    yield "the other family", around(udp(*(("2001:db8::1", 1, "2001:db8::2", 2) if version == 4
                                           else ("192.0.2.1", 1, "192.0.2.2", 2))))
    yield "version 0", around(b"\x05" + good[1:])
    yield "an error about an error", around(icmp(target, own, kind, code, data=good))
    yield "somebody else's packet", around(udp(target, SERVER_PORT, PARENT[version], PORT))
    yield "a packet that the receiver did not send", around(udp(PRIVATE[version], 1, own, PORT))
    yield "its own packet", around(udp(own, PORT, target, SERVER_PORT))
    if version == 4:
        yield "a quote with a header of 4 bytes", around(b"\x41" + good[1:])
        yield "a quote with a header of 60 bytes", around(b"\x4f" + good[1:])
        yield "a redirect", icmp(own, target, 5, 1, packed(PRIVATE[4]), good)
        yield "a source quench", icmp(own, target, 4, 0, data=good)
        yield "a router advertisement", icmp(own, target, 9, 0, struct.pack("!BBH", 1, 2, 30),
                                             packed(own) + b"\0" * 4)
        yield "an address mask request", icmp(own, target, 17, 0, data=b"\0" * 4)
    else:
        # ::/0 extension chain in the quote that never ends.
        yield "endless extensions in the quote", around(
            good[:6] + b"\x3c" + good[7:40] + b"\x3c\0\0\0\0\0\0\0" * 20)
        yield "a redirect", icmp(own, target, 137, 0, data=packed(own) + packed(target))
        yield "a router advertisement", icmp(own, target, 134, 0, b"\x40\0\x07\x08", b"\0" * 8)
        yield "a router solicitation", icmp(own, target, 133)
        yield "a neighbour solicitation", icmp(own, target, 135, data=packed(target))
        yield "a neighbour advertisement", icmp(own, target, 136, rest=b"\x60\0\0\0",
                                                data=packed(target))
        yield "a listener report", icmp(own, target, 143)


@pytest.mark.parametrize("version,name", [(version, name) for version in (4, 6) for name, _ in
                                          icmp_oddities(version, *{4: ("192.0.2.1", "192.0.2.2"),
                                                                   6: ("2001:db8::1",
                                                                       "2001:db8::2")}[version])],
                         ids=lambda value: str(value).replace(" ", "-"))
def test_oddities_are_dropped_by_the_daemon(border, version, name):
    hostile = border.peers[0]
    packet = dict(icmp_oddities(version, hostile.address[version], INTERNET[version]))[name]
    reasons = "policy_(icmp|quote)"
    before = border.dropped(reasons)
    hostile.send(packet)
    hostile.settle(version)
    assert border.dropped(reasons) == before + 1, f"{name} is a counted drop"


def test_dropped_errors_can_be_seen(border, version):
    """causewayctl capture --which dropped shows the packet with its reason."""
    import subprocess  # pylint: disable=import-outside-toplevel
    from control import CTL, socket_of  # pylint: disable=import-outside-toplevel
    hostile = border.peers[0]
    quoted = udp(PARENT[version], PORT, INTERNET[version], SERVER_PORT, b"question")
    forged = error(hostile.address[version], PARENT[version], quoted)
    with subprocess.Popen([CTL, "capture", "--control", socket_of(border.tunnel, "parent"),
                           "--which", "dropped", "--count", "1", "--write", "-"],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as capture:
        wait_for(lambda: hostile.send(forged) or capture.poll() is not None, "a captured drop")
        assert b"policy_" in capture.stdout.read()


def test_transit_error_does_not_touch_tcp(border, version):
    """A hard error about another enclave's connection, by its sequence number, changes nothing."""
    hostile, other = border.peers
    with border.topology.internet.listen(version, SERVER_PORT, INTERNET[version]) as listener:
        other.send(tcp(other.address[version], PORT, INTERNET[version], SERVER_PORT))
        synack, = wait_for(lambda: other.saw(lambda p: p.flags == 0x12), "SYN and ACK")
        hostile.send(error(hostile.address[version], INTERNET[version], synack.bytes))
        hostile.settle(version)
        listener.settimeout(30)
        sequence = struct.unpack_from("!I", synack.payload, 4)[0]
        other.send(tcp(other.address[version], PORT, INTERNET[version], SERVER_PORT, 0x10, 2,
                       sequence + 1))
        accepted, _ = listener.accept()
        accepted.close()
