# SPDX-License-Identifier: Apache-2.0
"""Life and death of the daemons: any start order, kill -9 in mid-transfer, a clean exit, changes of
the uplink while running."""
import contextlib

import pytest
from netns import differences, queues_are_empty, snapshot, wait_for
from topology import INTERNET, LENGTH, PARENT, ROUTER_IN
from traffic import (MEGABYTE, Background, Path, SlowSender, next_port, progress, receive_all,
                     transfer)

pytestmark = pytest.mark.daemons


def look(tunnel):
    places = [tunnel.topology.parent] + [enclave.namespace for enclave in tunnel.enclaves]
    for place in places:
        wait_for(lambda p=place: queues_are_empty(p), f"the queues of {place.name} to be empty")
    return {place.name: snapshot(place) for place in places}


def changes(before, after):
    return [f"{name}: {line}" for name in before
            for line in differences(before[name], after[name])]


def looks_as(before, tunnel):
    """Waits until everything is as in a snapshot: the kernel closes the sockets of a ring only some
    time after the process has ended."""
    left = ["not looked yet"]

    def same():
        left[:] = changes(before, look(tunnel))
        return not left

    with contextlib.suppress(AssertionError):
        wait_for(same, "the old state", patience=10)
    assert left == []
    return True


@pytest.mark.parametrize("victim", ["enclave", "parent"])
@pytest.mark.parametrize("form", ["nfqueue-1", "nfqueue-4", "packet-1", "packet-4"])
def test_kill_in_midtransfer(workshop, victim, form):
    """The same TCP connections go on after a restart, and everything looks as it did before."""
    capture, lanes = form.split("-")
    tunnel = workshop.tunnel(capture=capture, lanes=int(lanes))
    before = look(tunnel)
    pairs = [Path(tunnel, direction, version).pair()
             for direction in ("out", "in") for version in (4, 6)]
    senders, receivers = [], []
    for client, server in pairs:
        client.settimeout(90)
        server.settimeout(90)
        for source, sink in ((client, server), (server, client)):
            senders.append(SlowSender(source))
            receivers.append(Background(receive_all, sink))
    for sender in senders:
        progress(sender)
    daemon = tunnel.parent if victim == "parent" else tunnel.enclave.daemon
    for _ in range(2):
        daemon.kill()
        daemon.start()
        for sender in senders:
            progress(sender)
    sent = [sender.finish() for sender in senders]
    assert [receiver.result() for receiver in receivers] == sent
    assert tunnel.alive()
    for client, server in pairs:
        client.close()
        server.close()
    assert looks_as(before, tunnel)


@pytest.mark.parametrize("victim", ["enclave", "parent", "both"])
def test_kill_and_clean_exit(topology, workshop, victim):
    """What a killed daemon left behind, its next life removes: after SIGTERM nothing is there."""
    tunnel = workshop.tunnel(start=False)
    before = look(tunnel)
    tunnel.start()
    tunnel.wait_ready()
    victims = {"enclave": [tunnel.enclave.daemon], "parent": [tunnel.parent],
               "both": [tunnel.enclave.daemon, tunnel.parent]}[victim]
    for daemon in victims:
        daemon.kill()
    for daemon in victims:
        daemon.start()
    tunnel.wait_ready()
    assert set(tunnel.stop().values()) == {0}
    assert looks_as(before, tunnel)


@pytest.mark.parametrize("backend", ["auto", "iptables", "iptables-legacy", "nft"])
@pytest.mark.parametrize("capture", ["nfqueue", "packet"])
def test_clean_exit(workshop, capture, backend):
    """SIGTERM leaves both namespaces exactly as they were."""
    enclave = [] if backend == "nft" else ["--firewall", backend]
    tunnel = workshop.tunnel(capture=capture, lanes=2, start=False,
                             parent_arguments=["--firewall", backend], enclave_arguments=enclave)
    before = look(tunnel)
    tunnel.start()
    tunnel.wait_ready()
    for direction in ("out", "in"):
        for version in (4, 6):
            client, server = Path(tunnel, direction, version).pair()
            with client, server:
                transfer(client, server, MEGABYTE)
    assert changes(before, look(tunnel)) != [], "a tunnel can be seen"
    assert set(tunnel.stop().values()) == {0}, tunnel.logs()
    assert looks_as(before, tunnel)


