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
    link = True
    # build: another build's directory, to measure its daemons beside these. It
    # must have no colon in it.
    parameters = {"capture": "nfqueue", "lanes": "1", "build": ""}
    variants = tuple({"capture": capture, "lanes": lanes}
                     for lanes in ("1", str(min(8, max(2, os.cpu_count() or 2))))
                     for capture in ("nfqueue", "packet"))
    link_variants = tuple({"capture": "nfqueue", "lanes": lanes} for lanes in ("1", "8"))

    def describe(self):
        other = self.parameter["build"]
        return super().describe() + (f", daemons of {other}" if other else "")

    def binary(self, path):
        other = self.parameter["build"]
        return os.path.join(os.path.abspath(other), path) if other else super().binary(path)

    def missing(self):
        return (self.need_binary("parent/causeway-parent") or
                self.need_binary("enclave/causeway-enclave"))

    def up(self, world):
        listening, dialled = self.link_paths(world)
        lanes = self.parameter["lanes"]
        world.daemon("causeway-parent", "parent",
                     [self.binary("parent/causeway-parent"), "--enclave", "unix:" + listening,
                      "--lanes", lanes, "--uplink", UPLINK, "--log-level", "warning",
                      "--allow", "203.0.113.0/24"])  # where the harness has its internet
        world.daemon("causeway-enclave", "enclave",
                     [self.binary("enclave/causeway-enclave"), "--link", "unix:" + dialled,
                      "--lanes", lanes, "--capture", self.parameter["capture"],
                      "--log-level", "warning"])
        world.wait(world.reaches_internet, "a ping through causeway")

    def link_counters(self, world):
        return stats_lines.total(world.daemons, "sent_bytes", "sent_writes")
