# SPDX-License-Identifier: Apache-2.0
"""What the parent forwards: from and to enclaves, and nothing that it did not forward before."""
import os
import socket
import struct

import pytest
from borders import (ECHO_REPLY, FIREWALLS, TCP, UDP, Border, echo, frames_of, ip, tcp,
                     udp)
from netns import wait_for
from topology import INTERNET, PARENT, ROUTER_IN
from traffic import closed_to, reaches

pytestmark = pytest.mark.daemons
BEHIND = {4: "198.51.101.2", 6: "2001:db8:101::2"}
ETH1 = {4: "198.51.101.1", 6: "2001:db8:101::1"}
LENGTH = {4: 24, 6: 64}
FORWARDING = {4: "net.ipv4.ip_forward", 6: "net.ipv6.conf.all.forwarding"}


@pytest.fixture(scope="module", params=FIREWALLS)
def firewall(request):
    return request.param


# ---- a parent with two networks

@pytest.fixture
def second_network(topology):
    """A host behind the parent's eth1, and a neighbour on eth0 that knows the way there."""
    parent, behind, neighbour = topology.parent, topology.enclave2, topology.router
    parent.ip(f"link add eth1 type veth peer name behind0 netns {behind.name}")
    for namespace, device, addresses in ((parent, "eth1", ETH1), (behind, "behind0", BEHIND)):
        namespace.ip(f"link set {device} up")
        for version, address in addresses.items():
            nodad = " nodad" if version == 6 else ""
            namespace.ip(f"addr add {address}/{LENGTH[version]} dev {device}{nodad}")
    for version in (4, 6):
        behind.ip(f"-{version} route add default via {ETH1[version]}")
        neighbour.ip(f"-{version} route add {BEHIND[version]} via {PARENT[version]}")
    yield behind, neighbour
    for version in (4, 6):
        neighbour.ip(f"-{version} route del {BEHIND[version]}")
    parent.ip("link del eth1")


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_parent_does_not_become_a_router(workshop, second_network, firewall, version, kind):
    behind, neighbour = second_network
    host = workshop.topology.parent
    assert closed_to(neighbour, behind, version, BEHIND[version], kind)
    made = Border(workshop, firewall)
    hostile, _ = made.enter()
    assert answered(hostile, version, INTERNET[version])  # forwarding is on, as far as it must be
    assert closed_to(neighbour, behind, version, BEHIND[version], kind)
    hostile.close()
    # A daemon that was killed and comes back still knows.
    made.parent.kill()
    before = made.parent.log().count("ready")
    made.parent.start()
    wait_for(lambda: made.parent.log().count("ready") > before, "the parent to be ready again")
    assert closed_to(neighbour, behind, version, BEHIND[version], kind)
    # The two networks reach the parent itself as ever.
    assert reaches(neighbour, host, version, PARENT[version], kind)
    assert reaches(behind, host, version, ETH1[version], kind)


def test_operators_forwarding_stays(workshop, second_network, firewall, version):
    behind, neighbour = second_network
    host = workshop.topology.parent
    host.sysctl(FORWARDING[version], 1)
    try:
        made = Border(workshop, firewall)
        assert reaches(neighbour, behind, version, BEHIND[version])
        made.parent.kill()
        made.parent.start()
        wait_for(lambda: made.parent.log().count("ready") > 1, "the parent to be ready again")
        assert reaches(neighbour, behind, version, BEHIND[version])
        made.tunnel.stop()
        assert host.sysctl(FORWARDING[version]) == "1"
    finally:
        host.sysctl(FORWARDING[version], 0)


def test_forwarding_that_the_operator_accepts_later(workshop, second_network, firewall, version):
    """A rule that accepts, as Docker and libvirt write them, is the operator's word."""
    if firewall == "nft":
        pytest.skip("an accept of another nft table does not end ours: docs/rules.md says so")
    behind, neighbour = second_network
    host = workshop.topology.parent
    Border(workshop, firewall)
    program = firewall.replace("iptables", {4: "iptables", 6: "ip6tables"}[version])
    host.run([program, "-I", "FORWARD", "-o", "eth1", "-j", "ACCEPT"])
    host.run([program, "-I", "FORWARD", "-i", "eth1", "-j", "ACCEPT"])
    try:
        assert reaches(neighbour, behind, version, BEHIND[version])
    finally:
        host.run([program, "-D", "FORWARD", "-o", "eth1", "-j", "ACCEPT"])
        host.run([program, "-D", "FORWARD", "-i", "eth1", "-j", "ACCEPT"])