def test_clean_exit_keeps_what_others_made(topology, workshop):
    """Rules and addresses that were there before, or came meanwhile, stay."""
    parent = topology.parent
    parent.sysctl("net.ipv4.ip_forward", 1)
    parent.run("iptables -A FORWARD -s 192.0.2.0/24 -j ACCEPT")
    parent.run("iptables -t nat -A POSTROUTING -s 192.0.2.0/24 -j MASQUERADE")
    try:
        tunnel = workshop.tunnel(start=False)
        before = look(tunnel)
        tunnel.start()
        tunnel.wait_ready()
        parent.run("iptables -A FORWARD -s 192.0.2.128/25 -j DROP")
        tunnel.stop()
        parent.run("iptables -D FORWARD -s 192.0.2.128/25 -j DROP")
        assert looks_as(before, tunnel)
        assert parent.sysctl("net.ipv4.ip_forward") == "1"
    finally:
        parent.run("iptables -D FORWARD -s 192.0.2.0/24 -j ACCEPT")
        parent.run("iptables -t nat -D POSTROUTING -s 192.0.2.0/24 -j MASQUERADE")
        parent.sysctl("net.ipv4.ip_forward", 0)


@pytest.mark.parametrize("first", ["parent", "enclave"])
def test_start_order(workshop, first):
    """Whichever comes first waits for the other."""
    tunnel = workshop.tunnel(start=False)
    order = [tunnel.parent, tunnel.enclave.daemon]
    if first == "enclave":
        order.reverse()
    order[0].start()
    wait_for(lambda: order[0].log() != "", "a first word")
    if first == "enclave":
        wait_for(lambda: "trying again" in order[0].log(), "the enclave to find nobody")
    order[1].start()
    tunnel.wait_ready()


def test_parent_restarts_in_order(workshop):
    """After a clean exit of the parent and a new start the enclave is back by itself."""
    tunnel = workshop.tunnel()
    address = tunnel.enclave.address(4)
    tunnel.parent.stop()
    tunnel.parent.start()
    tunnel.wait_ready()
    assert tunnel.enclave.address(4) == address
    client, server = Path(tunnel, "in", 4).pair()
    with client, server:
        transfer(client, server, MEGABYTE)


def test_enclave_restarts_in_order(workshop):
    tunnel = workshop.tunnel()
    address = tunnel.enclave.address(6)
    tunnel.enclave.daemon.stop()
    tunnel.enclave.daemon.start()
    tunnel.wait_ready()
    assert tunnel.enclave.address(6) == address


def test_many_restarts(workshop):
    """Twenty kills one upon the other, of either side in turn."""
    tunnel = workshop.tunnel(lanes=4, capture="packet")
    before = look(tunnel)
    for number in range(20):
        daemon = tunnel.parent if number % 2 else tunnel.enclave.daemon
        daemon.kill()
        daemon.start()
    tunnel.wait_ready()
    assert looks_as(before, tunnel)


@contextlib.contextmanager
def uplink_addresses(topology, version, old, new):
    """Gives the parent's uplink another address instead of its own, for a while."""
    parent = topology.parent
    nodad = " nodad" if version == 6 else ""
    length = LENGTH[version]

    def default_route():
        if not parent.ip_json(f"-{version} route show default"):
            parent.ip(f"-{version} route add default via {ROUTER_IN[version]}")

    def move(gone, come):
        parent.ip(f"addr del {gone}/{length} dev eth0")
        parent.ip(f"addr add {come}/{length} dev eth0{nodad}")
        default_route()

    move(old, new)
    try:
        yield
    finally:
        move(new, old)


def test_uplink_address_change(workshop, version):
    """New connections leave from the new address, and published ports answer there."""
    tunnel = workshop.tunnel()
    topology = tunnel.topology
    new = {4: "198.51.100.77", 6: "2001:db8:51::77"}[version]
    client, server = Path(tunnel, "out", version).pair()
    with client, server:
        assert server.getpeername()[0] == PARENT[version]
    with uplink_addresses(topology, version, PARENT[version], new):
        client, server = Path(tunnel, "out", version).pair()
        with client, server:
            assert server.getpeername()[0] == new
            transfer(client, server, MEGABYTE)
        port = next_port()
        with tunnel.enclave.namespace.listen(version, port) as listener, \
                topology.internet.connect(version, new, port):
            stream, peer = listener.accept()
            assert peer[0] == INTERNET[version]
            stream.close()
        # The new address is the parent's own now, and closed like the old one.
        with pytest.raises(OSError):
            with topology.parent.listen(version, 6999, new):
                tunnel.enclave.namespace.connect(version, new, 6999, patience=1)


