# SPDX-License-Identifier: Apache-2.0
"""The system under test: the two daemons, or the kernel alone in their place.

CAUSEWAY_TEST_SYSTEM=kernel puts a veth pair and the kernel's own NAT where the tunnel would be, with
the same addresses. A test of traffic that fails there is a wrong test, whatever the daemons do.
CAUSEWAY_BUILD names the build directory that the daemons are taken from (default: build).
"""
import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from netns import PATIENCE, wait_for
from topology import Topology

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("CAUSEWAY_BUILD", ROOT / "build")).resolve()
IS_KERNEL = os.environ.get("CAUSEWAY_TEST_SYSTEM", "causeway") == "kernel"
# For builds whose run time needs system calls that the sandbox does not know (sanitizers).
EXTRA = os.environ.get("CAUSEWAY_TEST_ARGUMENTS", "").split()

PUBLISH = (
    "8080:80/tcp",            # another port outside than inside
    "5300:53/udp",
    "7000-7099:7000-7099/tcp",  # a range, and what most tests use
    "7000-7099:7000-7099/udp",
    "198.51.100.3:8443:8443/tcp",  # one listen address
    "[2001:db8:51::3]:8443:8443/tcp",
)
GATEWAY4 = "100.127.0.1"


class Daemon:
    """One running daemon with its log. A restart appends to the same log."""

    def __init__(self, namespace, program, arguments, directory, label):
        self.namespace = namespace
        self.command = [str(BUILD / program.split("-")[1] / program), *arguments, *EXTRA]
        self.log_path = Path(directory) / f"{label}.log"
        self.label = label
        self.process = None

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = self.namespace.popen(
                ["ip", "netns", "exec", self.namespace.name, *self.command],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        """SIGTERM, and the exit status; the caller judges it."""
        if not self.alive():
            return self.process.returncode if self.process else 0
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.label} ignored SIGTERM\n{self.log()}") from None

    def stats_text(self):
        """What the daemon prints on SIGUSR1."""
        offset = len(self.log())
        self.process.send_signal(signal.SIGUSR1)

        def printed():
            text = self.log()[offset:]
            # Complete once the text has ended and a moment brought nothing more.
            if "stats " not in text or not text.endswith("\n"):
                return None
            time.sleep(0.05)
            return text if self.log()[offset:] == text else None

        return wait_for(printed, f"statistics of {self.label}")

    def stats(self):
        """Counters of all lanes: a list of dicts."""
        lanes = []
        for line in self.stats_text().splitlines():
            found = re.search(r"\bstats (peer=.*)", line)
            if found:
                words = dict(word.split("=", 1) for word in found.group(1).split() if "=" in word)
                lanes.append({key: int(value) if re.fullmatch(r"-?\d+", value) else value
                              for key, value in words.items()})
        return lanes

    def total(self, pattern):
        """Sum of all counters whose name matches."""
        return sum(value for lane in self.stats() for key, value in lane.items()
                   if re.search(pattern, key) and isinstance(value, int))

    def resident_kib(self):
        return int(re.search(r"VmRSS:\s+(\d+)", self._proc("status")).group(1))

    def threads(self):
        return int(re.search(r"Threads:\s+(\d+)", self._proc("status")).group(1))

    def descriptors(self):
        return sorted(os.listdir(f"/proc/{self.process.pid}/fd"), key=int)

    def _proc(self, name):
        return Path(f"/proc/{self.process.pid}/{name}").read_text()


class Enclave:
    """One enclave's place in the network, whichever system makes it."""

    def __init__(self, namespace, slot):
        self.namespace = namespace
        self.slot = slot
        self.daemon = None
        self.link = None

    def address(self, version):
        return self.namespace.addresses("cw0", version)[0]