# ---- neighbours of the parent

def answered(peer, version, address):
    identifier = (os.getpid() + len(peer.packets)) & 0xffff
    peer.send(echo(peer.address[version], address, identifier))
    wanted = struct.pack("!H", identifier)
    peer.settle(version)
    peer.settle(version)
    return bool(peer.saw(lambda p: p.icmp_type == ECHO_REPLY[version] and
                         p.source == address and p.payload[4:6] == wanted))


def test_neighbours_are_closed(workshop, firewall, version):
    """The parent's own network is no part of the Internet, whatever its addresses look like."""
    made = Border(workshop, firewall)
    hostile, _ = made.enter()
    assert not answered(hostile, version, ROUTER_IN[version])
    assert answered(hostile, version, INTERNET[version])
    made.close()


def test_neighbours_open_by_name(workshop, firewall, version):
    network = {4: "198.51.100.0/24", 6: "2001:db8:51::/64"}[version]
    made = Border(workshop, firewall, allow=(network,))
    hostile, _ = made.enter()
    assert answered(hostile, version, ROUTER_IN[version])
    made.close()


def test_networks_that_come_later_are_closed_too(workshop, firewall, version):
    """An address or route that the parent gets while it runs."""
    made = Border(workshop, firewall)
    hostile, _ = made.enter()
    host, router = made.host, made.topology.router
    network = {4: "198.51.105", 6: "2001:db8:105:"}[version]
    own, far = (f"{network}{'.' if version == 4 else ':'}{n}" for n in (2, 1))
    nodad = " nodad" if version == 6 else ""
    router.ip(f"addr add {far}/{LENGTH[version]} dev in0{nodad}")
    try:
        host.ip(f"addr add {own}/{LENGTH[version]} dev eth0{nodad}")
        wait_for(lambda: not answered(hostile, version, far), "the new network to be closed")
        host.ip(f"addr del {own}/{LENGTH[version]} dev eth0")
        # Now it is behind the default route again, as far as anybody knows.
        wait_for(lambda: answered(hostile, version, far), "the network to be like any other")
    finally:
        host.run(f"ip addr del {own}/{LENGTH[version]} dev eth0", check=False)
        router.ip(f"addr del {far}/{LENGTH[version]} dev in0")
        made.close()


def test_neighbour_table_does_not_grow(workshop, firewall, version):
    made = Border(workshop, firewall)
    hostile, _ = made.enter()
    for number in range(10, 250 if version == 4 else 1000):
        target = f"198.51.100.{number}" if version == 4 else f"2001:db8:51::{number:x}"
        hostile.send(udp(hostile.address[version], 1000, target, 53))
    hostile.settle(version)
    assert len(made.host.ip_json(f"-{version} neigh show dev eth0")) < 20
    made.close()


# ---- source routes

@pytest.mark.parametrize("kind,name", [(0x83, "loose"), (0x89, "strict")])
@pytest.mark.parametrize("before", [b"", b"\1", b"\1\1\1"], ids=["first", "second", "fourth"])
def test_source_routes_are_refused(workshop, kind, name, before):
    made = Border(workshop, "auto")
    hostile, _ = made.enter()
    for device in ("all", "cwin2", "default"):
        made.host.sysctl(f"net.ipv4.conf.{device}.accept_source_route", 1)
    try:
        option = before + bytes([kind, 7, 4]) + socket.inet_aton("169.254.169.254")
        option += b"\0" * (-len(option) % 4)
        inner = udp(hostile.address[4], 1000, PARENT[4], 53, b"routed")[20:]
        with made.host.sniffer("eth0") as sniffer:
            for target in (made.host.addresses("cwin2", 4)[0], INTERNET[4], PARENT[4]):
                hostile.send(ip(hostile.address[4], target, UDP, inner, options=option))
            hostile.settle(4)
            assert not [p for p in frames_of(sniffer) if b"routed" in p.bytes], name
        assert made.dropped("packet_options") == 3
    finally:
        for device in ("all", "default"):
            made.host.sysctl(f"net.ipv4.conf.{device}.accept_source_route", 0)
        made.close()


