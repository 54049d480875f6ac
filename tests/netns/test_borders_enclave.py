# SPDX-License-Identifier: Apache-2.0
"""A hostile parent: it may withhold the network, and reaches nothing inside the enclave."""
import os
import socket

import pytest
from borders import (TOO_BIG, HostileParent, config, echo, error, fragments, icmp, packed, udp)
from netns import wait_for
from topology import INTERNET

pytestmark = pytest.mark.daemons
OWN = {4: "100.127.0.2", 6: "fdc5:7e1a:9b40::2"}
LOOPBACK = {4: "127.0.0.1", 6: "::1"}
# As Docker makes it: a bridge with an address, containers behind it.
BRIDGE = {4: "172.30.0.1", 6: "fd00:d0c::1"}
CONTAINER = {4: "172.30.0.2", 6: "fd00:d0c::2"}
BRIDGE_LENGTH = {4: 16, 6: 64}
LATER = {4: "10.88.0.1", 6: "2001:db8:88::1"}
LATER_INSIDE = {4: "10.88.0.9", 6: "2001:db8:88::9"}
PORT, OTHER_PORT = 23000, 23001
MTU_OPTION = {4: (socket.IPPROTO_IP, 14), 6: (socket.IPPROTO_IPV6, 24)}
DISCOVER = {4: (socket.IPPROTO_IP, 10, 2), 6: (socket.IPPROTO_IPV6, 23, 2)}


def add_bridge(namespace, name, addresses):
    namespace.ip(f"link add {name} type bridge")
    namespace.ip(f"link set {name} up")
    for version, address in addresses.items():
        nodad = " nodad" if version == 6 else ""
        namespace.ip(f"addr add {address}/{BRIDGE_LENGTH[version]} dev {name}{nodad}")


@pytest.fixture
def inside(topology):
    """The enclave's namespace with a bridge of containers."""
    add_bridge(topology.enclave, "br0", BRIDGE)
    yield topology.enclave
    topology.enclave.ip("link del br0")


@pytest.fixture(params=["nfqueue", "packet"])
def lone(request, workshop, inside):
    """An enclave whose parent has not come: its place is free for a hostile one."""
    del inside
    tunnel = workshop.tunnel(start=False, capture=request.param)
    return tunnel, tunnel.enclave.link.removeprefix("unix:")


@pytest.fixture
def border(lone, inside):
    """A hostile parent that said an acceptable CONFIG."""
    tunnel, path = lone
    hostile = HostileParent(path)
    tunnel.enclave.daemon.start()
    try:
        for version in (4, 6):
            wait_for(lambda v=version: inside.addresses("cw0", v), "an address")
        wait_for(lambda: "ready" in tunnel.enclave.daemon.log(), "the enclave to be ready")
        for version in (4, 6):
            hostile.settle(INTERNET[version], OWN[version])
        yield tunnel, hostile
    finally:
        hostile.close()


def unharmed(conversation):
    conversation.setblocking(False)
    try:
        conversation.recv(100)
    except BlockingIOError:
        return True
    except ConnectionRefusedError:
        return False
    return True


def conversations(version):
    """(source, destination) of packets that never leave the enclave."""
    return {
        "loopback": (LOOPBACK[version], LOOPBACK[version]),
        "its own address": (OWN[version], OWN[version]),
        "a container": (BRIDGE[version], CONTAINER[version]),
        "a container by its outer address": (OWN[version], CONTAINER[version]),
        "loopback by its outer address": (OWN[version], LOOPBACK[version]),
    }


@pytest.mark.parametrize("form", ["plain", "fragments"])
@pytest.mark.parametrize("which", conversations(4))
def test_conversations_inside_are_not_reset(border, inside, version, which, form):
    tunnel, hostile = border
    source, destination = conversations(version)[which]
    if which.startswith("loopback by"):
        inside.sysctl("net.ipv4.conf.all.route_localnet", 1)
    dropped = tunnel.enclave.daemon.total("^drop_policy")
    # Another enclave's namespace would do for a container: nobody has to answer.
    with inside.datagram(version, destination if destination != CONTAINER[version] else
                         source, OTHER_PORT), \
            inside.datagram(version, source, PORT) as conversation:
        try:
            conversation.connect((destination, OTHER_PORT))
            conversation.send(b"question")
        except OSError:
            pytest.skip("the kernel has no such conversation")
        quoted = udp(source, PORT, destination, OTHER_PORT, b"question")
        forged = error(INTERNET[version], OWN[version], quoted)
        hostile.send(*([forged] if form == "plain" else fragments(forged, 8, 77)))
        hostile.settle(INTERNET[version], OWN[version])
        assert unharmed(conversation)
        assert tunnel.enclave.daemon.total("^drop_policy") > dropped, "counted"


