# SPDX-License-Identifier: Apache-2.0
"""The ceiling: the enclave on a veth pair, the parent's kernel forwards and masquerades."""

from harness.system import System
from harness.world import UPLINK


class Adapter(System):
    name = "ceiling"
    title = "veth and kernel NAT, no daemon"
    protocols = ("tcp", "udp")

    def up(self, world):
        world.run(["ip", "-n", world.names["enclave"], "link", "add", "eth0", "mtu",
                   str(world.mtu), "type", "veth", "peer", "name", "enc0", "mtu", str(world.mtu),
                   "netns", world.names["parent"]])
        world.address("enclave", "eth0", "10.97.0.2/24")
        world.address("parent", "enc0", "10.97.0.1/24")
        world.run(["ip", "route", "add", "default", "via", "10.97.0.1"], "enclave")
        world.run(["iptables", "-w", "-t", "nat", "-A", "POSTROUTING", "-o", UPLINK,
                   "-j", "MASQUERADE"], "parent")
        world.wait(world.reaches_internet, "a ping through the kernel")
