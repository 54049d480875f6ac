#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Instructions per packet of the packet path's stages, against a committed baseline.

counts.py PROGRAM REPLAY BASELINE BUILD [--update]

PROGRAM is counts.c, run under callgrind; BUILD names compiler, processor and build type, on which
the counts depend. Fails when a stage needs more than the baseline and its tolerance. Exit 77: not
comparable here, with the reason. --update writes this build's counts into the baseline.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True

# Copies and searches of the C library come in forms for each processor: take the plain ones.
TUNABLES = ("glibc.cpu.hwcaps=-AVX_Fast_Unaligned_Load,-AVX2,-AVX512F,-AVX512VL,-AVX512BW,-ERMS,"
            "-FSRM,-SSSE3")
TOLERANCE = 0.02


def skip(reason):
    print("skipped:", reason)
    sys.exit(77)


def replay_is_as_made(path):
    """The committed capture is what make_replay.py makes."""
    with tempfile.NamedTemporaryFile() as made:
        subprocess.run([sys.executable, Path(__file__).parent / "make_replay.py", made.name],
                       check=True)
        return made.read() == Path(path).read_bytes()


def measure(program, replay):
    """{stage: instructions per packet}"""
    with tempfile.TemporaryDirectory() as directory:
        out = os.path.join(directory, "out")
        done = subprocess.run(
            ["valgrind", "--tool=callgrind", "--collect-atstart=no",
             f"--callgrind-out-file={out}", program, replay], text=True, capture_output=True,
            check=False, env={**os.environ, "GLIBC_TUNABLES": TUNABLES})
        if done.returncode != 0:
            sys.exit(done.stderr)
        totals = {}
        for dump in Path(directory).iterdir():
            text = dump.read_text(encoding="ascii", errors="replace")
            stage = re.search(r"^desc: Trigger: Client Request: (\w+)$", text, re.M)
            if stage:
                totals[stage[1]] = int(re.search(r"^totals: (\d+)", text, re.M)[1])
    packets = dict(line.split() for line in done.stdout.splitlines())
    return {stage: round(totals[stage] / int(packets[stage]), 1) for stage in packets}


def compare(counts, baseline):
    """Lines of a table, and whether no stage got worse."""
    good = True
    for stage in sorted(set(counts) | set(baseline), key=list({**baseline, **counts}).index):
        now, then = counts.get(stage), baseline.get(stage)
        if now is None or then is None:
            good = False
            print(f"{stage:20} is only in {'the baseline' if now is None else 'the program'}")
            continue
        change = now / then - 1
        words = "" if abs(change) <= TOLERANCE else "WORSE" if change > 0 else \
            "better: ninja update-counts keeps it so"
        good = good and change <= TOLERANCE
        print(f"{stage:20} {now:10.1f} {then:10.1f} {100 * change:+7.1f} %  {words}")
    return good


def main():
    arguments = [a for a in sys.argv[1:] if a != "--update"]
    if len(arguments) != 4:
        sys.exit(__doc__)
    program, replay, path, build = arguments
    if not shutil.which("valgrind"):
        skip("valgrind is not installed")
    if not replay_is_as_made(replay):
        sys.exit(f"{replay} is not what make_replay.py makes")
    baseline = json.loads(Path(path).read_text(encoding="utf-8"))
    if "--update" in sys.argv:
        baseline[build] = measure(program, replay)
        Path(path).write_text(json.dumps(baseline, indent=1) + "\n", encoding="utf-8")
        return 0
    if build not in baseline:
        skip(f"the baseline has {', '.join(baseline) or 'nothing'}, and this is {build}")
    print(f"instructions per packet, {build}: now, baseline, change")
    return 0 if compare(measure(program, replay), baseline[build]) else 1


if __name__ == "__main__":
    sys.exit(main())
