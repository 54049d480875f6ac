# SPDX-License-Identifier: Apache-2.0
"""The place a system runs in: three network namespaces, its processes, and their certain end.

    enclave            parent                     internet
    (no link: the      up0 203.0.113.1 ==veth==   inet0 203.0.113.2
     system makes it)  default route via .2

A World owns everything it makes. Namespaces are named cwbench-<pid>-<n>-<role>, so that a later
run finds and removes what a harness killed by SIGKILL left behind; its processes die with it
(PR_SET_PDEATHSIG).
"""

import ctypes
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field

INTERNET = "203.0.113.2"
PARENT = "203.0.113.1"
UPLINK = "up0"
ROLES = ("enclave", "parent", "internet")
PREFIX = "cwbench"
UP_LIMIT_S = 15

_libc = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1


class Failed(Exception):
    """A system or a measurement that did not work; the text is for the report."""


def _in_child():
    os.setsid()
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


@dataclass
class Daemon:
    """A process that belongs to the system under test, and is accounted to it."""
    name: str
    process: subprocess.Popen
    log: str
    children: bool  # it forks per connection: account its descendants too
    peak_kb: int = field(default=0)


def namespace_path(name):
    return f"/run/netns/{name}"


def _stale(directory, pattern):
    """Names in a directory that match and whose process (the pattern's group) has ended."""
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    matches = filter(None, (re.fullmatch(pattern, name) for name in names))
    return [m[0] for m in matches if not os.path.exists(f"/proc/{m[1]}")]


def remove_stale():
    """What harnesses left behind that are no longer alive: namespaces and directories."""
    for name in _stale("/run/netns", PREFIX + r"-(\d+)-\d+-\w+"):
        subprocess.run(["ip", "netns", "del", name], check=False)
    for name in _stale(tempfile.gettempdir(), PREFIX + r"-(\d+)-\w+"):
        shutil.rmtree(os.path.join(tempfile.gettempdir(), name), ignore_errors=True)


