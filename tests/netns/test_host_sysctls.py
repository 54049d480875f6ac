# SPDX-License-Identifier: Apache-2.0
"""Kernel settings of a host that others administer too: router advertisements, IPv6 switched off,
hardening guides, Docker, managers of sysctls, containers with a read-only /proc/sys."""
import socket
import struct

import pytest
from host_world import Host, connects, new_connections, run_check, talks, wait_pings, warnings
from netns import wait_for
from topology import INTERNET, PARENT

pytestmark = pytest.mark.daemons

FORWARD4 = "net.ipv4.ip_forward"
FORWARD6 = "net.ipv6.conf.all.forwarding"
# A mount of the daemon's own over /proc/sys, as container engines make it.
READ_ONLY = ["sh", "-c", "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && "
             'exec "$@"', "-"]


# ---- router advertisements

def advertise(host):
    """One router advertisement to all nodes, as EC2's routers send them."""
    link = host.router.links()["in0"]
    mac = bytes.fromhex(link["address"].replace(":", ""))
    body = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + bytes([1, 1]) + mac
    with host.router.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as raw:
        raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        raw.sendto(body, ("ff02::1", 0, 0, link["ifindex"]))


def has_default(host):
    return "default" in host.parent.ip("-6 route show default")


def advertised_default(host):
    host.parent.ip("-6 route del default")
    host.parent.sysctl("net.ipv6.conf.eth0.accept_ra", 1)
    wait_for(lambda: advertise(host) or has_default(host), "the advertised route")
    assert "proto ra" in host.parent.ip("-6 route show default")


def test_an_advertised_default_route_survives_the_start(host: Host):
    """forwarding=1 purges routes from advertisements of interfaces whose accept_ra is not 2."""
    advertised_default(host)
    tunnel = host.tunnel(start=False)
    tunnel.start()
    tunnel.wait_ready()
    assert has_default(host)
    assert host.parent.sysctl("net.ipv6.conf.eth0.accept_ra") == "2"
    new_connections(host, tunnel, 6)
    host.parent.ip("-6 route del default")
    wait_for(lambda: advertise(host) or has_default(host), "a later advertisement")
    assert set(tunnel.stop().values()) == {0}
    assert has_default(host), "nor does the end purge it"
    assert host.parent.sysctl("net.ipv6.conf.eth0.accept_ra") == "1"
    wait_for(lambda: advertise(host) or has_default(host), "the advertised route")


def test_an_advertised_default_route_comes_after_the_start(host: Host):
    """The machine boots, the daemon is up before the first advertisement."""
    host.parent.ip("-6 route del default")
    host.parent.sysctl("net.ipv6.conf.eth0.accept_ra", 1)
    tunnel = host.tunnel(start=False)
    tunnel.start()
    tunnel.wait_ready(versions=(4,))
    wait_for(lambda: advertise(host) or has_default(host), "the advertised route")
    wait_pings(tunnel, 6)
    new_connections(host, tunnel, 6)


def test_a_card_that_comes_later_accepts_advertisements(host: Host):
    """A new interface copies conf/default."""
    tunnel = host.tunnel()
    host.parent.ip("link add late7 type bridge")
    assert host.parent.sysctl("net.ipv6.conf.late7.accept_ra") == "2"
    tunnel.stop()
    assert host.parent.sysctl("net.ipv6.conf.default.accept_ra") == "1"
    host.parent.ip("link del late7")


def test_who_wants_no_advertisements_gets_none(host: Host):
    host.parent.sysctl("net.ipv6.conf.eth0.accept_ra", 0)
    host.parent.sysctl("net.ipv6.conf.default.accept_ra", 0)
    host.tunnel()
    assert host.parent.sysctl("net.ipv6.conf.eth0.accept_ra") == "0"
    assert host.parent.sysctl("net.ipv6.conf.default.accept_ra") == "0"


# ---- IPv6 off