def test_broken_options_are_refused(workshop):
    made = Border(workshop, "auto")
    hostile, _ = made.enter()
    inner = udp(hostile.address[4], 1000, INTERNET[4], 53, b"options")[20:]
    for options in (b"\x07\x00\0\0", b"\x07\x01\0\0", b"\x07\x05\0\0", b"\1\1\1\x44"):
        hostile.send(ip(hostile.address[4], INTERNET[4], UDP, inner, options=options))
    hostile.settle(4)
    assert made.dropped("packet_options") == 4
    # What is in order passes: router alert, a timestamp.
    with made.topology.internet.datagram(4, INTERNET[4], 53) as server:
        hostile.send(ip(hostile.address[4], INTERNET[4], UDP, inner, options=b"\x94\4\0\0"))
        assert server.recv(100) == b"options"
    made.close()


# ---- clients of an enclave that has not come

@pytest.mark.parametrize("pool", ["masqueraded", "routed"])
def test_client_of_an_absent_enclave_is_told(workshop, firewall, version, pool):
    """Neither its packets nor what they carry go anywhere; it learns that nobody is there."""
    arguments = ["--routed4", "--routed6"] if pool == "routed" else []
    made = Border(workshop, firewall, arguments)
    topology = made.topology
    with made.host.sniffer("eth0") as sniffer:
        with pytest.raises((ConnectionRefusedError, ConnectionResetError, OSError)) as caught:
            topology.internet.connect(version, PARENT[version], 8080, patience=10)
        assert not isinstance(caught.value, TimeoutError)
        with topology.internet.datagram(version) as client:
            client.connect((PARENT[version], 5300))
            client.send(b"secret")
            with pytest.raises(OSError) as caught:
                client.recv(100)
            assert not isinstance(caught.value, TimeoutError)
        leaked = [p for p in frames_of(sniffer)
                  if p.destination.startswith(("100.127.", "fdc5:7e1a"))]
        assert not leaked, [(p.source, p.destination) for p in leaked]


def test_local_client_of_an_absent_enclave(workshop, firewall, version):
    made = Border(workshop, firewall)
    with made.host.sniffer("eth0") as sniffer:
        with pytest.raises(OSError) as caught:
            made.host.connect(version, PARENT[version], 8080, patience=5)
        with made.host.datagram(version) as client:
            try:
                client.sendto(b"secret", (PARENT[version], 5300))
            except OSError:
                pass
        assert not [p for p in frames_of(sniffer)
                    if p.destination.startswith(("100.127.", "fdc5:7e1a"))]
    assert caught.value is not None


def test_pool_is_no_way_out_for_an_enclave(workshop, firewall, version):
    """An address of the pool that nobody has: refused here, not sent to the uplink."""
    made = Border(workshop, firewall, allow=("100.127.0.0/16", "fdc5:7e1a:9b40::/64"))
    hostile, _ = made.enter()
    target = {4: "100.127.77.77", 6: "fdc5:7e1a:9b40::77:77"}[version]
    with made.host.sniffer("eth0") as sniffer:
        hostile.send(udp(hostile.address[version], 1000, target, 53),
                     tcp(hostile.address[version], 1000, target, 53))
        hostile.settle(version)
        assert not [p for p in frames_of(sniffer) if p.protocol in (TCP, UDP)]
    made.close()


# ---- addresses that no enclave is to reach

CLOSED = {
    4: ("168.63.129.16", "100.100.100.200", "192.0.0.192", "169.254.170.2"),
    6: ("fec0::1", "::ffff:0:a00:1", "2001:0:a00:1::1", "fd00:ec2::253", "fd00:ec2::23",
        "fd20:ce::254", "fd00:42::42", "64:ff9b::a83f:8110", "2002:a83f:8110::1", "5f00::1"),
}


@pytest.mark.parametrize("version,target", [(v, t) for v in (4, 6) for t in CLOSED[v]])
def test_closed_addresses(workshop, version, target):
    """By the daemon, without any rule; a larger network that is allowed does not open them."""
    made = Border(workshop, "auto", allow=("0.0.0.0/0", "::/0"))
    hostile, _ = made.enter()
    before = made.dropped("policy_destination")
    with made.host.sniffer("eth0") as sniffer:
        hostile.send(udp(hostile.address[version], 1000, target, 53, b"closed"))
        hostile.settle(version)
        assert not [p for p in frames_of(sniffer) if b"closed" in p.bytes]
    assert made.dropped("policy_destination") == before + 1
    made.close()
