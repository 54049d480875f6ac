# SPDX-License-Identifier: Apache-2.0
"""Somebody changes our devices: an administrator's hand, systemd-networkd, NetworkManager, an ifupdown
script. The daemons put things back, say once what they found, and open connections go on."""
import pytest
from host_world import Host, lines, new_connections, talks, wait_pings, warnings
from netns import differences, snapshot, wait_for

pytestmark = pytest.mark.daemons

MAC = "02:00:00:00:00:77"

# name: side, commands of ip, families that it hurts
PARENT_DAMAGE = {
    "down-up": ["link set cwin2 down", "link set cwin2 up"],
    "down": ["link set cwin2 down"],
    "peer-down": ["link set cwout2 down"],
    "addr-flush": ["addr flush dev cwin2"],
    "addr4-del": ["addr del 100.127.0.1/32 dev cwin2"],
    "route4-flush": ["-4 route flush dev cwin2"],
    "route6-flush": ["-6 route flush dev cwin2"],
    "neighbours": ["-4 neigh flush dev cwin2 nud permanent",
                   "-6 neigh flush dev cwin2 nud permanent"],
    "mtu-small": ["link set cwin2 mtu 1280"],
    "mtu-below-ipv6": ["link set cwin2 mtu 1000"],
    "mac": [f"link set cwin2 address {MAC}"],
    "bridge": ["link add br7 type bridge", "link set br7 up", "link set cwin2 master br7"],
    "arp-on": ["link set cwin2 arp off", "addr flush dev cwin2"],
    "deleted": ["link del cwin2"],
}
ENCLAVE_DAMAGE = {
    "down-up": ["link set cw0 down", "link set cw0 up"],
    "down": ["link set cw0 down"],
    "peer-down": ["link set cw1 down"],
    "addr-flush": ["addr flush dev cw0"],
    "route4-flush": ["-4 route flush dev cw0"],
    "route6-flush": ["-6 route flush dev cw0"],
    "default-del": ["-4 route del default", "-6 route del default"],
    "neighbours": ["-4 neigh flush dev cw0 nud permanent", "-6 neigh flush dev cw0 nud permanent"],
    "mtu-small": ["link set cw0 mtu 1280"],
    "mtu-below-ipv6": ["link set cw0 mtu 1000"],
    "mac": [f"link set cw0 address {MAC}"],
    "bridge": ["link add br7 type bridge", "link set br7 up", "link set cw0 master br7"],
    "deleted": ["link del cw0"],
}
DAMAGE = [("parent", name, "nfqueue") for name in PARENT_DAMAGE] + \
         [("enclave", name, "nfqueue") for name in ENCLAVE_DAMAGE] + \
         [("enclave", name, "packet") for name in ("down-up", "peer-down", "neighbours", "deleted")]


def device_state(namespace):
    """What of a snapshot is about our devices."""
    state = snapshot(namespace)
    kept = {part: state[part] for part in ("addr", "route4", "route6", "neigh")}
    for part in ("route4", "route6"):
        # A set: an IPv6 address of /128 has a second route of no use, which a flush takes for good.
        kept[part] = sorted({str({key: route.get(key) for key in ("dst", "dev", "gateway", "prefsrc")})
                             for route in kept[part] if "br7" != route.get("dev")})
    kept["addr"] = sorted(str(entry) for entry in kept["addr"] if entry[0] != "br7")
    kept["neigh"] = sorted(f"{entry['dst']} {entry['dev']} {entry.get('lladdr')}"
                           for entry in kept["neigh"])
    kept["link"] = sorted(str((link["ifname"], link["mtu"], link["address"], link["flags"]))
                          for link in state["link"] if link["ifname"].startswith("cw"))
    return kept


def mended(namespace, before):
    wait_for(lambda: not differences(before, device_state(namespace)),
             lambda: f"the devices as before: {differences(before, device_state(namespace))}")


