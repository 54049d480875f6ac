# SPDX-License-Identifier: Apache-2.0
"""Bar charts of the summary by gnuplot, SVG and PNG. Data and script are kept beside the picture."""

import os
import subprocess

from harness.summary import REFERENCE

GROUPS = (("tcp", "tcp_", "Gbit/s", "TCP throughput"),
          ("udp", "udp_", "thousand datagrams a second", "UDP under 1 % loss"),
          ("latency", "rr", "µs, median of p50", "Request/response, 64 bytes"))

# gnuplot repeats its own colours after eight. The kernel is grey, the rest tell apart in print, too.
REFERENCE_COLOUR = "#9e9e9e"
COLOURS = ("#0b5394", "#3d85c6", "#76a5d8", "#b4d0ee", "#cc0000", "#e69138", "#6aa84f", "#674ea7",
           "#f1c232", "#783f04", "#45818e", "#c27ba0")

TERMINALS = {"svg": "svg size 1000,520 font 'sans,11' background 'white'",
             "png": "pngcairo size 1000,520 font 'sans,11' background 'white'"}
SCRIPT = """set terminal {terminal}
set output '{picture}'
set title '{title}, MTU {mtu}'
set ylabel '{unit}'
set style data histogram
set style histogram errorbars gap 2 lw 1
set style fill solid 0.8
set grid ytics
set key below noenhanced
set xtics noenhanced
set xrange [-0.7:{last}.7]
set yrange [{low}:*]
{scale}plot {curves}
"""


def _write_data(path, contestants, tests, summary):
    """A row per test; median, min, max for each system (gnuplot's missing value is NaN)."""
    with open(path, "w", encoding="utf-8") as out:
        for test in tests:
            cells = [test.name]
            for c in contestants:
                entry = summary[c.key].get(test.name, {})
                cells += [f"{entry[k]:.6g}" if k in entry else "NaN"
                          for k in ("median", "min", "max")]
            print("\t".join(cells), file=out)


def _colours(contestants):
    others = iter(COLOURS * len(contestants))
    return [REFERENCE_COLOUR if c.system.name == REFERENCE else next(others) for c in contestants]


def _plot(directory, group, mtu, contestants, tests, summary):
    name, _, unit, title = group
    base = os.path.join(directory, f"{name}-{mtu}")
    _write_data(base + ".dat", contestants, tests, summary)
    curves = ", ".join(
        f"'{base}.dat' using {2 + 3 * i}:{3 + 3 * i}:{4 + 3 * i}:xtic(1) "
        f"title '{c.system.id}' linecolor rgb '{colour}'"
        for i, (c, colour) in enumerate(zip(contestants, _colours(contestants))))
    logarithmic = name == "latency"
    script = "".join(
        SCRIPT.format(terminal=terminal, picture=f"{base}.{kind}", title=title, mtu=mtu, unit=unit,
                      curves=curves, last=len(tests) - 1, low="1" if logarithmic else "0",
                      scale="set logscale y\n" if logarithmic else "")
        for kind, terminal in TERMINALS.items())
    return run(base, script)


def run(base, script):
    """Runs gnuplot on a script that is kept as base.gnuplot; returns the base."""
    with open(base + ".gnuplot", "w", encoding="utf-8") as out:
        out.write(script)
    subprocess.run(["gnuplot", base + ".gnuplot"], check=True)
    return base


def draw(directory, contestants, tests, summary):
    os.makedirs(directory, exist_ok=True)
    made = []
    for mtu in dict.fromkeys(c.mtu for c in contestants):
        for group in GROUPS:
            chosen = [t for t in tests if t.name.startswith(group[1])]
            # a bare copy is no network; beside it the others would be too small to read
            there = [c for c in contestants if c.mtu == mtu and not c.system.copies and
                     any("median" in summary[c.key].get(t.name, {}) for t in chosen)]
            if chosen and there:
                made.append(_plot(directory, group, mtu, there, chosen, summary))
    return made
