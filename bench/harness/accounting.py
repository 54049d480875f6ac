# SPDX-License-Identifier: Apache-2.0
"""What a system costs: processor time and memory from /proc.

utime + stime of a process is exact (the scheduler's own sum) though printed in ticks of 10 ms.
It holds what the kernel did on the process's behalf, and softirq work that happened to run on top
of it; the machine's busy time (from /proc/stat) holds everything, this harness's generators and
strangers included.
"""

import os
from dataclasses import dataclass

TICK = os.sysconf("SC_CLK_TCK")


def _stat_fields(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        return file.read().rpartition(")")[2].split()


def _own_seconds(fields, reaped):
    """Processor seconds from a stat line; fields[11] is utime (proc(5) number 14)."""
    ticks = int(fields[11]) + int(fields[12])
    if reaped:
        ticks += int(fields[13]) + int(fields[14])
    return ticks / TICK


def _descendants(pid):
    """Direct and indirect children, by the parent field of every process."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                parents.setdefault(int(_stat_fields(entry)[1]), []).append(int(entry))
            except (OSError, IndexError):
                continue
    found, todo = [], [pid]
    while todo:
        children = parents.get(todo.pop(), [])
        found += children
        todo += children
    return found


def pids_of(daemon):
    pid = daemon.process.pid
    return [pid] + (_descendants(pid) if daemon.children else [])


def seconds_of(daemon):
    """Processor seconds so far; of a forking daemon with its living and its reaped children."""
    total = 0.0
    for pid in pids_of(daemon):
        try:
            total += _own_seconds(_stat_fields(pid), reaped=daemon.children)
        except OSError:
            continue
    return total


def note_peak(daemon):
    """Updates daemon.peak_kb: VmHWM, summed over the processes alive now."""
    total = 0
    for pid in pids_of(daemon):
        try:
            with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
                total += next((int(l.split()[1]) for l in file if l.startswith("VmHWM")), 0)
        except OSError:
            continue
    daemon.peak_kb = max(daemon.peak_kb, total)


def machine_seconds():
    """(busy, of these in the kernel) of all processors together since boot; not idle, iowait or
    steal."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _idle, _iowait, irq, softirq = map(int, file.readline().split()[1:8])
    kernel = system + irq + softirq
    return (user + nice + kernel) / TICK, kernel / TICK


def machine_steal_seconds():
    with open("/proc/stat", encoding="ascii") as file:
        return int(file.readline().split()[8]) / TICK


@dataclass
class Mark:
    daemons: dict
    machine: float
    kernel: float
    steal: float


def _by_name(daemons, figure):
    """Sums over daemons of one name (a system may have several processes of a kind)."""
    total = {}
    for daemon in daemons:
        total[daemon.name] = total.get(daemon.name, 0) + figure(daemon)
    return total


def mark(world):
    return Mark(_by_name(world.daemons, seconds_of), *machine_seconds(),
                machine_steal_seconds())


def peaks(world):
    """{name: highest resident set so far in kB}."""
    for daemon in world.daemons:
        note_peak(daemon)
    return _by_name(world.daemons, lambda d: d.peak_kb)


def since(world, before):
    """Processor seconds since `before`: {"daemons": {name: s}, "machine": s, "kernel": s,
    "steal": s}."""
    now = mark(world)
    return {"daemons": {n: round(s - before.daemons.get(n, 0), 3)
                        for n, s in now.daemons.items()},
            "machine": round(now.machine - before.machine, 3),
            "kernel": round(now.kernel - before.kernel, 3),
            "steal": round(now.steal - before.steal, 3)}
