# SPDX-License-Identifier: Apache-2.0
"""causeway and Docker in one enclave: neither touches what is the other's, in either order of start;
and what makes the enclave's network special, its MTU and its parent, holds for containers."""
import errno
import socket

import pytest
from dockerd import BRIDGE_GATEWAY, Docker
from hostile import ipv4, ipv6, udp
from netns import differences, snapshot, wait_for
from topology import INTERNET
from traffic import MEGABYTE, Path, transfer

SAVES = ("iptables-save", "ip6tables-save", "iptables-legacy-save", "ip6tables-legacy-save")
DISCOVER = {4: (socket.IPPROTO_IP, 10), 6: (socket.IPPROTO_IPV6, 23)}
PATH_MTU = {4: (socket.IPPROTO_IP, 14), 6: (socket.IPPROTO_IPV6, 24)}
PMTUDISC_DO = 2


@pytest.fixture
def box(docker):
    made = docker.box("box", publish=["7000-7002:7000-7002/tcp", "7000-7002:7000-7002/udp"])
    yield made
    made.remove()


def others(state):
    """The rules that are not causeway's."""
    return [(tool, line) for tool in SAVES for line in state[tool] if "CAUSEWAY" not in line]


def ours(namespace):
    return [line for tool in SAVES for line in namespace.run([tool]).splitlines()
            if "CAUSEWAY" in line and not line.startswith(":")]


def works(tunnel, box):
    for direction in ("out", "in"):
        for version in (4, 6):
            client, server = Path(tunnel, direction, version, inside=box, port=7000).pair()
            with client, server:
                transfer(client, server, MEGABYTE)


@pytest.mark.daemons
def test_dockers_rules_stay(workshop, form, docker, box):
    """Docker's rules are the same, in the same order, before causeway, with it, and after it; and
    so is everything else when it has gone."""
    inside = workshop.topology.enclave
    wait_for(lambda: "tentative" not in inside.ip("-6 addr show"), "the bridge to settle")
    before = snapshot(inside)
    assert any("DOCKER" in line for _, line in others(before))
    tunnel = workshop.tunnel(**form.tunnel_options())
    works(tunnel, box)
    assert others(snapshot(inside)) == others(before)
    assert set(tunnel.stop().values()) == {0}, tunnel.logs()
    left = []

    def same():
        left[:] = differences(before, snapshot(inside))
        return not left

    try:
        wait_for(same, "the old state", patience=10)
    finally:
        assert left == []


@pytest.mark.daemons
def test_causeways_rules_stay(workshop, form, docker):
    """A dockerd that stops, starts and restores leaves causeway's rules alone."""
    tunnel = workshop.tunnel(**form.tunnel_options())
    before = ours(tunnel.enclave.namespace)
    assert bool(before) == (form.capture == "nfqueue")
    for end in (docker.stop, docker.kill):
        end()
        docker.start()
        assert ours(tunnel.enclave.namespace) == before
        made = docker.box("passing", publish=["7000:7000/tcp"])
        works(tunnel, made)
        made.remove()
    assert ours(tunnel.enclave.namespace) == before


def test_tunnel_first(workshop, form):
    """dockerd comes into an enclave that is connected already (here: the second enclave's place,
    which no dockerd has seen)."""
    tunnel = workshop.tunnel(**form.tunnel_options(enclaves=2, publish=()))
    inside = tunnel.enclaves[1].namespace
    docker = Docker(inside, form.backend)
    try:
        box = docker.box("second")
        for version in (4, 6):
            client, server = Path(tunnel, "out", version, inside=box).pair()
            with client, server:
                transfer(client, server, MEGABYTE)
                transfer(server, client, MEGABYTE)
    finally:
        docker.close()


# ---- MTU


