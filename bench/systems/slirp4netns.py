# SPDX-License-Identifier: Apache-2.0
"""slirp4netns: QEMU's user-mode stack between a tap device and ordinary sockets. One hop."""

from harness.system import System
from harness.world import namespace_path


class Adapter(System):
    name = "slirp4netns"
    title = "slirp4netns, tap MTU {mtu}"
    protocols = ("tcp", "udp")
    parameters = {"mtu": "65520"}  # what its manual advises for speed; its default is 1500

    def missing(self):
        return self.need_program("slirp4netns", "slirp4netns")

    def up(self, world):
        world.daemon("slirp4netns", "parent",
                     ["slirp4netns", "--configure", f"--mtu={self.parameter['mtu']}",
                      "--disable-host-loopback", "--netns-type=path",
                      namespace_path(world.names["enclave"]), "tap0"], children=True)
        world.wait(world.has_default_route, "slirp4netns's device")