def mtu_of(namespace, device):
    return namespace.links()[device]["mtu"]


@pytest.mark.parametrize("upper", [None, 1400], ids=["free", "bounded"])
def test_uplink_mtu_change(workshop, upper):
    """cw0 follows the uplink's MTU, within the enclave's own bound; connections live on."""
    arguments = ["--mtu", str(upper)] if upper else []
    tunnel = workshop.tunnel(enclave_arguments=arguments)
    topology = tunnel.topology
    inside = tunnel.enclave.namespace
    client, server = Path(tunnel, "out", 4).pair()
    assert mtu_of(inside, "cw0") == min(1500, upper or 1500)
    try:
        with client, server:
            for mtu in (1300, 9000, 1280):
                topology.parent.ip(f"link set eth0 mtu {mtu}")
                topology.router.ip(f"link set in0 mtu {mtu}")
                expected = min(mtu, upper or mtu)
                wait_for(lambda want=expected: mtu_of(inside, "cw0") == want,
                         f"cw0 to have MTU {expected}")
                client.sendall(b"x" * 100000)
                got = 0
                while got < 100000:
                    got += len(server.recv(100000))
                tunnel.wait_ready()
    finally:
        topology.parent.ip("link set eth0 mtu 1500")
        topology.router.ip("link set in0 mtu 1500")


def test_bounded_mtu_and_large_datagrams(workshop, version):
    """The enclave's own --mtu bound is smaller than what the parent believes: whatever size comes
    from outside still arrives, in pieces or not at all through an ICMP error, never in silence."""
    tunnel = workshop.tunnel(enclave_arguments=["--mtu", "1280"])
    path = Path(tunnel, "in", version)
    with path.datagram_server() as server, path.datagram_client() as client:
        server.settimeout(1)
        data = b"z" * 1400

        def arrives():
            with contextlib.suppress(OSError):
                client.send(data)
                return server.recv(65535) == data
            return False

        wait_for(arrives, "a datagram of 1400 bytes through a tunnel of 1280")


def test_pinned_addresses(workshop):
    """--address in the enclave wins; the parent must agree or the tunnel has no traffic."""
    tunnel = workshop.tunnel(enclave_arguments=["--address", "100.127.0.2"])
    assert tunnel.enclave.address(4) == "100.127.0.2"


def test_pinned_address_that_the_parent_does_not_give(workshop):
    tunnel = workshop.tunnel(start=False, enclave_arguments=["--address", "100.127.0.99"])
    tunnel.start()
    wait_for(lambda: "100.127.0.99" in tunnel.enclave.daemon.log(), "a sentence about the address")
    assert tunnel.alive()


def test_small_pool(workshop):
    """Another pool by --pool and --pool6."""
    tunnel = workshop.tunnel(parent_arguments=["--pool", "100.64.7.0/24", "--pool6",
                                               "fd12:3456:789a::/64"])
    assert tunnel.enclave.address(4) == "100.64.7.2"
    assert tunnel.enclave.address(6).startswith("fd12:3456:789a::")


def test_without_ipv6(workshop):
    tunnel = workshop.tunnel(start=False, parent_arguments=["--pool6", "none"],
                             publish=("7000-7099:7000-7099/tcp",))
    tunnel.start()
    tunnel.wait_ready(versions=(4,))
    assert tunnel.enclave.namespace.addresses("cw0", 6) == []


def test_routed_prefix(workshop):
    """--routed4 --routed6: no masquerade; the internet sees the enclave's own address."""
    tunnel = workshop.tunnel(start=False, publish=(),
                             enclave_arguments=["--address", "2001:db8:77::/64"],
                             parent_arguments=["--routed4", "--routed6", "--pool",
                                               "198.18.7.0/24", "--pool6", "2001:db8:77::/64"])
    routes = {4: "198.18.7.0/24", 6: "2001:db8:77::/64"}
    router = tunnel.topology.router
    for version, prefix in routes.items():
        router.ip(f"-{version} route add {prefix} via {PARENT[version]}")
    try:
        tunnel.start()
        tunnel.wait_ready()
        for version in (4, 6):
            client, server = Path(tunnel, "out", version).pair()
            with client, server:
                assert server.getpeername()[0] == tunnel.enclave.address(version)
                transfer(client, server, MEGABYTE)
    finally:
        for version, prefix in routes.items():
            router.ip(f"-{version} route del {prefix}")