class World:
    _count = 0

    def __init__(self, mtu, link=None, congestion=None):
        World._count += 1
        self.mtu = mtu
        self.link = link  # profile of a shaped link, see harness/link.py
        self.congestion = congestion  # TCP congestion control of every namespace; None: the host's
        self.names = {r: f"{PREFIX}-{os.getpid()}-{World._count}-{r}" for r in ROLES}
        self.directory = tempfile.mkdtemp(prefix=f"{PREFIX}-{os.getpid()}-")
        self.daemons = []
        self.helpers = []
        self._made = []

    # -- making it

    def make(self):
        for role in ROLES:
            self.run(["ip", "netns", "add", self.names[role]])
            self._made.append(role)
            self.run(["ip", "link", "set", "lo", "up"], role)
            # a router's defaults on many hosts; no measured system may depend on either value
            self.sysctl(role, "net.ipv4.conf.all.rp_filter", 0)
            self.sysctl(role, "net.ipv4.conf.default.rp_filter", 0)
            if self.congestion:
                self.sysctl(role, "net.ipv4.tcp_congestion_control", self.congestion)
        self.run(["ip", "-n", self.names["parent"], "link", "add", UPLINK, "mtu", str(self.mtu),
                  "type", "veth", "peer", "name", "inet0", "mtu", str(self.mtu),
                  "netns", self.names["internet"]])
        self.address("parent", UPLINK, PARENT + "/24")
        self.address("internet", "inet0", INTERNET + "/24")
        self.run(["ip", "route", "add", "default", "via", INTERNET], "parent")
        self.sysctl("parent", "net.ipv4.ip_forward", 1)

    def address(self, role, device, address):
        self.run(["ip", "address", "add", address, "dev", device], role)
        self.run(["ip", "link", "set", device, "up"], role)

    def sysctl(self, role, name, value):
        self.run(["sysctl", "-qw", f"{name}={value}"], role)

    # -- running things in it

    def inside(self, role, argv):
        """The command line that runs argv in a namespace (and stays one process)."""
        if role is None:
            return list(argv)
        return ["nsenter", f"--net={namespace_path(self.names[role])}", "--", *argv]

    def run(self, argv, role=None, timeout=30, **options):
        """Runs a short command; Failed with its message unless it exits 0. Returns its stdout."""
        try:
            done = subprocess.run(self.inside(role, argv), capture_output=True, text=True,
                                  timeout=timeout, check=False, **options)
        except subprocess.TimeoutExpired:
            raise Failed(f"{argv[0]} did not end within {timeout} s") from None
        except FileNotFoundError:
            raise Failed(f"{argv[0]} is not installed") from None
        if done.returncode != 0:
            words = (done.stderr.strip() or done.stdout.strip() or f"exit {done.returncode}")
            raise Failed(f"{argv[0]}: {words.splitlines()[-1][:200]}")
        return done.stdout

    def background(self, argv, role, timeout):
        """Starts a client that runs meanwhile; the caller ends it. timeout: for worlds elsewhere."""
        del timeout
        return subprocess.Popen(self.inside(role, argv), text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE)

    def elsewhere(self):
        """What the system costs on another machine (accounting.report()), or None."""
        return None

    def _start(self, name, role, argv, **options):
        log = os.path.join(self.directory, name + ".log")
        with open(log, "ab") as out:
            try:
                process = subprocess.Popen(self.inside(role, argv), stdin=subprocess.DEVNULL,
                                           stdout=out, stderr=out, preexec_fn=_in_child,
                                           **options)
            except FileNotFoundError:
                raise Failed(f"{argv[0]} is not installed") from None
        return process, log

    def daemon(self, name, role, argv, children=False, **options):
        """Starts a process of the system under test."""
        process, log = self._start(name, role, argv, **options)
        daemon = Daemon(name, process, log, children)
        self.daemons.append(daemon)
        return daemon

    def helper(self, name, role, argv):
        """Starts a process of the measurement (a server); not accounted to the system."""
        process, log = self._start(name, role, argv)
        self.helpers.append(process)
        return process, log

    def check_alive(self):
        for daemon in self.daemons:
            code = daemon.process.poll()
            if code is not None:
                raise Failed(f"{daemon.name} ended with {code}: {last_line(daemon.log)}")

    def wait(self, condition, what, limit=UP_LIMIT_S):
        """Waits until condition() is true; Failed when a daemon ends or the limit passes."""
        end = time.monotonic() + limit
        while not condition():
            self.check_alive()
            if time.monotonic() > end:
                raise Failed(f"{what}: not within {limit} s")
            time.sleep(0.01)

    def reaches_internet(self):
        """One ping from the enclave through the system."""
        return subprocess.run(self.inside("enclave", ["ping", "-c1", "-W1", "-n", INTERNET]),
                              capture_output=True, check=False).returncode == 0

    def has_default_route(self):
        return "default via" in self.run(["ip", "route"], "enclave")

    def listens(self, role, port, protocol="tcp"):
        """Whether a socket listens on the port in that namespace."""
        tables = "cat /proc/self/net/{0} /proc/self/net/{0}6".format(protocol)
        out = subprocess.run(self.inside(role, ["sh", "-c", tables]), capture_output=True,
                             text=True, check=False).stdout
        state = "0A" if protocol == "tcp" else "07"  # TCP_LISTEN; an unconnected UDP socket
        for line in out.splitlines():
            fields = line.split()
            if len(fields) > 3 and fields[1].endswith(f":{port:04X}") and fields[3] == state:
                return True
        return False

    # -- ending it

    def close(self):
        processes = [d.process for d in self.daemons] + self.helpers
        for process in processes:
            end_group(process, signal.SIGTERM)
        end = time.monotonic() + 3
        for process in processes:
            try:
                process.wait(max(0.01, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                pass
            end_group(process, signal.SIGKILL)  # and what it left behind
            process.wait()
        for role in self._made:
            subprocess.run(["ip", "netns", "del", self.names[role]], capture_output=True,
                           check=False)
        self.daemons, self.helpers, self._made = [], [], []
        shutil.rmtree(self.directory, ignore_errors=True)


def end_group(process, number):
    """Signals the process group that `process` leads (it was started with setsid)."""
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        pass


def last_line(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as log:
            lines = [line.strip() for line in log if line.strip()]
    except OSError:
        return "no log"
    return lines[-1][:200] if lines else "it said nothing"