class Tunnel:
    """A running system: what the tests ask for. enclaves[0] is `enclave`."""

    def __init__(self, topology: Topology, enclaves=1, lanes=1, capture="nfqueue", publish=PUBLISH,
                 allow=(), parent_arguments=(), enclave_arguments=(), start=True):
        self.topology = topology
        self.directory = tempfile.mkdtemp(prefix="cwtest-")
        os.chmod(self.directory, 0o755)  # the daemons drop to a user of their own
        self.lanes = lanes
        self.capture = capture
        self.parent = None
        self.publish, self.allow = publish, allow
        places = [topology.enclave, topology.enclave2][:enclaves]
        self.enclaves = [Enclave(place, slot) for slot, place in enumerate(places, 2)]
        self.enclave = self.enclaves[0]
        if not IS_KERNEL:
            self._plan_daemons(parent_arguments, enclave_arguments)
        if start:
            try:
                self.start()
                self.wait_ready()
            except BaseException as problem:
                with contextlib.suppress(AssertionError):
                    self.stop()
                logs = self.logs()
                shutil.rmtree(self.directory, ignore_errors=True)
                raise AssertionError(f"the tunnel did not come up: {problem}\n"
                                     f"{logs}") from problem

    # ---- life

    def _plan_daemons(self, parent_arguments, enclave_arguments):
        arguments = ["--control", f"{self.directory}/parent.sock"]
        for enclave in self.enclaves:
            enclave.link = f"unix:{self.directory}/enclave{enclave.slot}"
            arguments += ["--enclave", f"{enclave.link},name=e{enclave.slot}"]
            enclave.daemon = Daemon(enclave.namespace, "causeway-enclave",
                                    ["--link", enclave.link, "--lanes", str(self.lanes),
                                     "--capture", self.capture,
                                     "--control", f"{self.directory}/enclave{enclave.slot}.sock",
                                     "--resolvers-file", f"{self.directory}/resolvers{enclave.slot}",
                                     *enclave_arguments],
                                    self.directory, f"enclave{enclave.slot}")
        for rule in self.publish:
            arguments += ["--publish", rule]
        for prefix in self.allow:
            arguments += ["--allow", prefix]
        self.parent = Daemon(self.topology.parent, "causeway-parent",
                             [*arguments, *parent_arguments], self.directory, "parent")

    def start(self):
        if IS_KERNEL:
            self._start_kernel()
            return
        self.parent.start()
        for enclave in self.enclaves:
            enclave.daemon.start()

    def daemons(self):
        found = [enclave.daemon for enclave in self.enclaves] + [self.parent]
        return [daemon for daemon in found if daemon is not None]

    def alive(self):
        return all(daemon.alive() for daemon in self.daemons())

    def wait_ready(self, versions=(4, 6)):
        for enclave in self.enclaves:
            for version in versions:
                wait_for(lambda e=enclave, v=version: self._reaches(e, v),
                         f"IPv{version} through the tunnel of enclave {enclave.slot}")

    def _reaches(self, enclave, version):
        """One echo to the router and back. Its address is not one that a test uses."""
        for daemon in self.daemons():
            if not daemon.alive():
                raise AssertionError(f"{daemon.label} ended with {daemon.process.returncode}")
        from topology import ROUTER_OUT  # pylint: disable=import-outside-toplevel
        if not enclave.namespace.addresses("cw0", version):
            return False
        done = enclave.namespace.run(["ping", f"-{version}", "-c1", "-W1", ROUTER_OUT[version]],
                                     check=False)
        return done.returncode == 0

    def stop(self):
        if IS_KERNEL:
            self._stop_kernel()
            return {}
        try:
            return {daemon.label: daemon.stop() for daemon in self.daemons()}
        finally:
            for daemon in self.daemons():
                if daemon.alive():
                    daemon.kill()

    def discard(self):
        """Stops whatever still runs and removes the directory; for teardown."""
        try:
            if not IS_KERNEL or self.topology.parent.links().get(f"cwin{self.enclave.slot}"):
                self.stop()
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)

    def logs(self):
        return "\n".join(f"--- {daemon.label}\n{daemon.log()}" for daemon in self.daemons())

    # ---- the kernel in the daemons' place

    def _start_kernel(self):
        parent = self.topology.parent
        parent.sysctl("net.ipv4.ip_forward", 1)
        parent.sysctl("net.ipv6.conf.all.forwarding", 1)
        for enclave in self.enclaves:
            slot, inside = enclave.slot, enclave.namespace
            device = f"cwin{slot}"
            parent.ip(f"link add {device} type veth peer name cw0 netns {inside.name}")
            parent.ip(f"link set {device} up")
            inside.ip("link set cw0 up")
            pairs = {4: (f"100.127.0.{slot}", GATEWAY4),
                     6: (f"fd00:c0de::{slot}", "fd00:c0de::1")}
            for version, (address, gateway) in pairs.items():
                nodad = "" if version == 4 else " nodad"
                host = 32 if version == 4 else 128
                inside.ip(f"addr add {address}/{host} dev cw0{nodad}")
                parent.ip(f"addr add {gateway}/{host} dev {device}{nodad}")
                inside.ip(f"-{version} route add {gateway} dev cw0")
                inside.ip(f"-{version} route add default via {gateway} src {address}")
                parent.ip(f"-{version} route add {address}/{host} dev {device}")
        parent.nft(self._kernel_rules())

    def _kernel_rules(self):
        published = []
        for rule in self.publish:
            match = re.fullmatch(r"(?:(\w+)=)?(?:(\d+\.[\d.]+|\[[^]]+\]):)?([\d-]+):([\d-]+)/(\w+)",
                                 rule)
            name, listen, outside, inside, protocol = match.groups()
            enclave = next((each for each in self.enclaves if f"e{each.slot}" == name), self.enclave)
            address = (listen or "").strip("[]")
            for family, version in (("ip", 4), ("ip6", 6)):
                if address and (":" in address) != (version == 6):
                    continue
                to = enclave.address(version)
                port = "" if "-" in inside else f":{inside}"
                to = f"[{to}]" if version == 6 and port else to
                where = f"{family} daddr {address}" if address else "fib daddr type local"
                published.append(f'iifname "eth0" meta nfproto ipv{version} {where} '
                                 f"{protocol} dport {outside} dnat {family} to {to}{port}")
        allow = {4: [p for p in self.allow if ":" not in p], 6: [p for p in self.allow if ":" in p]}
        opened = [f"{family} daddr {{ {', '.join(allow[version])} }} accept"
                  for family, version in (("ip", 4), ("ip6", 6)) if allow[version]]
        sources = [f'iifname "cwin{enclave.slot}" {family} saddr != {enclave.address(version)} drop'
                   for enclave in self.enclaves for family, version in (("ip", 4), ("ip6", 6))]
        newline = "\n"
        return f"""
table inet reference {{
chain prerouting {{
type nat hook prerouting priority dstnat; policy accept;
{newline.join(published)}
}}
chain postrouting {{
type nat hook postrouting priority srcnat; policy accept;
iifname "cwin*" oifname "eth0" masquerade
}}
chain source {{
type filter hook prerouting priority raw; policy accept;
{newline.join(sources)}
}}
chain input {{
type filter hook input priority filter; policy accept;
ct state established,related accept
iifname "cwin*" icmpv6 type {{ 135, 136 }} accept
iifname "cwin*" drop
}}
chain forward {{
type filter hook forward priority filter; policy accept;
ct state established,related accept
iifname "cwin*" oifname "cwin*" drop
oifname "cwin*" ct status dnat accept
oifname "cwin*" drop
{newline.join('iifname "cwin*" ' + rule for rule in opened)}
iifname "cwin*" ip daddr {{ 0.0.0.0/8, 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 169.254.0.0/16, 100.64.0.0/10 }} drop
iifname "cwin*" ip6 daddr fc00::/7 drop
}}
}}
"""

    def _stop_kernel(self):
        parent = self.topology.parent
        parent.run("nft delete table inet reference", check=False)
        for enclave in self.enclaves:
            parent.run(f"ip link del cwin{enclave.slot}", check=False)
        parent.sysctl("net.ipv4.ip_forward", 0)
        parent.sysctl("net.ipv6.conf.all.forwarding", 0)
