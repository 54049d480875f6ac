# SPDX-License-Identifier: Apache-2.0
"""What runs, in which order: rounds over tests over systems, so that the samples that are compared
lie next to each other in time, and drift (other work on the machine, clocks, heat) hits all.

All systems are up at the same time, each in a World of its own; only one is under load. What the
idle ones cost is measured first and reported. A system that fails is noted and brought up again
for its next sample, at most MAX_REVIVALS times.
"""

import sys
import time

from harness import accounting, measure
from harness.world import Failed

MAX_REVIVALS = 3
IDLE_S = 1.0


class Contestant:
    """One system at one MTU."""

    def __init__(self, system, mtu, options):
        self.system, self.mtu, self.options = system, mtu, options
        self.world = None
        self.failures = []
        self.peak_kb = {}
        self.idle_cpu = None

    @property
    def key(self):
        return f"{self.system.id}@{self.mtu}"

    def up(self):
        self.world = self.system.world(self.mtu, self.options)
        try:
            self.world.make()
            self.system.up(self.world)
            measure.start_servers(self.bench())
        except (Failed, OSError) as error:
            self.failures.append(f"does not come up: {error}")
            self.down()

    def down(self):
        if self.world is not None:
            self.note_peaks()
            self.world.close()
            self.world = None

    def note_peaks(self):
        for name, peak in accounting.peaks(self.world).items():
            self.peak_kb[name] = max(peak, self.peak_kb.get(name, 0))

    def bench(self):
        return measure.Bench(self.system, self.world, f"{self.options.build}/bench",
                             self.options.seconds, self.options.probes)

    def sample(self, test):
        if self.world is None and len(self.failures) <= MAX_REVIVALS:
            self.up()
        if self.world is None:
            raise Failed(self.failures[-1])
        try:
            result = test.run(self.bench())
            self.note_peaks()
            return result
        except (Failed, OSError, ValueError, KeyError) as error:
            reason = self.reason(error)
            self.failures.append(f"{test.name}: {reason}")
            self.down()
            raise Failed(reason) from None

    def reason(self, error):
        """A daemon's end explains more than what a client saw of it."""
        try:
            self.world.check_alive()
        except Failed as death:
            return f"{death} ({error})"
        return str(error) or type(error).__name__

    def suits(self, test):
        if test.protocol not in self.system.protocols:
            return False
        return not self.system.copies or test.name.startswith(("tcp_up_", "tcp_down_"))


class Progress:
    """One line on a terminal, rewritten; a line per sample elsewhere."""

    def __init__(self, total, expected_s):
        self.total, self.done, self.expected = total, 0, expected_s
        self.start = time.monotonic()
        self.tty = sys.stderr.isatty()

    def _left(self):
        elapsed = time.monotonic() - self.start
        left = elapsed / self.done * (self.total - self.done) if self.done > 9 \
            else max(0.0, self.expected - elapsed)
        return f"{int(left) // 60}:{int(left) % 60:02d} left"

    def begin(self, words):
        if self.tty:
            print(f"\r\033[K[{self.done + 1}/{self.total}] {words} … {self._left()}", end="",
                  file=sys.stderr, flush=True)

    def end(self, words, result):
        self.done += 1
        if not self.tty:
            print(f"[{self.done}/{self.total}] {words}: {result}, {self._left()}",
                  file=sys.stderr, flush=True)

    def finish(self):
        if self.tty:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def measure_idle(contestants):
    """Processor seconds a second of each system while nothing runs."""
    marks = {c.key: accounting.mark(c.world) for c in contestants if c.world}
    time.sleep(IDLE_S)
    for c in contestants:
        if c.key in marks and c.world:
            cost = accounting.since(c.world, marks[c.key])
            c.idle_cpu = round(sum(cost["daemons"].values()) / IDLE_S, 3)


def expected_seconds(contestants, tests, options):
    once = sum(t.cost_s(options.seconds, options.probes)
               for c in contestants for t in tests if c.suits(t))
    return once * options.rounds + len(contestants) + IDLE_S


def run(contestants, tests, options):
    """All samples, as a list of dicts; whatever happens, nothing stays up."""
    jobs = [(r, t, c) for r in range(options.rounds) for t in tests for c in contestants
            if c.suits(t)]
    progress = Progress(len(jobs), expected_seconds(contestants, tests, options))
    samples = []
    try:
        for contestant in contestants:
            contestant.up()
        measure_idle(contestants)
        for number, test, contestant in jobs:
            words = f"round {number + 1}/{options.rounds} {contestant.key} {test.name}"
            progress.begin(words)
            sample = {"round": number, "system": contestant.system.id, "mtu": contestant.mtu,
                      "test": test.name}
            try:
                sample.update(contestant.sample(test))
                result = f"{sample['value']:.4g} {test.unit}"
            except Failed as error:
                sample["error"] = result = str(error)
            samples.append(sample)
            progress.end(words, result)
    finally:
        progress.finish()
        for contestant in contestants:
            contestant.down()
    return samples
