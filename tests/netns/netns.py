# SPDX-License-Identifier: Apache-2.0
"""Network namespaces as objects: sockets, programs and sysctls of a namespace from one test process.

A socket belongs to the namespace in which it was created, for good. So a test enters a namespace
only for the call that creates a socket (or forks a program) and leaves it at once; clients and
servers of four namespaces then live side by side in one process, in threads where they must.
"""
import contextlib
import ctypes
import json
import os
import socket
import subprocess
import time
from pathlib import Path

CLONE_NEWNET = 0x40000000
PATIENCE = 60.0  # seconds until a condition that has not come counts as failed; never a measurement

libc = ctypes.CDLL(None, use_errno=True)


def _setns(fd):
    if libc.setns(fd, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def wait_for(condition, what, patience=PATIENCE):
    """Polls until condition() is true and returns its value; fails naming what did not come: a text,
    or a function that makes one then."""
    deadline = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            words = what() if callable(what) else what
            raise AssertionError(f"waited {patience:.0f} s in vain for {words}")
        time.sleep(0.01)


class Namespace:
    """A named network namespace, made by make() and removed by remove()."""

    def __init__(self, name):
        self.name = name
        self.path = f"/run/netns/{name}"

    def make(self):
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        self.ip("link set lo up")

    def remove(self):
        subprocess.run(["ip", "netns", "del", self.name], check=False,
                       stderr=subprocess.DEVNULL)

    @contextlib.contextmanager
    def entered(self):
        with open(self.path) as target, open("/proc/thread-self/ns/net") as home:
            _setns(target.fileno())
            try:
                yield
            finally:
                _setns(home.fileno())

    # ---- programs

    def popen(self, command, **options):
        with self.entered():
            return subprocess.Popen([str(word) for word in command], **options)

    def run(self, command, check=True, patience=300, **options):
        """Runs a program to its end and returns its standard output."""
        if isinstance(command, str):
            command = command.split()
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.PIPE)
        with self.entered():
            done = subprocess.run([str(word) for word in command], text=True, timeout=patience,
                                  check=False, **options)
        if check and done.returncode != 0:
            raise AssertionError(f"in {self.name}: {' '.join(map(str, command))}: status "
                                 f"{done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout if check else done

    def ip(self, arguments):
        return self.run(["ip"] + arguments.split())

    def ip_json(self, arguments):
        return json.loads(self.run(["ip", "-j"] + arguments.split()) or "[]")

    def nft(self, text):
        self.run(["nft", "-f", "-"], input=text)

    # ---- settings

    def sysctl(self, name, value=None):
        path = Path("/proc/sys") / name.replace(".", "/")
        with self.entered():
            if value is not None:
                path.write_text(f"{value}\n")
            return path.read_text().strip()

    def read(self, path):
        with self.entered():
            return Path(path).read_text()

    def links(self):
        return {link["ifname"]: link for link in self.ip_json("link show")}

    def addresses(self, device, version):
        """Global addresses of a device, as text without prefix length."""
        family = "inet" if version == 4 else "inet6"
        with contextlib.suppress(AssertionError):
            return [address["local"] for link in self.ip_json(f"addr show dev {device}")
                    for address in link.get("addr_info", [])
                    if address["family"] == family and address["scope"] == "global"]
        return []

    # ---- sockets

    def socket(self, family, kind, protocol=0, patience=PATIENCE):
        with self.entered():
            made = socket.socket(family, kind, protocol)
        made.settimeout(patience)
        return made

    def stream(self, version, patience=PATIENCE):
        return self.socket(family_of(version), socket.SOCK_STREAM, patience=patience)

    def datagram(self, version, address=None, port=0, patience=PATIENCE):
        made = self.socket(family_of(version), socket.SOCK_DGRAM, patience=patience)
        if address is not None or port:
            # Not on clients: two of them could be given the same port.
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((address or wildcard(version), port))
        return made

    def listen(self, version, port, address=None, backlog=128, options=()):
        made = self.stream(version)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if version == 6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        for level, option, value in options:
            made.setsockopt(level, option, value)
        made.bind((address or wildcard(version), port))
        made.listen(backlog)
        return made

    def connect(self, version, address, port, patience=PATIENCE, options=()):
        made = self.stream(version, patience)
        for level, option, value in options:
            made.setsockopt(level, option, value)
        try:
            made.connect((address, port))
        except BaseException:
            made.close()
            raise
        return made

    def sniffer(self, device, vnet_header=False):
        """An AF_PACKET socket that sees what passes a device."""
        made = self.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
        if vnet_header:
            made.setsockopt(263, 15, 1)  # SOL_PACKET, PACKET_VNET_HDR
        made.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        made.bind((device, 0x0003))
        return made


def family_of(version):
    return {4: socket.AF_INET, 6: socket.AF_INET6}[version]


def wildcard(version):
    return {4: "0.0.0.0", 6: "::"}[version]


# ---- what a namespace looks like, for "exactly as before"

# Counters of the kernel's and values it draws anew at every reading.
VOLATILE_SYSCTLS = ("nf_conntrack_count", "nf_conntrack_max", "nf_conntrack_buckets")


def _sysctls(namespace):
    found = {}
    with namespace.entered():
        for root, _, files in os.walk("/proc/sys/net"):
            for name in files:
                path = os.path.join(root, name)
                if name not in VOLATILE_SYSCTLS:
                    with contextlib.suppress(OSError):
                        found[path] = Path(path).read_text()
    return found


def _rules(text):
    """Drops the comments, the counters and what a firewall tool leaves merely by having been used:
    built-in chains without rules, policy ACCEPT."""
    kept = [line for line in text.splitlines()
            if line and not line.startswith(("#", "*", "COMMIT")) and " ACCEPT [" not in line]
    return kept


def _ruleset(namespace):
    listing = json.loads(namespace.run(["nft", "-s", "-j", "list", "ruleset"]))["nftables"]
    rules = [entry["rule"] for entry in listing if "rule" in entry]
    used = {(rule["family"], rule["table"]) for rule in rules}
    kept = []
    for entry in listing:
        (kind, value), = entry.items()
        if kind == "metainfo":
            continue
        owner = (value.get("family"), value["name"] if kind == "table" else value.get("table"))
        standard = owner[1] in ("filter", "nat", "mangle", "raw", "security")
        if not standard or owner in used or kind not in ("table", "chain"):
            value.pop("handle", None)
            kept.append((kind, json.dumps(value, sort_keys=True)))
        elif kind == "chain" and value.get("policy", "accept") != "accept":
            kept.append((kind, json.dumps(value, sort_keys=True)))
    return sorted(kept)


def _queues(namespace):
    """Number of each NFQUEUE, and how many packets wait there for a verdict."""
    text = namespace.read("/proc/thread-self/net/netfilter/nfnetlink_queue")
    return sorted((line.split()[0], line.split()[2]) for line in text.splitlines())


def queues_are_empty(namespace):
    """No packet waits for a verdict."""
    return all(waiting == "0" for _, waiting in _queues(namespace))


def snapshot(namespace):
    """Everything a daemon may not leave behind, in comparable form."""
    neighbours = [entry for entry in namespace.ip_json("neigh show")
                  if "PERMANENT" in entry.get("state", [])]
    state = {
        "link": [{key: link.get(key) for key in ("ifname", "mtu", "flags", "address", "operstate")}
                 for link in namespace.ip_json("link show")],
        "addr": [(link["ifname"], address["local"], address["prefixlen"], address["scope"])
                 for link in namespace.ip_json("addr show") for address in link["addr_info"]],
        "route4": namespace.ip_json("-4 route show table all"),
        "route6": namespace.ip_json("-6 route show table all"),
        "rule4": namespace.ip_json("-4 rule show"),
        "rule6": namespace.ip_json("-6 rule show"),
        "neigh": neighbours,
        "nft": _ruleset(namespace),
        "sysctl": _sysctls(namespace),
        "queues": _queues(namespace),
    }
    for tool in ("iptables-save", "ip6tables-save", "iptables-legacy-save",
                 "ip6tables-legacy-save"):
        state[tool] = _rules(namespace.run([tool]))
    return state


def differences(before, after):
    """What differs between two snapshots, as readable lines."""
    found = []
    for part, was in before.items():
        now = after[part]
        if was == now:
            continue
        if isinstance(was, dict):
            found += [f"{part} {key}: {was.get(key)!r} -> {now.get(key)!r}"
                      for key in sorted(set(was) | set(now)) if was.get(key) != now.get(key)]
        elif isinstance(was, list):
            found += [f"{part}: gone {entry}" for entry in was if entry not in now]
            found += [f"{part}: new {entry}" for entry in now if entry not in was]
            if not found or not found[-1].startswith(part):
                found.append(f"{part}: order or count changed: {was} -> {now}")
        else:
            found.append(f"{part}: {was!r} -> {now!r}")
    return found
