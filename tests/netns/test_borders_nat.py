# SPDX-License-Identifier: Apache-2.0
"""An enclave's source ports do not shadow the parent's services, nor another enclave's ports.

A client that does not answer a stray SYN (any host with a stateful firewall) is what the enclave
needs: its SYN makes an entry, and the client's own connection looks like the answer to it."""
import socket

import pytest
from borders import ACK, FIREWALLS, SYN, UDP, Border, frames_of, tcp, udp
from netns import wait_for
from topology import INTERNET, PARENT

pytestmark = pytest.mark.daemons
CLIENT_PORT = 23456
NAT_FIRST, NAT_LAST = 32768, 60999  # the default of --nat-ports


@pytest.fixture(scope="module", params=FIREWALLS)
def firewall(request):
    return request.param


@pytest.fixture
def border(request, workshop, firewall):
    """With the daemon's arguments as parameter, where a test has them."""
    topology = workshop.topology
    topology.internet.nft("""
table inet stateful {
chain input {
type filter hook input priority 0; policy accept;
tcp dport != 9000 ct state new drop
udp dport != 9000 ct state new drop
}
}
""")
    made = Border(workshop, firewall, arguments=getattr(request, "param", ()))
    made.enter()
    yield made
    made.close()
    topology.internet.run("nft delete table inet stateful")


def is_syn(packet):
    return packet.flags is not None and packet.flags & (SYN | ACK) == SYN


def dialling(namespace, version, port):
    """A connection under way from the client's port that the enclave has named."""
    client = namespace.stream(version)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    client.bind((INTERNET[version], CLIENT_PORT))
    client.setblocking(False)
    client.connect_ex((PARENT[version], port))
    return client


@pytest.mark.parametrize("port", [22, 8022, 20022])
def test_service_of_the_host_is_not_shadowed(border, version, port):
    hostile = border.peers[0]
    hostile.send(tcp(hostile.address[version], port, INTERNET[version], CLIENT_PORT))
    hostile.settle(version)
    with border.host.listen(version, port, PARENT[version]) as service, \
            dialling(border.topology.internet, version, port):
        service.setblocking(False)

        def answered():
            try:
                service.accept()[0].close()
                return "service"
            except BlockingIOError:
                return hostile.saw(is_syn) and "enclave"
        assert wait_for(answered, "the client's connection") == "service"


# A service inside the range is named at the start; the range moves for it.
@pytest.mark.parametrize("border, port", [((), 500), (("--nat-ports", "32768-49151"), 51820)],
                         indirect=["border"], ids=["500", "51820"])
def test_datagram_service_of_the_host_is_not_shadowed(border, version, port):
    hostile, internet = border.peers[0], border.topology.internet
    hostile.send(udp(hostile.address[version], port, INTERNET[version], CLIENT_PORT))
    hostile.settle(version)
    with border.host.datagram(version, PARENT[version], port) as service, \
            internet.datagram(version, INTERNET[version], CLIENT_PORT) as client:
        client.sendto(b"secret", (PARENT[version], port))
        service.setblocking(False)

        def answered():
            try:
                return service.recv(100)
            except BlockingIOError:
                return hostile.saw(lambda p: p.protocol == UDP and b"secret" in p.bytes) and b"lost"
        assert wait_for(answered, "the client's datagram") == b"secret"


def test_published_port_of_another_is_not_shadowed(border, version):
    hostile, other = border.peers
    hostile.send(tcp(hostile.address[version], 8080, INTERNET[version], CLIENT_PORT),
                 udp(hostile.address[version], 5300, INTERNET[version], CLIENT_PORT))
    hostile.settle(version)
    internet = border.topology.internet

    def fetched(by, wanted):
        return by.saw(lambda p: p.version == version and wanted(p))

    with dialling(internet, version, 8080):
        wait_for(lambda: fetched(other, is_syn) or fetched(hostile, is_syn), "the client's SYN")
        assert not fetched(hostile, is_syn)
        assert fetched(other, is_syn)[0].port == 80
    with internet.datagram(version, INTERNET[version], CLIENT_PORT) as client:
        client.sendto(b"secret", (PARENT[version], 5300))
        secret = lambda p: b"secret" in p.bytes  # noqa: E731
        wait_for(lambda: fetched(other, secret) or fetched(hostile, secret), "the datagram")
        assert not fetched(hostile, secret)


def test_what_leaves_has_a_port_of_the_range(border, version):
    hostile = border.peers[0]
    with border.host.sniffer("eth0") as sniffer:
        for port in (1, 22, 500, 1023, 8080, 32767, 40000, 61000, 65535):
            hostile.send(tcp(hostile.address[version], port, INTERNET[version], CLIENT_PORT),
                         udp(hostile.address[version], port, INTERNET[version], CLIENT_PORT))
        hostile.settle(version)
        sent = [p for p in frames_of(sniffer) if p.port == CLIENT_PORT]
    assert len(sent) == 18
    assert all(NAT_FIRST <= p.source_port <= NAT_LAST for p in sent), \
        [p.source_port for p in sent]


def test_syn_in_the_reply_direction_does_not_enter(border, version):
    """The second line: inside the range of ports the host has no services, but who knows."""
    hostile = border.peers[0]
    hostile.send(tcp(hostile.address[version], 40000, INTERNET[version], CLIENT_PORT))
    hostile.settle(version)
    with dialling(border.topology.internet, version, 40000):
        hostile.settle(version)
        hostile.settle(version)
        assert not hostile.saw(is_syn)


def test_ten_thousand_connections_to_one_server(border, version):
    hostile = border.peers[0]
    with border.topology.internet.listen(version, 9000, INTERNET[version], backlog=4096):
        for port in range(10000, 20000):
            hostile.send(tcp(hostile.address[version], port, INTERNET[version], 9000))
            if port % 200 == 0:
                hostile.settle(version)
        wait_for(lambda: len({p.port for p in hostile.saw(
            lambda p: p.flags == SYN | ACK and p.source_port == 9000)}) >= 9990,
            "ten thousand answers", patience=60)


@pytest.mark.parametrize("published", [False, True], ids=["service", "published"])
def test_services_inside_the_range_are_named(workshop, firewall, version, published):
    """At the start and by --check: a service there could be shadowed."""
    publish = ("e3=50022:22/tcp,force",) if published else ()
    with workshop.topology.parent.listen(version, 50022):
        made = Border(workshop, firewall, publish=publish)
        try:
            wait_for(lambda: any("50022" in line and "nat-ports" in line
                                 for line in made.parent.log().splitlines()), "a warning")
            done = made.host.run([made.parent.command[0], *made.parent.command[1:], "--check"],
                                 check=False)
            assert "50022" in done.stdout + done.stderr
        finally:
            made.close()
