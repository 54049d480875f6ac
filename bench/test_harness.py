#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The arithmetic of the benchmark, on made-up samples: no root, no namespaces, no time."""

import os
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import accounting, link, measure, report, soak, stats_lines, summary  # noqa: E402


def link_of(capacity):
    """A probe of a link that passes `capacity` a second and drops the rest; its sender offers at
    most four times that."""
    def probe(rate):
        probe.asked.append(rate)
        sent = min(rate or capacity * 4, capacity * 4)
        received = min(sent, capacity)
        return {"sent_pps": sent, "received_pps": received, "loss": 1 - received / sent}
    probe.asked = []
    return probe


class HighestRate(unittest.TestCase):
    def test_finds_the_capacity(self):
        best = measure.highest_rate(link_of(50000), 8)
        self.assertGreater(best["received_pps"], 50000 * 0.97)
        self.assertLess(best["loss"], measure.LOSS_LIMIT)

    def test_unpaced_is_enough_when_nothing_is_lost(self):
        def probe(rate):
            self.assertEqual(rate, 0)
            return {"sent_pps": 7e5, "received_pps": 7e5, "loss": 0.0}
        self.assertEqual(measure.highest_rate(probe, 8)["received_pps"], 7e5)

    def test_collapse_under_overload(self):
        """A link that delivers less the more is offered beyond its limit of 30,000."""
        def probe(rate):
            sent = min(rate or 400000, 400000)
            received = sent if sent <= 30000 else 900000000 / sent
            return {"sent_pps": sent, "received_pps": received, "loss": 1 - received / sent}
        self.assertGreater(measure.highest_rate(probe, 8)["received_pps"], 25000)

    def test_a_link_that_always_loses(self):
        self.assertIsNone(measure.highest_rate(
            lambda rate: {"sent_pps": rate or 1e5, "received_pps": 0.5 * (rate or 1e5),
                          "loss": 0.5}, 6))


class Samples(unittest.TestCase):
    @staticmethod
    def sample(number, system, value, **more):
        return {"round": number, "system": system, "mtu": 1500, "test": "tcp_up_1",
                "value": value, "machine_cpu_s": 2.0, "kernel_cpu_s": 1.5,
                "daemon_cpu_s": {"a": 0.5, "b": 1.5},
                "bytes": 2e9, **more}

    def entry(self, samples, system):
        class Contestant:
            mtu = 1500

        class System:
            id = system
        contestant = Contestant()
        contestant.system, contestant.key = System, "key"
        figures = summary.summarize(samples, [contestant], measure.select(["tcp_up_1"]))
        return figures["key"]["tcp_up_1"]

    def test_ratio_is_by_round(self):
        """The ceiling drifts to half; a system that drifts with it keeps its ratio."""
        samples = [self.sample(0, "ceiling", 20), self.sample(0, "x", 10),
                   self.sample(1, "ceiling", 10), self.sample(1, "x", 5)]
        entry = self.entry(samples, "x")
        self.assertEqual(entry["median"], 7.5)
        self.assertEqual((entry["ratio"]["min"], entry["ratio"]["max"]), (0.5, 0.5))

    def test_a_round_without_ceiling_has_no_ratio(self):
        entry = self.entry([self.sample(0, "ceiling", 20), self.sample(1, "x", 5)], "x")
        self.assertNotIn("ratio", entry)

    def test_errors_are_kept(self):
        bad = {"round": 0, "system": "x", "mtu": 1500, "test": "tcp_up_1", "error": "gone"}
        self.assertEqual(self.entry([bad], "x"), {"errors": ["gone"]})
        self.assertEqual(self.entry([bad, self.sample(1, "x", 5)], "x")["errors"], ["gone"])

    def test_cost(self):
        entry = self.entry([self.sample(0, "x", 5, link_bytes=640, link_writes=10)], "x")
        self.assertEqual(entry["cpu_s_per_gb"],
                         {"machine": 1.0, "kernel": 0.75, "daemons": 1.0, "each": {"a": 0.25, "b": 0.75}})
        self.assertEqual(entry["bytes_per_write"], 64)


class Words(unittest.TestCase):
    def test_stats_lines(self):
        self.assertEqual(stats_lines.parse("stats peer=unix:/x lane=1 sent_bytes 12 sent_writes 3"),
                         {"lane": 1, "sent_bytes": 12, "sent_writes": 3})

    def test_numbers(self):
        self.assertEqual([report.number(v) for v in (12345.6, 12.34, 0.123, 0)],
                         ["12346", "12.3", "0.12", "0"])

    def test_selection(self):
        self.assertEqual([t.name for t in measure.select(["tcp_*_1", "rr"])],
                         ["tcp_up_1", "tcp_down_1", "tcp_both_1", "rr"])
        with self.assertRaises(ValueError):
            measure.select(["tcp_sideways_1"])
        for names in (measure.LINK, measure.QUICK):
            self.assertEqual(len(measure.select(names)), len(names))
        self.assertEqual(measure.select(measure.DEFAULT), measure.TESTS)

    def test_profiles(self):
        text = """usage: …
  c6i.2xlarge    one stream 1.9 / 10.5, all streams 8.8 / 16.8
  none           no limits and no costs
"""
        found = link.parse_profiles(text)
        self.assertEqual(list(found), ["c6i.2xlarge"])
        self.assertEqual([link.limit(found["c6i.2xlarge"], *which) for which in
                          (("up", 1), ("down", 1), ("up", 32), ("down", 4))],
                         [1.9, 10.5, 8.8, 16.8])

    def test_flat_memory(self):
        """Warming up is no growth, a page here and there neither; a slow leak is."""
        warm = [1000] * 5 + [9000] * 95
        self.assertTrue(soak.judge(warm)["flat"])
        self.assertTrue(soak.judge([9000 + i % 3 * 4 for i in range(100)])["flat"])
        self.assertFalse(soak.judge([9000 + 4 * i for i in range(100)])["flat"])

    def test_own_processor_time(self):
        """A line as in proc(5), with spaces and a bracket in the name of the program."""
        fields = "S 1 " + " ".join(["0"] * 9) + " 150 50 30 20"
        self.assertEqual(accounting._own_seconds(fields.split(), reaped=False),
                         200 / accounting.TICK)
        self.assertEqual(accounting._own_seconds(fields.split(), reaped=True),
                         250 / accounting.TICK)


if __name__ == "__main__":
    unittest.main()