@pytest.mark.parametrize("firewall", ["iptables", "nft"])
@pytest.mark.parametrize("side", ["parent", "enclave"])
def test_ipv6_switched_off_leaves_ipv4(host: Host, side, firewall):
    """One warning, and IPv4 goes on; IPv6 comes when it is switched on again."""
    host.side(side).sysctl("net.ipv6.conf.all.disable_ipv6", 1)
    tunnel = host.tunnel(start=False, parent_arguments=["--firewall", firewall])
    tunnel.start()
    tunnel.wait_ready(versions=(4,))
    assert connects(host.enclave, host.internet, 4, INTERNET[4], 6001)
    assert connects(host.internet, host.enclave, 4, PARENT[4], 7098)
    daemon = tunnel.parent if side == "parent" else tunnel.enclave.daemon
    found = [line for line in warnings(daemon, "IPv6") if "disable_ipv6" in line]
    assert len(found) == 1, daemon.log()
    with talks(tunnel, versions=(4,)) as open_talks:
        host.side(side).sysctl("net.ipv6.conf.all.disable_ipv6", 0)
        if side == "parent":  # its own came and went with the switch
            host.parent.ip(f"-6 addr replace {PARENT[6]}/64 dev eth0 nodad")
            host.parent.ip("-6 route replace default via 2001:db8:51::1")
        wait_pings(tunnel, 6)
        for talk in open_talks:
            assert talk.goes_on()
    new_connections(host, tunnel, 6)
    assert set(tunnel.stop().values()) == {0}


@pytest.mark.parametrize("side", ["parent", "enclave"])
def test_ipv6_off_by_default_only(host: Host, side):
    """conf.default.disable_ipv6=1 is for interfaces that nobody configures: ours are configured."""
    host.side(side).sysctl("net.ipv6.conf.default.disable_ipv6", 1)
    tunnel = host.tunnel()
    for version in (4, 6):
        new_connections(host, tunnel, version)
    assert host.side(side).sysctl("net.ipv6.conf.default.disable_ipv6") == "1"


@pytest.mark.parametrize("side", ["parent", "enclave"])
def test_ipv6_is_switched_off_while_running(host: Host, side):
    """The administrator's word: IPv4 connections go on, nobody fights for IPv6."""
    tunnel = host.tunnel()
    with talks(tunnel, versions=(4,)) as open_talks:
        host.side(side).sysctl("net.ipv6.conf.all.disable_ipv6", 1)
        daemon = tunnel.parent if side == "parent" else tunnel.enclave.daemon
        wait_for(lambda: warnings(daemon, "disable_ipv6"), "a word about it")
        for talk in open_talks:
            assert talk.goes_on()
    assert host.side(side).sysctl("net.ipv6.conf.all.disable_ipv6") == "1"
    assert len(warnings(daemon, "disable_ipv6")) == 1


def test_check_names_ipv6_that_is_off(host: Host):
    host.parent.sysctl("net.ipv6.conf.all.disable_ipv6", 1)
    status, text = run_check(host.parent, "causeway-parent", "--enclave", "unix:/tmp/none")
    assert status == 0
    assert "disable_ipv6" in text


# ---- forwarding

@pytest.mark.parametrize("firewall", ["iptables", "nft"])
def test_forwarding_off_by_default(host: Host, firewall):
    """CIS: ip_forward=1 for Docker, conf.default.forwarding=0."""
    host.parent.sysctl(FORWARD4, 1)
    host.parent.sysctl("net.ipv4.conf.default.forwarding", 0)
    host.parent.sysctl(FORWARD6, 1)
    host.parent.sysctl("net.ipv6.conf.default.forwarding", 0)
    tunnel = host.tunnel(parent_arguments=["--firewall", firewall])
    for version in (4, 6):
        new_connections(host, tunnel, version)
    assert host.parent.sysctl("net.ipv4.conf.default.forwarding") == "0"


def test_ipv4_needs_no_global_switch(host: Host):
    """Docker would take ip_forward=1 for somebody else's decision, and not close FORWARD."""
    tunnel = host.tunnel()
    new_connections(host, tunnel, 4)
    assert host.parent.sysctl(FORWARD4) == "0"
    assert host.parent.sysctl("net.ipv4.conf.default.forwarding") == "0"
    tunnel.stop()
    assert host.parent.sysctl("net.ipv4.conf.eth0.forwarding") == "0"