@pytest.mark.parametrize("which", ["loopback", "a container"])
def test_path_mtu_inside_is_not_cut(border, inside, version, which):
    _, hostile = border
    source, destination = conversations(version)[which]
    with inside.datagram(version, source, PORT) as conversation:
        conversation.setsockopt(*DISCOVER[version])
        conversation.connect((destination, OTHER_PORT))
        before = conversation.getsockopt(*MTU_OPTION[version])
        conversation.send(b"question")
        quoted = udp(source, PORT, destination, OTHER_PORT, b"question")
        hostile.send(error(INTERNET[version], OWN[version], quoted, TOO_BIG,
                           {4: 576, 6: 1280}[version]))
        hostile.settle(INTERNET[version], OWN[version])
        try:
            conversation.send(b"question")
        except OSError:
            pass
        assert conversation.getsockopt(*MTU_OPTION[version]) == before


def test_errors_about_what_was_sent_arrive(border, inside, version):
    _, hostile = border
    with inside.datagram(version, port=PORT) as conversation:
        conversation.connect((INTERNET[version], OTHER_PORT))
        conversation.send(b"question")
        sent = wait_for(lambda: [p for p in hostile.packets if b"question" in p.bytes], "a packet")
        hostile.send(error(INTERNET[version], OWN[version], sent[0].bytes))
        wait_for(lambda: not unharmed(conversation), "connection refused")
        conversation.setsockopt(*DISCOVER[version])
        hostile.send(error(INTERNET[version], OWN[version], sent[0].bytes, TOO_BIG, 1300))
        wait_for(lambda: conversation.getsockopt(*MTU_OPTION[version]) == 1300, "a smaller MTU")


@pytest.mark.parametrize("kind", [133, 134, 135, 136, 137, 130, 143])
def test_neighbour_discovery_does_not_enter(border, inside, kind):
    """Also in the kernel's own form: hop limit 255, link-local source."""
    tunnel, hostile = border
    dropped = tunnel.enclave.daemon.total("^drop_policy")
    before = inside.ip_json("-6 route show")
    for source in ("fe80::1", "fdc5:7e1a:9b40::1"):
        packet = icmp(source, OWN[6], kind, rest=b"\x40\0\x07\x08",
                      data=packed("fdc5:7e1a:9b40::1") + packed(INTERNET[6]))
        hostile.send(packet[:7] + b"\xff" + packet[8:])
    hostile.settle(INTERNET[6], OWN[6])
    assert inside.ip_json("-6 route show") == before
    assert tunnel.enclave.daemon.total("^drop_policy") == dropped + 2


def test_lone_fragments_leave_the_enclave_its_own(border, inside, version):
    """The kernel's memory for reassembly is the containers', too."""
    _, hostile = border
    whole = udp(INTERNET[version], PORT, OWN[version], OTHER_PORT, b"x" * 4000)
    for number in range(6000):
        hostile.send(*fragments(whole, 1400, 0x10000 + number, only=1))
    hostile.settle(INTERNET[version], OWN[version])
    # Loopback with a small MTU stands for a bridge of containers.
    inside.ip("link set lo mtu 1400")
    try:
        inside.run(["ping", f"-{version}", "-c", "2", "-W", "5", "-s", "4000", LOOPBACK[version]])
    finally:
        inside.ip("link set lo mtu 65536")


# ---- addresses

BAD_ADDRESSES = {
    4: {"a container's": CONTAINER[4], "the bridge's": BRIDGE[4], "of no network": "0.1.2.3",
        "reserved": "240.1.1.1", "a public resolver's": "8.8.8.8", "metadata": "169.254.169.254",
        "of the wire server": "168.63.129.16", "of the container network": "172.30.255.1"},
    6: {"a container's": CONTAINER[6], "the bridge's": BRIDGE[6], "mapped": "::ffff:1.2.3.4",
        "a public resolver's": "2001:4860:4860::8888", "metadata": "fd00:ec2::254",
        "site-local": "fec0::2", "Teredo": "2001::1", "of the container network": "fd00:d0c::77"},
}


