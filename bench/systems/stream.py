# SPDX-License-Identifier: Apache-2.0
"""The transport's own limit: a bare copy over unix streams in large writes, no packets at all."""

import json

from harness.system import System

STREAMS_MAX = 8  # as many as causeway has lanes


class Adapter(System):
    name = "stream"
    title = "bare unix stream copy, {write} bytes a write"
    link = True
    copies = True
    parameters = {"write": "65536"}

    def missing(self):
        return self.need_binary("bench/streamcopy")

    def up(self, world):
        self.path = []
        if world.link is not None:
            listening, dialled = self.link_paths(world)
            self.path = ["--listen", listening, "--connect", dialled]

    def copy(self, world, streams, mode, seconds):
        down = ["--down"] if self.path and mode == "down" else []
        out = json.loads(world.run([self.binary("bench/streamcopy"), "--seconds", str(seconds),
                                    "--streams", str(min(streams, STREAMS_MAX)), "--write",
                                    self.parameter["write"], *self.path, *down], "parent",
                                   timeout=seconds + 20))
        return {"value": out["bytes"] * 8 / out["seconds"] / 1e9, "bytes": out["bytes"],
                "daemon_cpu_s": {"writer": out["writer_cpu_s"], "reader": out["reader_cpu_s"]}}
