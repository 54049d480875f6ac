# SPDX-License-Identifier: Apache-2.0
"""Any other tunnel, brought up by a program of the user's: --systems script:path=./up:label=theirs"""

import os

from harness.system import System
from harness.world import UPLINK, namespace_path


class Adapter(System):
    name = "script"
    title = "{label}, brought up by {path}"
    protocols = ("tcp", "udp")
    parameters = {"path": "", "label": "a tunnel"}

    def missing(self):
        path = self.parameter["path"]
        if not path:
            return "no script:path=PROGRAM in --systems; see bench/README.md"
        return None if os.access(path, os.X_OK) else f"{path} is not executable"

    def up(self, world):
        environment = {
            **os.environ, "BENCH_ENCLAVE": namespace_path(world.names["enclave"]),
            "BENCH_PARENT": namespace_path(world.names["parent"]),
            "BENCH_UPLINK": UPLINK, "BENCH_MTU": str(world.mtu), "BENCH_DIR": world.directory}
        world.daemon("script", None, [os.path.abspath(self.parameter["path"])], children=True,
                     env=environment)
        world.wait(world.reaches_internet, f"a ping through {self.parameter['label']}")
