# SPDX-License-Identifier: Apache-2.0
"""gvproxy (gvisor-tap-vsock) over a unix stream: a user-space stack in Go, as nitriding uses it."""

import os
import shutil

from harness.system import System


class Adapter(System):
    name = "gvproxy"
    title = "gvproxy and gvforwarder, MTU {mtu}"
    protocols = ("tcp", "udp")
    link = True
    parameters = {"mtu": "1500"}  # its default

    def missing(self):
        missing = [p for p in ("gvproxy", "gvforwarder") if not shutil.which(p)]
        return f"{' and '.join(missing)} not on PATH (gvisor-tap-vsock)" if missing else None

    def up(self, world):
        path, dialled = self.link_paths(world, "gv.sock")
        mtu = self.parameter["mtu"]
        world.daemon("gvproxy", "parent", ["gvproxy", "-mtu", mtu, "-listen", "unix://" + path])
        world.wait(lambda: os.path.exists(path), "gvproxy's socket")
        # what gvforwarder would learn by DHCP: gvproxy is 192.168.127.1, its guest .2
        world.run(["ip", "tuntap", "add", "tap0", "mode", "tap"], "enclave")
        world.run(["ip", "link", "set", "tap0", "mtu", mtu, "address", "5a:94:ef:e4:0c:ee"],
                  "enclave")
        world.address("enclave", "tap0", "192.168.127.2/24")
        world.run(["ip", "route", "add", "default", "via", "192.168.127.1"], "enclave")
        # its -mtu is the size of its frame buffer: 4000 is the default
        forwarder = world.daemon("gvforwarder", "enclave",
                                 ["gvforwarder", "-url", "unix://" + dialled, "-iface", "tap0",
                                  "-preexisting", "-mtu", str(max(4000, int(mtu) + 14))])
        world.wait(lambda: "waiting for packets" in open(forwarder.log, encoding="utf-8").read(),
                   "gvforwarder")
