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
    daemon.peak_kb = max(daemon.peak_kb, _memory(daemon, "VmHWM"))


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


def find(name):
    """Processes whose program has that name, in this network namespace (another tunnel's daemons
    may run in others)."""
    here, found = os.readlink("/proc/self/ns/net"), []
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit() and os.path.basename(os.readlink(f"/proc/{entry}/exe")) == name and \
                    os.readlink(f"/proc/{entry}/ns/net") == here:
                found.append(int(entry))
        except OSError:
            continue
    return found


def boot():
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def _status_kb(pid, key):
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        return next((int(line.split()[1]) for line in file if line.startswith(key + ":")), 0)


def _memory(daemon, key):
    total = 0
    for pid in pids_of(daemon):
        try:
            total += _status_kb(pid, key)
        except OSError:
            continue
    return total


def resident_kb(daemon):
    """Resident memory now, summed over its processes."""
    return _memory(daemon, "VmRSS")


def report(names):
    """What processes of these names cost so far on this machine, for the harness on another."""
    busy, kernel = machine_seconds()
    result = {"seconds": {}, "peak_kb": {}, "machine": busy, "kernel": kernel,
              "steal": machine_steal_seconds(), "boot": boot()}
    for name in names:
        pids = find(name)
        if pids:
            result["seconds"][name] = sum(_own_seconds(_stat_fields(p), reaped=False) for p in pids)
            result["peak_kb"][name] = sum(_status_kb(p, "VmHWM") for p in pids)
    return result


@dataclass
class Mark:
    daemons: dict
    machine: float
    kernel: float
    steal: float


def by_name(daemons, figure):
    """Sums over daemons of one name (a system may have several processes of a kind)."""
    total = {}
    for daemon in daemons:
        total[daemon.name] = total.get(daemon.name, 0) + figure(daemon)
    return total


def mark(world):
    here = Mark(by_name(world.daemons, seconds_of), *machine_seconds(), machine_steal_seconds())
    there = world.elsewhere()
    if there is None:
        return here
    if there["boot"] == boot():  # a test: both sides are one machine
        there["machine"] = there["kernel"] = there["steal"] = 0
    return Mark({**here.daemons, **there["seconds"]}, here.machine + there["machine"],
                here.kernel + there["kernel"], here.steal + there["steal"])


def peaks(world):
    """{name: highest resident set so far in kB}."""
    for daemon in world.daemons:
        note_peak(daemon)
    there = world.elsewhere()
    return {**by_name(world.daemons, lambda d: d.peak_kb), **(there["peak_kb"] if there else {})}


def since(world, before):
    """Processor seconds since `before`: {"daemons": {name: s}, "machine": s, "kernel": s,
    "steal": s}."""
    now = mark(world)
    return {"daemons": {n: round(s - before.daemons.get(n, 0), 3)
                        for n, s in now.daemons.items()},
            "machine": round(now.machine - before.machine, 3),
            "kernel": round(now.kernel - before.kernel, 3),
            "steal": round(now.steal - before.steal, 3)}
