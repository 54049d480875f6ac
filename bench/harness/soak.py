# SPDX-License-Identifier: Apache-2.0
"""bench/run --soak: is a system's memory flat under full load?

Each system in its turn carries iperf3 both ways for the whole time, and every second the resident
memory of its processes is read. The first sixth is for warming up: buffers are touched, tables
fill. Then memory is flat when the median of the last sixth is no more than GROWTH_LIMIT (and
GROWTH_FLOOR_KB) above that of the sixth after the warm-up. Medians, since the kernel gives back and takes a
few pages at any time.
"""

import json
import os
import sys
import time
from statistics import median

from harness import accounting, measure, plots
from harness.world import Failed

GROWTH_LIMIT = 0.01
GROWTH_FLOOR_KB = 128
STREAMS = 8
PART = 6

SCRIPT = """set terminal {terminal}
set output '{picture}'
set title 'Resident memory under full load, {title}' noenhanced
set xlabel 'seconds'
set ylabel 'MB'
set yrange [0:*]
set grid
set key below noenhanced
plot {curves}
"""


def judge(samples):
    """{"first_kb", "last_kb", "growth", "flat"} of [kB] taken at equal distances."""
    part = max(1, len(samples) // PART)
    first, last = median(samples[part:2 * part] or samples), median(samples[-part:])
    growth = last - first
    return {"first_kb": first, "last_kb": last, "growth": growth / first if first else 0.0,
            "flat": growth <= max(GROWTH_FLOOR_KB, first * GROWTH_LIMIT)}


def sample(world):
    """{name: resident kB now}"""
    return accounting.by_name(world.daemons, accounting.resident_kb)


def progress(words):
    if sys.stderr.isatty():
        print("\r\033[K" + words, end="", file=sys.stderr, flush=True)


def load(contestant, seconds):
    """Runs the load; ([seconds], {name: [kB]}, Gbit/s)."""
    bench, times, memory = contestant.bench(), [], {}
    with measure.IperfServer(bench.world):
        command = measure.iperf_command(bench, STREAMS, "both", seconds)
        client = bench.world.background(command, "enclave", seconds + measure.COMMAND_SLACK_S)
        try:
            start = time.monotonic()
            while client.poll() is None and time.monotonic() - start < seconds:
                for name, kb in sample(bench.world).items():
                    memory.setdefault(name, []).append(kb)
                times.append(round(time.monotonic() - start, 1))
                progress(f"{contestant.key}: {times[-1]:.0f} of {seconds:.0f} s")
                time.sleep(1)
            out, _ = client.communicate(timeout=measure.COMMAND_SLACK_S)
        finally:
            progress("")
            client.kill()
            client.wait()
    bench.world.check_alive()
    return times, memory, measure.iperf_received(out)[1]


def run(contestants, seconds):
    """One result for each system, as a dict."""
    results = []
    for contestant in contestants:
        result = {"system": contestant.system.id, "mtu": contestant.mtu}
        try:
            contestant.up()
            if contestant.world is None:
                raise Failed(contestant.failures[-1])
            result["seconds"], result["kb"], result["gbits"] = load(contestant, seconds)
            result["verdict"] = {name: judge(kb) for name, kb in result["kb"].items()}
        except (Failed, OSError, ValueError, KeyError) as error:
            result["error"] = str(error)
        finally:
            contestant.down()
        results.append(result)
    return results


def markdown(results, meta):
    out = ["## Memory under full load", "", f"`{meta['command']}`", "",
           f"{meta['date']}, version {meta['version']}, Linux {meta['kernel']}: iperf3, {STREAMS} "
           "streams, both directions at once.", "",
           "| system | Gbit/s | process | MB after the warm-up | MB at the end | growth | |",
           "|---|---|---|---|---|---|---|"]
    for r in results:
        for name, v in r.get("verdict", {}).items():
            out.append(f"| `{r['system']}` | {r['gbits']:.3g} | {name} | {v['first_kb'] / 1024:.2f} | "
                       f"{v['last_kb'] / 1024:.2f} | {v['growth'] * 100:+.1f} % | "
                       f"{'flat' if v['flat'] else '**not flat**'} |")
        if "error" in r:
            out.append(f"| `{r['system']}` | – | failed: {r['error']} | – | – | – | – |")
    return "\n".join(out) + "\n"


def draw(directory, results):
    os.makedirs(directory, exist_ok=True)
    for number, result in enumerate(r for r in results if "kb" in r):
        base = os.path.join(directory, f"soak-{number}")
        names = list(result["kb"])
        with open(base + ".dat", "w", encoding="utf-8") as out:
            for row in zip(result["seconds"], *(result["kb"][n] for n in names)):
                print(*row, file=out)
        curves = ", ".join(f"'{base}.dat' using 1:(${i + 2}/1024) with lines lw 2 title '{name}'"
                           for i, name in enumerate(names))
        plots.run(base, "".join(
            SCRIPT.format(terminal=terminal, picture=f"{base}.{kind}", title=result["system"],
                          curves=curves) for kind, terminal in plots.TERMINALS.items()))


def write_json(path, results, meta):
    with open(path, "w", encoding="utf-8") as out:
        json.dump({"meta": meta, "soak": results}, out, indent=1)
