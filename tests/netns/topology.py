# SPDX-License-Identifier: Apache-2.0
r"""The network that the tests run in: five namespaces, made anew for a test file.

  enclave        enclave2                     (no link but the tunnel)
  cw0 100.127.0.2   cw0 100.127.0.3
      :              :
      : the system under test
      :              :
  +---+--------------+------------+
  | parent                        |
  |   eth0 198.51.100.2/24  .3    |      .3 and ::3: a second address to listen on
  |        2001:db8:51::2/64  ::3 |
  +---+---------------------------+
      |
  +---+---------------------------+
  | router                        |
  |   in0  198.51.100.1           |
  |        2001:db8:51::1         |
  |   out0 203.0.113.1            |
  |        2001:db8:113::1        |
  +---+---------------------------+
      |
  +---+---------------------------+
  | internet                      |
  |   eth0 203.0.113.10/24        |
  |        2001:db8:113::10       |
  |        10.99.0.10, fd99::10   |      a private network
  |        169.254.169.254        |      a metadata service, and fd00:ec2::254
  +-------------------------------+

A narrow path is made by routes with an MTU in the router: it forwards by the route's MTU just as by
a link's (linux include/net/ip.h, ip_dst_mtu_maybe_forward) and answers "fragmentation needed" or
"packet too big"; no device changes, so neither end knows by any other way than by that answer.
"""
import atexit
import os
import subprocess
from pathlib import Path

from netns import Namespace, wait_for

NARROW_MTU = 1300

PARENT = {4: "198.51.100.2", 6: "2001:db8:51::2"}
PARENT_SECOND = {4: "198.51.100.3", 6: "2001:db8:51::3"}
ROUTER_IN = {4: "198.51.100.1", 6: "2001:db8:51::1"}
ROUTER_OUT = {4: "203.0.113.1", 6: "2001:db8:113::1"}
INTERNET = {4: "203.0.113.10", 6: "2001:db8:113::10"}
PRIVATE = {4: "10.99.0.10", 6: "fd99::10"}
PRIVATE_NET = {4: "10.99.0.0/24", 6: "fd99::/64"}
METADATA = {4: "169.254.169.254", 6: "fd00:ec2::254"}
LENGTH = {4: 24, 6: 64}
HOST_LENGTH = {4: 32, 6: 128}

# A file for each test process whose namespaces are kept (keep.py), named by its number.
KEPT = Path("/run/causeway-test-kept")

_made = []


def _remove_all():
    while _made:
        _made.pop().remove()


atexit.register(_remove_all)


def register(namespace):
    """Has a namespace removed at the end of the test run, whatever happens."""
    _made.append(namespace)
    return namespace


def registered():
    """Names of the namespaces that this process has made and not removed."""
    return [namespace.name for namespace in _made]


def sweep():
    """Removes namespaces of test runs that were killed before they could. Others may be running, or
    sweeping, meanwhile."""
    listing = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
    for line in listing.stdout.splitlines():
        name = line.split()[0]
        parts = name.split("-")
        if parts[0] == "cwtest" and len(parts) == 4 and not os.path.exists(f"/proc/{parts[1]}") \
                and not (KEPT / parts[1]).exists():
            Namespace(name).remove()


class Topology:
    _count = 0
    ROLES = ("enclave", "enclave2", "parent", "router", "internet")

    def __init__(self):
        Topology._count += 1
        prefix = f"cwtest-{os.getpid()}-{Topology._count}"
        for role in self.ROLES:
            setattr(self, role, Namespace(f"{prefix}-{role}"))
        try:
            self._make()
        except BaseException:
            self.remove()
            raise

    def namespaces(self):
        return [getattr(self, role) for role in self.ROLES]

    def _make(self):
        for namespace in self.namespaces():
            register(namespace).make()
        self._wire(self.parent, "eth0", self.router, "in0")
        self._wire(self.internet, "eth0", self.router, "out0")
        for name in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
            self.router.sysctl(name, 1)
        # A router answers every packet in a test, not ten a second.
        for namespace in (self.router, self.parent, self.internet):
            namespace.sysctl("net.ipv4.icmp_ratelimit", 0)
            namespace.sysctl("net.ipv6.icmp.ratelimit", 0)
        self._address(self.parent, "eth0", PARENT, PARENT_SECOND)
        self._address(self.router, "in0", ROUTER_IN)
        self._address(self.router, "out0", ROUTER_OUT)
        self._address(self.internet, "eth0", INTERNET, PRIVATE, METADATA)
        for version in (4, 6):
            self.parent.ip(f"-{version} route add default via {ROUTER_IN[version]}")
            self.internet.ip(f"-{version} route add default via {ROUTER_OUT[version]}")
            via = f"via {INTERNET[version]} dev out0"
            self.router.ip(f"-{version} route add {PRIVATE_NET[version]} {via}")
            host = HOST_LENGTH[version]
            self.router.ip(f"-{version} route add {METADATA[version]}/{host} {via}")

    @staticmethod
    def _wire(left, left_name, right, right_name):
        left.ip(f"link add {left_name} type veth peer name {right_name} netns {right.name}")
        for namespace, name in ((left, left_name), (right, right_name)):
            # Link-local addresses are there at once, not a second of duplicate detection later.
            namespace.sysctl(f"net.ipv6.conf.{name}.accept_dad", 0)
            namespace.ip(f"link set {name} up")
        for namespace, name in ((left, left_name), (right, right_name)):
            wait_for(lambda n=namespace, d=name: "fe80:" in n.ip(f"-6 addr show dev {d}"),
                     f"a link-local address on {name}")

    @staticmethod
    def _address(namespace, device, *sets):
        for index, addresses in enumerate(sets):
            for version, address in addresses.items():
                length = LENGTH[version] if index == 0 else HOST_LENGTH[version]
                # Deprecated (preferred_lft 0): only used by those who name it.
                extra = "" if version == 4 else " nodad" + " preferred_lft 0" * (index > 0)
                namespace.ip(f"addr add {address}/{length} dev {device}{extra}")

    def narrow(self, on):
        """Makes the path between parent and internet narrow in both directions, or wide again."""
        for version in (4, 6):
            for address, device in ((PARENT, "in0"), (INTERNET, "out0")):
                verb, mtu = ("add", f" mtu {NARROW_MTU}") if on else ("del", "")
                self.router.ip(f"-{version} route {verb} {address[version]}/{HOST_LENGTH[version]} "
                               f"dev {device}{mtu}")
        self._forget_paths()

    def _forget_paths(self):
        """Flushes what the hosts have learned about path MTUs."""
        for namespace in self.namespaces():
            for version in (4, 6):
                namespace.ip(f"-{version} route flush cache")

    def remove(self):
        for namespace in self.namespaces():
            namespace.remove()
            if namespace in _made:
                _made.remove(namespace)