@pytest.mark.parametrize("side,what,capture", DAMAGE, ids=["-".join(words) for words in DAMAGE])
def test_devices_are_mended(host: Host, side, what, capture):
    """The state of the devices comes back, the open connections go on, new ones pass, and one warning
    says what was found."""
    tunnel = host.tunnel(lanes=2, capture=capture)
    place = host.side(side)
    daemon = tunnel.parent if side == "parent" else tunnel.enclave.daemon
    before = device_state(place)
    with talks(tunnel) as open_talks:
        commands = (PARENT_DAMAGE if side == "parent" else ENCLAVE_DAMAGE)[what]
        for command in commands:
            place.ip(command)
        mended(place, before)
        for talk in open_talks:
            assert talk.goes_on()
    for version in (4, 6):
        wait_pings(tunnel, version)
        new_connections(host, tunnel, version)
    found = warnings(daemon, "put back")
    assert 1 <= len(found) <= len(commands), daemon.log()
    assert ("cwin2" if side == "parent" else "cw0") in found[0]
    assert set(tunnel.stop().values()) == {0}


@pytest.mark.parametrize("side,device", [("parent", "cwin2"), ("enclave", "cw0"), ("enclave", "cw1")])
def test_ipv6_is_taken_from_a_device(host: Host, side, device):
    """disable_ipv6=1 on one of our devices: an address is taken with it, and comes back."""
    tunnel = host.tunnel()
    with talks(tunnel) as open_talks:
        host.side(side).sysctl(f"net.ipv6.conf.{device}.disable_ipv6", 1)
        wait_for(lambda: host.side(side).sysctl(f"net.ipv6.conf.{device}.disable_ipv6") == "0",
                 "IPv6 on the device")
        for talk in open_talks:
            assert talk.goes_on()
    for version in (4, 6):
        new_connections(host, tunnel, version)


def test_forwarding_is_taken_from_a_device(host: Host):
    """A manager of sysctls writes conf/cwin2/forwarding."""
    tunnel = host.tunnel()
    host.parent.sysctl("net.ipv4.conf.cwin2.forwarding", 0)
    wait_for(lambda: host.parent.sysctl("net.ipv4.conf.cwin2.forwarding") == "1", "forwarding")
    for version in (4, 6):
        new_connections(host, tunnel, version)
    assert len(warnings(tunnel.parent, "forwarding")) == 1


def test_the_tc_program_is_removed(host: Host):
    """Without its marks every captured packet would be dropped by the rules."""
    tunnel = host.tunnel(lanes=2)
    with talks(tunnel) as open_talks:
        host.enclave.run("tc qdisc del dev cw1 clsact")
        wait_for(lambda: "bpf" in host.enclave.run("tc filter show dev cw1 ingress"), "the program")
        for talk in open_talks:
            assert talk.goes_on()
    assert len(warnings(tunnel.enclave.daemon, "put back")) == 1


def test_a_renamed_device_gets_its_name_back(host: Host):
    """udev rules of others may rename by pattern."""
    tunnel = host.tunnel()
    for side, device in (("parent", "cwin2"), ("enclave", "cw0")):
        place = host.side(side)
        before = device_state(place)
        place.ip(f"link set {device} down")
        place.ip(f"link set {device} name other7")
        place.run("ip link set other7 up", check=False)  # it may have its name back already
        mended(place, before)
    for version in (4, 6):
        wait_pings(tunnel, version)
        new_connections(host, tunnel, version)


def test_who_keeps_changing_it_fills_no_log(host: Host):
    """Two managers may fight over a device; the log does not grow with it."""
    tunnel = host.tunnel()
    for _ in range(30):
        host.parent.ip("addr flush dev cwin2")
        wait_for(lambda: host.parent.addresses("cwin2", 4), "the address")
    assert len(lines(tunnel.parent, "put back")) <= 10
    for version in (4, 6):
        new_connections(host, tunnel, version)


def test_nothing_is_put_back_on_a_quiet_host(host: Host):
    """Other devices come and go, addresses of others change: none of our business."""
    tunnel = host.tunnel()
    for place in (host.parent, host.enclave):
        place.ip("link add other7 type bridge")
        place.ip("addr add 192.0.2.7/24 dev other7")
        place.ip("link set other7 up")
        place.ip("route add 192.0.2.128/25 dev other7")
        place.ip("link del other7")
    host.parent.ip("link set eth0 mtu 1400")
    wait_for(lambda: host.enclave.links()["cw0"]["mtu"] == 1400, "the new MTU")
    for version in (4, 6):
        new_connections(host, tunnel, version)
    for daemon in tunnel.daemons():
        assert lines(daemon, "put back") == []
