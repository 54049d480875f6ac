# SPDX-License-Identifier: Apache-2.0
"""The classic raw proxy (bench/rawproxy.c): one packet per recv, verdict, write and sendto."""

from harness import stats_lines
from harness.system import System
from harness.world import INTERNET, PARENT, UPLINK


class Adapter(System):
    name = "rawproxy"
    link = True
    title = "classic raw proxy (NFQUEUE, one packet a call, IP_HDRINCL)"

    def missing(self):
        return self.need_binary("bench/rawproxy")

    def up(self, world):
        self._enclave_addresses(world)
        # The published rules: TCP alone, and at the parent only towards ports that are the
        # enclave's. Nothing else runs in this parent, so all of its TCP is the enclave's.
        queue = ["-p", "tcp", "-j", "NFQUEUE", "--queue-num", "0"]
        for side, path in zip(("parent", "enclave"), self.link_paths(world)):
            world.daemon("rawproxy-" + side, side, [self.binary("bench/rawproxy"), side, path])
        for daemon in world.daemons:
            world.wait(lambda d=daemon: b"ready" in open(d.log, "rb").read(), "rawproxy")
        world.run(["iptables", "-w", "-t", "mangle", "-A", "POSTROUTING", "-o", "eth0", *queue],
                  "enclave")
        world.run(["iptables", "-w", "-t", "mangle", "-A", "INPUT", "-i", UPLINK, *queue],
                  "parent")

    @staticmethod
    def _enclave_addresses(world):
        """The enclave has the parent's address and a device to route over; what is sent there
        is taken by the queue, never by the device."""
        world.run(["ip", "link", "add", "eth0", "mtu", str(world.mtu), "type", "veth",
                   "peer", "name", "nowhere"], "enclave")
        world.address("enclave", "eth0", PARENT + "/32")
        world.run(["ip", "link", "set", "nowhere", "up"], "enclave")
        world.run(["ip", "route", "add", "default", "dev", "eth0"], "enclave")
        world.run(["ip", "neigh", "add", INTERNET, "lladdr", "02:00:00:00:00:01", "dev", "eth0"],
                  "enclave")

    def link_counters(self, world):
        return stats_lines.total(world.daemons, "sent_bytes", "sent_writes")
