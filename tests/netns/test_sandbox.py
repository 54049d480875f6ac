# SPDX-License-Identifier: Apache-2.0
"""What somebody can do who has taken a thread over: the table of docs/security.md, tried.

tests/tools/inject_calls.c makes the threads of running daemons do the system calls themselves, so
what answers is the very sandbox that they are in.
"""
import os
import platform
import re
import subprocess

import pytest
from dns_servers import zone
from netns import wait_for
from system import BUILD, EXTRA, ROOT

pytestmark = [
    pytest.mark.daemons,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="calls are injected on x86_64"),
    pytest.mark.skipif(bool(EXTRA), reason="this build runs without the sandbox"),
    pytest.mark.skipif(not os.path.exists("/proc/self/attr/landlock") and "landlock" not in (
        open("/sys/kernel/security/lsm", encoding="ascii").read()
        if os.path.exists("/sys/kernel/security/lsm") else "landlock"),
        reason="this kernel has no Landlock"),
]
HERE = "-100"  # AT_FDCWD
READ, WRITE, MAKE = "0", "1", "0x41"
# What stands in the table, and the calls that try it: all of them are refused, or all are not.
ATTEMPTS = {
    "write `/etc/passwd`": [f"257 {HERE} '/etc/passwd {WRITE}"],
    "write `/proc/sys/kernel/core_pattern`": [f"257 {HERE} '/proc/sys/kernel/core_pattern {WRITE}"],
    "make a file in `/etc` or `/tmp`": [f"257 {HERE} '/etc/causeway-probe {MAKE} 0x180",
                                        f"257 {HERE} '/tmp/causeway-probe {MAKE} 0x180"],
    "make a link, a directory, a device": ["266 'target -100 '/tmp/causeway-probe",
                                           f"258 {HERE} '/tmp/causeway-probe 0x1c0",
                                           f"259 {HERE} '/tmp/causeway-probe 0x2180 0x103"],
    "remove or rename a file": [f"263 {HERE} '/etc/hostname 0",
                                f"316 {HERE} '/etc/hostname {HERE} '/etc/causeway-probe 0"],
    "read `/etc/shadow`": [f"257 {HERE} '/etc/shadow {READ}"],
    "read what everybody may": [f"257 {HERE} '/etc/passwd {READ}"],
    "change settings in `/proc/sys/net`": [f"257 {HERE} '/proc/sys/net/ipv4/ip_forward {WRITE}"],
    "signal process 1": ["62 1 0", "234 1 1 0", "424 -1 0 0 0"],
    "signal another thread's owner by a file": ["72 0 8 1"],
    "make a namespace or a process": ["272 0x10000000", "56 0x10000011", "56 0x40000011", "435 0 0"],
    "map memory to write and execute": ["9 0 4096 7 0x22 -1 0"],
    "map memory to execute": ["9 0 4096 5 0x22 -1 0"],
    "run a program": ["59 '/nonexistent 0 0"],
    "trace a process, read its memory": ["101 16 1 0 0", "310 1 0 0 0 0 0"],
    "mount, load a module, load BPF": ["165 'none '/tmp 'tmpfs 0 0", "175 0 0 'x", "321 0 0 0",
                                       "298 0 0 -1 -1 0"],
    "become root": ["105 0", "106 0"],
    "open sockets of other families": ["41 38 5 0"],
    "open packet sockets": ["41 17 3 0"],
    "type into a terminal": ["16 0 0x5412 0"],
    "open files by an io_uring": ["ring"],
}
REFUSED = {-1, -13, -38}  # EPERM, EACCES; ENOSYS, of clone3()
COLUMNS = ["control", "lane", "dns", "helper", "dns helper"]


def table():
    """The cells of the table in docs/security.md: {attempt: {column: "no" or "yes"}}."""
    text = (ROOT / "docs/security.md").read_text()
    rows = re.findall(r"^\| (.+?) +\| (no|yes) +\| (no|yes) +\| (no|yes) +\| (no|yes) +\| (no|yes) +\|$",
                      text, re.M)
    return {row[0]: dict(zip(COLUMNS, row[1:])) for row in rows}


def tried(pid, tid):
    """{attempt: "no", "yes", or what was half and half}"""
    lines = [line for calls in ATTEMPTS.values() for line in calls]
    # The helper may run a tool at the end of it; nothing else comes from there.
    done = subprocess.run([BUILD / "tests/tools/inject_calls", str(tid), str(pid)],
                          input="\n".join(lines) + "\n", capture_output=True, text=True,
                          check=True, timeout=60)
    results = iter(map(int, done.stdout.split()))
    cells = {}
    for attempt, calls in ATTEMPTS.items():
        found = [next(results) for _ in calls]
        refused = {result in REFUSED for result in found}
        cells[attempt] = ("no" if refused == {True} else "yes" if refused == {False}
                          else f"some: {found}")
    return cells


def helper_of(pid):
    text = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=True)
    return int(text.stdout.split()[0])


def lane_of(pid):
    """Any thread but the first: by number, of those that are named after a lane."""
    others = sorted(int(name) for name in os.listdir(f"/proc/{pid}/task") if int(name) != pid)
    assert others, "a lane is a thread"
    return others[0]


def user_of(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return int(re.search(r"Uid:\s+(\d+)", status.read()).group(1))


def compare(column, pid, tid):
    promised = {attempt: cells[column] for attempt, cells in table().items()}
    assert set(promised) == set(ATTEMPTS), "the table's rows are these"
    assert tried(pid, tid) == promised


@pytest.mark.parametrize("user", [(), ("--user", "nobody")], ids=["default", "user"])
def test_parent(workshop, user):
    tunnel = workshop.tunnel(parent_arguments=user)
    pid = tunnel.parent.process.pid
    assert user_of(pid) != 0 and user_of(helper_of(pid)) == 0
    compare("control", pid, pid)
    compare("lane", pid, lane_of(pid))
    tunnel.wait_ready()


def test_parent_helper(workshop):
    tunnel = workshop.tunnel()
    pid = tunnel.parent.process.pid
    compare("helper", helper_of(pid), helper_of(pid))


def test_enclave(workshop):
    """Its link is a Unix socket, so it keeps its user here: the table holds all the same."""
    tunnel = workshop.tunnel()
    pid = tunnel.enclave.daemon.process.pid
    compare("control", pid, pid)
    compare("lane", pid, lane_of(pid))
    compare("helper", helper_of(pid), helper_of(pid))


@pytest.mark.parametrize("user", [(), ("--user", "nobody")], ids=["default", "user"])
def test_dns(dns, user):
    daemon = dns.daemon(*user, upstream=dns.upstream(zone({})))
    pid = daemon.process.pid
    assert user_of(pid) != 0
    compare("dns", pid, pid)
    compare("dns helper", helper_of(pid), helper_of(pid))


def test_lanes_start_and_end_inside(workshop):
    """Rings come from the helper as long as both run."""
    tunnel = workshop.tunnel(lanes=2)
    pid = tunnel.parent.process.pid
    for _ in range(5):
        tunnel.enclave.daemon.kill()
        tunnel.enclave.daemon.start()
        tunnel.wait_ready()
    wait_for(lambda: len(os.listdir(f"/proc/{pid}/task")) == 3, "the old lanes' threads")
