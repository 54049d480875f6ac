# SPDX-License-Identifier: Apache-2.0
"""socat at both ends: a TCP relay for single ports over unix streams, a process a connection."""

import os

from harness.system import System
from harness.world import INTERNET

PORTS = (5201, 5202)  # those that measure.py dials


class Adapter(System):
    name = "socat"
    title = "socat TCP relay, buffer {buffer}"
    link = True
    parameters = {"buffer": "65536"}  # socat's own default is 8192

    def missing(self):
        return self.need_program("socat", "socat")

    def up(self, world):
        size = ["-b", self.parameter["buffer"]]
        for port in PORTS:
            path, dialled = self.link_paths(world, str(port))
            world.daemon("socat-parent", "parent",
                         ["socat", *size, f"UNIX-LISTEN:{path},fork,backlog=128",
                          f"TCP:{INTERNET}:{port},nodelay"], children=True)
            world.daemon("socat-enclave", "enclave",
                         ["socat", *size,
                          f"TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr,nodelay,backlog=128",
                          f"UNIX-CONNECT:{dialled}"], children=True)
            world.wait(lambda p=port: world.listens("enclave", p), "socat")
            world.wait(lambda p=path: os.path.exists(p), "socat")

    def target(self, world, port):
        return "127.0.0.1", port