@pytest.mark.daemons
def test_narrow_tunnel(workshop, form, box, version):
    """cw0 is narrower than Docker's bridge: the enclave's kernel tells the container's."""
    options = form.tunnel_options(enclave_arguments=[*form.arguments, "--mtu", "1350"])
    tunnel = workshop.tunnel(**options)
    assert tunnel.enclave.namespace.links()["cw0"]["mtu"] == 1350
    for direction in ("out", "in"):
        client, server = Path(tunnel, direction, version, inside=box, port=7001).pair()
        with client, server:
            transfer(client, server, 4 * MEGABYTE)
            transfer(server, client, 4 * MEGABYTE)
    outward = Path(tunnel, "out", version, inside=box)
    with outward.datagram_server(), outward.datagram_client() as client:
        client.setsockopt(*DISCOVER[version], PMTUDISC_DO)
        wait_for(lambda: refused(client, 1400), "EMSGSIZE")
        assert client.getsockopt(*PATH_MTU[version]) == 1350


def refused(client, size):
    try:
        client.send(b"x" * size)
    except OSError as problem:
        return problem.errno == errno.EMSGSIZE
    return False


@pytest.fixture
def jumbo_path(topology):
    """9000 all the way, as between instances of one VPC."""
    ends = ((topology.parent, "eth0"), (topology.router, "in0"), (topology.router, "out0"),
            (topology.internet, "eth0"))
    for namespace, device in ends:
        namespace.ip(f"link set {device} mtu 9000")
    yield
    for namespace, device in ends:
        namespace.ip(f"link set {device} mtu 1500")


@pytest.mark.parametrize("bridge", [1500, 9000])
def test_jumbo_path(workshop, form, docker, jumbo_path, version, bridge):
    """cw0 has the uplink's 9000; a bridge of Docker's 1500 default and one of 9000 both work."""
    tunnel = workshop.tunnel(**form.tunnel_options())
    network = docker.network(f"mtu{bridge}", "--opt", f"com.docker.network.driver.mtu={bridge}",
                             version6=f"fd00:d0c:1:{bridge}::/64")
    box = docker.box("jumbo", "--network", network, publish=["7000:7000/tcp"])
    try:
        for direction in ("out", "in"):
            client, server = Path(tunnel, direction, version, inside=box, port=7000).pair()
            with client, server:
                transfer(client, server, 4 * MEGABYTE)
                transfer(server, client, 4 * MEGABYTE)
        path = Path(tunnel, "out", version, inside=box)
        with path.datagram_server() as server, path.datagram_client() as client:
            client.setsockopt(*DISCOVER[version], PMTUDISC_DO)
            assert refused(client, 8000) == (bridge == 1500)
            client.setsockopt(*DISCOVER[version], 0)
            client.send(b"y" * 20000)
            wait_for(lambda: server.recv(65535) == b"y" * 20000, "the datagram")
    finally:
        box.remove()
        docker.docker("network", "rm", network)


# ---- a parent that lies


@pytest.mark.daemons
def test_containers_are_not_impersonated(workshop, form, box, version):
    """What comes from the parent in a container's name, or its network's, is dropped and counted:
    --inside. The same packet from an address of the internet's arrives."""
    tunnel = workshop.tunnel(**form.tunnel_options())
    daemon = tunnel.enclave.daemon
    before = daemon.total("drop_.*source")
    inside = tunnel.enclave.namespace
    with inside.sniffer("cw0") as sniffer:
        for source, text in ((box.address(version), b"as the container"),
                             (BRIDGE_GATEWAY[version], b"as the bridge"),
                             (INTERNET[version], b"as the internet")):
            send_from_parent(tunnel, version, source, text)
        seen = b""
        while b"as the internet" not in seen:
            seen = sniffer.recv(65535)
            assert b"as the container" not in seen and b"as the bridge" not in seen
    assert daemon.total("drop_.*source") == before + 2


def send_from_parent(tunnel, version, source, text):
    """One datagram for the enclave straight into cwin2, with whatever source address."""
    parent, target = tunnel.topology.parent, tunnel.enclave.address(version)
    device = f"cwin{tunnel.enclave.slot}"
    build, ether_type = {4: (ipv4, 0x0800), 6: (ipv6, 0x86dd)}[version]
    hardware, = {entry["lladdr"] for entry in parent.ip_json(f"-{version} neigh show dev {device}")
                 if entry["dst"] == target}
    with parent.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0) as raw:
        raw.sendto(build(source, target, udp(text)),
                   (device, ether_type, 0, 0, bytes.fromhex(hardware.replace(":", ""))))