def docker_comes(host):
    """What dockerd does to a host at its start."""
    host.parent.ip("link add docker0 type bridge")
    host.parent.ip("addr add 172.17.0.1/16 dev docker0")
    host.parent.ip("-6 addr add fd00:d::1/64 dev docker0 nodad")
    host.parent.ip("link set docker0 up")
    host.parent.sysctl(FORWARD4, 1)
    host.parent.sysctl(FORWARD6, 1)


def test_stopping_leaves_forwarding_to_docker(host: Host):
    """It came while we ran, and found IPv6 forwarding switched on: by us."""
    tunnel = host.tunnel()
    docker_comes(host)
    assert set(tunnel.stop().values()) == {0}
    assert host.parent.sysctl(FORWARD4) == "1"
    assert host.parent.sysctl(FORWARD6) == "1"
    for name in ("eth0", "docker0"):
        assert host.parent.sysctl(f"net.ipv4.conf.{name}.forwarding") == "1"


def test_forwarding_is_taken_away(host: Host):
    """`sysctl --system` with ip_forward=0 in a file: noticed, mended, said."""
    for name in (FORWARD4, FORWARD6):
        host.parent.sysctl(name, 1)
    tunnel = host.tunnel()
    with talks(tunnel) as open_talks:
        for name in (FORWARD4, FORWARD6):
            host.parent.sysctl(name, 0)
        for version in (4, 6):
            wait_pings(tunnel, version)
        for talk in open_talks:
            assert talk.goes_on()
    for version in (4, 6):
        new_connections(host, tunnel, version)
    assert host.parent.sysctl(FORWARD4) == "0", "the manager's word stands where it can"
    assert 1 <= len(warnings(tunnel.parent, "forwarding")) <= 2
    tunnel.stop()
    assert host.parent.sysctl(FORWARD4) == "0"
    assert host.parent.sysctl(FORWARD6) == "0", "what was set last by somebody else"


def test_a_card_that_comes_later_forwards(host: Host):
    """The uplink appears, or is renamed, after the start."""
    tunnel = host.tunnel()
    host.parent.ip("link set eth0 down")
    host.parent.ip("link set eth0 name uplink7")
    host.parent.ip("link set uplink7 up")
    host.parent.ip("-6 addr replace 2001:db8:51::2/64 dev uplink7 nodad")
    for version, via in ((4, "198.51.100.1"), (6, "2001:db8:51::1")):
        host.parent.ip(f"-{version} route replace default via {via}")
    for version in (4, 6):
        wait_pings(tunnel, version)
        new_connections(host, tunnel, version)


# ---- /proc/sys read-only

class ReadOnly:
    """A tunnel whose parent sees /proc/sys read-only."""

    def __init__(self, host, **options):
        self.tunnel = host.tunnel(start=False, **options)
        self.tunnel.parent.command = [*READ_ONLY, *self.tunnel.parent.command]
        self.tunnel.start()


def test_read_only_settings_that_are_right(host: Host):
    for name in (FORWARD4, FORWARD6):
        host.parent.sysctl(name, 1)
    for name in ("all", "default", "eth0"):
        host.parent.sysctl(f"net.ipv6.conf.{name}.accept_ra", 2)
    made = ReadOnly(host)
    made.tunnel.wait_ready()
    for version in (4, 6):
        new_connections(host, made.tunnel, version)


def test_read_only_settings_that_are_wrong(host: Host):
    """The sentence names the setting and its value."""
    made = ReadOnly(host)
    daemon = made.tunnel.parent
    wait_for(lambda: not daemon.alive(), "the end of the daemon")
    assert daemon.process.returncode not in (0, None)
    assert "net.ipv4.conf" in daemon.log() or "net/ipv4" in daemon.log()
    assert "forward" in daemon.log() and "= 0" in daemon.log()
    assert "Read-only file system" in daemon.log()
    status, text = run_check(host.parent, "causeway-parent", "--enclave", "unix:/tmp/none",
                             wrapper=READ_ONLY)
    assert status != 0 and "forward" in text, text