@pytest.mark.parametrize("what", ["address", "gateway"])
@pytest.mark.parametrize("version,name", [(v, n) for v in (4, 6) for n in BAD_ADDRESSES[v]])
def test_bad_addresses_are_refused(lone, inside, version, name, what):
    tunnel, path = lone
    daemon = tunnel.enclave.daemon
    hostile = HostileParent(path, config(**{f"{what}{version}": BAD_ADDRESSES[version][name]}))
    try:
        daemon.start()
        wait_for(lambda: hostile.dials > 1 or "ready" in daemon.log(), "an answer")
        assert "refused" in daemon.log() and "ready" not in daemon.log()
        assert not inside.addresses("cw0", version)
        for family in (4, 6):
            assert not [route for route in inside.ip_json(f"-{family} route show")
                        if route.get("dev") == "cw0"]
    finally:
        hostile.close()


def test_pinned_addresses_may_be_public(workshop, version):
    """The owner's word opens what is closed by default: one address, or a network."""
    public = {4: "203.0.113.77", 6: "2001:db8:113::77"}[version]
    gateway = {4: "203.0.113.1", 6: "2001:db8:113::1"}[version]
    network = {4: "203.0.113.0/24", 6: "2001:db8:113::/64"}[version]
    for pin in (public, network):
        tunnel = workshop.tunnel(start=False, enclave_arguments=["--address", pin])
        hostile = HostileParent(tunnel.enclave.link.removeprefix("unix:"),
                                config(**{f"address{version}": public,
                                          f"gateway{version}": gateway}))
        try:
            tunnel.enclave.daemon.start()
            wait_for(lambda t=tunnel: "ready" in t.enclave.daemon.log(), "the enclave")
            assert tunnel.topology.enclave.addresses("cw0", version) == [public]
        finally:
            hostile.close()
            tunnel.stop()


def test_sources_inside_are_dropped(border, inside, version):
    """Whatever lies in a network of the enclave's other devices; also when that comes later."""
    tunnel, hostile = border
    daemon = tunnel.enclave.daemon

    def passes(source):
        before = daemon.total("drop_policy_source")
        hostile.send(udp(source, PORT, OWN[version], OTHER_PORT))
        hostile.settle(INTERNET[version], OWN[version])
        return daemon.total("drop_policy_source") == before

    assert not passes(CONTAINER[version])
    assert not passes(BRIDGE[version])
    assert passes(LATER_INSIDE[version])
    add_bridge(inside, "br1", {version: LATER[version]})
    try:
        wait_for(lambda: not passes(LATER_INSIDE[version]), "the new network to be closed")
    finally:
        inside.ip("link del br1")
    wait_for(lambda: passes(LATER_INSIDE[version]), "the network to be like any other")
    assert hostile.dials == 1, "no lane had to end for that"


def test_resolvers_inside_are_not_taken(lone, inside, version):
    """A resolver that the parent names lies outside."""
    del inside
    tunnel, path = lone
    resolvers = f"{tunnel.directory}/resolvers{tunnel.enclave.slot}"
    good = {4: "203.0.113.53", 6: "2001:db8:113::53"}[version]
    entries = b"".join(bytes([version, 0, 0, 0]) + packed(address).ljust(16, b"\0")
                       for address in (CONTAINER[version], good))
    offer = config()
    offer = offer[:24 + 48] + b"\2" + b"\0" * 7 + entries + b"\0" * 40
    hostile = HostileParent(path, offer)
    try:
        tunnel.enclave.daemon.start()
        wait_for(lambda: os.path.exists(resolvers), "the file of resolvers")
        text = open(resolvers, encoding="utf-8").read()
        assert good in text and CONTAINER[version] not in text
    finally:
        hostile.close()


def test_containers_addresses_are_no_echo(border, inside, version):
    """The parent cannot ask a container for anything by its own address."""
    _, hostile = border
    for target in (CONTAINER[version], BRIDGE[version], LOOPBACK[version]):
        hostile.send(echo(INTERNET[version], target, 1))
    hostile.settle(INTERNET[version], OWN[version])
    assert all(p.source == OWN[version] for p in hostile.packets if p.version == version)
