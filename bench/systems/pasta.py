# SPDX-License-Identifier: Apache-2.0
"""pasta (passt): a user-space TCP/IP stack between a tap device and ordinary sockets. One hop."""

import os

from harness.system import System
from harness.world import namespace_path


class Adapter(System):
    name = "pasta"
    title = "pasta, tap MTU {mtu}"
    protocols = ("tcp", "udp")
    parameters = {"mtu": "65520"}  # its default, and its best: it ends TCP itself

    def missing(self):
        return self.need_program("pasta", "passt")

    def up(self, world):
        world.daemon("pasta", "parent",
                     ["pasta", "--foreground", "--quiet", "--config-net", "--ipv4-only",
                      "--no-map-gw",  # the World's gateway is the far end itself, not the host
                      "--runas", "0:0", "--mtu", self.parameter["mtu"],
                      "--log-file", os.path.join(world.directory, "pasta-own.log"),
                      "-t", "none", "-u", "none", "-T", "none", "-U", "none",
                      "--netns-only", "--netns", namespace_path(world.names["enclave"])],
                     children=True)
        world.wait(world.has_default_route, "pasta's device")
