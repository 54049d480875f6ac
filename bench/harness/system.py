# SPDX-License-Identifier: Apache-2.0
"""The interface of an adapter: one file in bench/systems/ with one subclass of System.

An adapter brings a system up between the enclave and the parent of a World (harness/world.py)
and tells where a client in the enclave finds the internet. It takes nothing down: the World ends
its processes and removes its namespaces, devices and rules with them.
"""

import os
import shutil

from harness import link


class System:
    name = ""            # as in --systems
    title = ""           # what it is, for the report; {parameters} are filled in
    protocols = ("tcp",)  # "tcp", "udp": what it carries
    link = False         # its two sides meet on Unix streams, by link_paths(): can be shaped
    copies = False       # no network: TCP tests in one direction call copy(), others do not run
    parameters = {}      # parameter -> default, all strings; --systems name:key=value:…
    variants = ({},)     # parameter sets that run by default (the first one under --quick)
    link_variants = None  # those with --link, when others

    def __init__(self, build, given):
        unknown = set(given) - set(self.parameters)
        if unknown:
            raise ValueError(f"{self.name} has no parameter {', '.join(sorted(unknown))}")
        self.build = build  # the meson build directory
        self.parameter = {**self.parameters, **given}
        self.id = ":".join([self.name] + [f"{k}={v}" for k, v in given.items()])

    def describe(self):
        return self.title.format(**self.parameter)

    def missing(self):
        """None, or the reason why this system cannot run here."""
        return None

    def world(self, mtu, options):
        """A World to run in, not made yet."""
        from harness.world import World
        return World(mtu, options.profile, options.congestion)

    def up(self, world):
        """Starts it (world.daemon, world.run) and returns when it carries traffic; Failed if
        not. A process started with world.daemon is accounted to the system."""
        raise NotImplementedError

    def target(self, world, port):
        """(host, port) that a client in the enclave dials to reach `port` on the internet."""
        from harness.world import INTERNET
        return INTERNET, port

    def link_counters(self, world):
        """(bytes, writes) on the link so far, both directions, or None if it does not tell."""
        return None

    def copy(self, world, streams, mode, seconds):
        """Only with copies = True: moves bytes itself, mode "up" or "down", and returns a sample
        (see measure.py)."""
        raise NotImplementedError

    # -- for adapters

    def link_paths(self, world, name="link"):
        """(where the parent's side listens, where the enclave's side connects)"""
        return link.paths(world, self.build, name)

    def binary(self, path):
        return os.path.join(self.build, path)

    def need_binary(self, path):
        full = self.binary(path)
        return None if os.access(full, os.X_OK) else f"{full} is not built"

    @staticmethod
    def need_program(name, package):
        return None if shutil.which(name) else f"{name} is not installed (package {package})"
