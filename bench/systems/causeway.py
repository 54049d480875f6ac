# SPDX-License-Identifier: Apache-2.0
"""causeway over a unix stream: the project's own daemons, as a user starts them."""

import os

from harness import stats_lines
from harness.system import System
from harness.world import UPLINK


class Adapter(System):
    name = "causeway"
    title = "causeway, capture {capture}, lanes {lanes}"
    protocols = ("tcp", "udp")
    parameters = {"capture": "nfqueue", "lanes": "1"}
    variants = ({"capture": "nfqueue", "lanes": "1"}, {"capture": "packet", "lanes": "1"},
                {"capture": "nfqueue", "lanes": str(max(2, os.cpu_count() or 2))})

    def missing(self):
        return (self.need_binary("parent/causeway-parent") or
                self.need_binary("enclave/causeway-enclave"))

    def up(self, world):
        link = "unix:" + os.path.join(world.directory, "link")
        lanes = self.parameter["lanes"]
        world.daemon("causeway-parent", "parent",
                     [self.binary("parent/causeway-parent"), "--enclave", link,
                      "--lanes", lanes, "--uplink", UPLINK, "--log-level", "warning"])
        world.daemon("causeway-enclave", "enclave",
                     [self.binary("enclave/causeway-enclave"), "--link", link,
                      "--lanes", lanes, "--capture", self.parameter["capture"],
                      "--log-level", "warning"])
        world.wait(world.reaches_internet, "a ping through causeway")

    def link_counters(self, world):
        return stats_lines.total(world.daemons, "sent_bytes", "sent_writes")
