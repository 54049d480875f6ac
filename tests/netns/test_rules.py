# SPDX-License-Identifier: Apache-2.0
r"""What the parent's rule set does to packets, in each of its forms and without the daemons.

  enclave            enclave2
  e0 100.127.0.2     e0 100.127.0.3
   |                  |
   cwin2              cwin3
  +----------------------------+     +-------------------------------------+
  | parent  gateway 100.127.0.1|     | internet  192.0.2.2  203.0.113.10   |
  |         eth0 192.0.2.1, .3 |-----| 10.99.0.10  169.254.169.254         |
  +----------------------------+     +-------------------------------------+

The internet also has a route to the pool, as a neighbour on the parent's network could.
"""
import os
import socket

import pytest
from netns import Namespace, differences, snapshot
from system import BUILD

RULES_CLI = BUILD / "tests" / "tools" / "rules_cli"
BACKENDS = ("iptables", "iptables-legacy", "nft")

ENCLAVE = {4: "100.127.0.2", 6: "fd00:cafe::2"}
ENCLAVE2 = {4: "100.127.0.3", 6: "fd00:cafe::3"}
GATEWAY = {4: "100.127.0.1", 6: "fd00:cafe::1"}
PARENT = {4: "192.0.2.1", 6: "2001:db8:1::1"}
PARENT_SECOND = {4: "192.0.2.3", 6: "2001:db8:1::3"}
NEXT_HOP = {4: "192.0.2.2", 6: "2001:db8:1::2"}
INTERNET = {4: "203.0.113.10", 6: "2001:db8:2::10"}
PRIVATE = {4: "10.99.0.10", 6: "fd99::10"}
METADATA = {4: "169.254.169.254", 6: "fd00:ec2::254"}
POOL = {4: "100.127.0.0/16", 6: "fd00:cafe::/64"}
HOST = {4: 32, 6: 128}

REFUSED = "no route to host|permission denied"


def values(allow=(), opened=(), peers="", nat="1", families=(4, 6), connected=(), closed_forward=""):
    words = ["in=cwin", f"peers={peers}", "nat_ports=32768-60999"]
    for version in (4, 6):
        words += [f"has{version}={'1' if version in families else ''}", f"nat{version}={nat}",
                  f"closed_forward{version}={closed_forward}", f"pool{version}={POOL[version]}", f"gateway{version}={GATEWAY[version]}"]
        private = {4: ("10.0.0.0/8", "192.168.0.0/16"), 6: ("fc00::/7",)}
        closed = {4: ("169.254.0.0/16",), 6: ("fe80::/10", "fd00:ec2::254/128")}
        for name, prefixes in (("allow", allow), ("opened", opened), ("private", private[version]),
                               ("closed", closed[version]), ("connected", connected)):
            words.append(f"+{name}{version}")
            for prefix in prefixes:
                if (":" in prefix) == (version == 6):
                    words += [f"@{name}{version}", f".prefix={prefix}"]
        words.append(f"+publish{version}")
        to = ENCLAVE[version]
        words += [f"publish=tcp,-,8080-8080,{to},80", f"publish=udp,-,5300-5300,{to},53",
                  f"publish=tcp,-,7000-7003,{to},9000", f"publish=udp,-,7100-7103,{to},7100",
                  f"publish=tcp,{PARENT_SECOND[version]},8443-8443,{to},8443"]
        if version == 4:
            words.append(f"publish=tcp,127.0.0.1,8444-8444,{to},8444")
    return words


class Network:
    ROLES = ("enclave", "enclave2", "parent", "internet")

    def __init__(self):
        for role in self.ROLES:
            setattr(self, role, Namespace(f"cwtest-{os.getpid()}-rules-{role}"))
        try:
            self._make()
        except BaseException:
            self.remove()
            raise

    def _make(self):
        for role in self.ROLES:
            getattr(self, role).make()
        self._wire(self.parent, "eth0", self.internet, "eth0")
        self._wire(self.parent, "cwin2", self.enclave, "e0")
        self._wire(self.parent, "cwin3", self.enclave2, "e0")
        self._address(self.parent, "eth0", PARENT, {4: 24, 6: 64})
        # Deprecated: never a source of the parent's own choice.
        self._address(self.parent, "eth0", PARENT_SECOND, HOST, " preferred_lft 0")
        self._address(self.internet, "eth0", NEXT_HOP, {4: 24, 6: 64})
        for addresses in (INTERNET, PRIVATE, METADATA):
            self._address(self.internet, "lo", addresses, HOST)
        self._address(self.parent, "cwin2", GATEWAY, HOST)
        for namespace, addresses, device in ((self.enclave, ENCLAVE, "cwin2"),
                                             (self.enclave2, ENCLAVE2, "cwin3")):
            self._address(namespace, "e0", addresses, HOST)
            for version, address in addresses.items():
                self.parent.ip(f"-{version} route add {address} dev {device}")
                namespace.ip(f"-{version} route add {GATEWAY[version]} dev e0")
                namespace.ip(f"-{version} route add default via {GATEWAY[version]} dev e0")
        for version in (4, 6):
            self.parent.ip(f"-{version} route add default via {NEXT_HOP[version]}")
            self.internet.ip(f"-{version} route add {POOL[version]} via {PARENT[version]}")
        for name in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding",
                     "net.ipv4.conf.cwin2.route_localnet"):
            self.parent.sysctl(name, 1)
        # The neighbours' link-layer addresses are given, as the daemon gives them: the rules drop
        # everything that is for the parent itself, neighbour solicitations too.
        for device, namespace, addresses in (("cwin2", self.enclave, ENCLAVE),
                                             ("cwin3", self.enclave2, ENCLAVE2)):
            for version in (4, 6):
                self._neighbour(self.parent, device, addresses[version], namespace, "e0")
                self._neighbour(namespace, "e0", GATEWAY[version], self.parent, device)

    @staticmethod
    def _wire(left, left_name, right, right_name):
        left.ip(f"link add {left_name} type veth peer name {right_name} netns {right.name}")
        left.ip(f"link set {left_name} up")
        right.ip(f"link set {right_name} up")

    @staticmethod
    def _address(namespace, device, addresses, length, extra6=""):
        for version, address in addresses.items():
            extra = " nodad" + extra6 if version == 6 else ""
            namespace.ip(f"addr add {address}/{length[version]} dev {device}{extra}")

    @staticmethod
    def _neighbour(namespace, device, address, owner, owner_device):
        mac = owner.links()[owner_device]["address"]
        namespace.ip(f"neigh replace {address} lladdr {mac} dev {device} nud permanent")

    def cli(self, action, backend, *words, check=True):
        return self.parent.run([RULES_CLI, action, "parent", backend, *words], check=check)

    def apply(self, backend, **changes):
        assert self.cli("apply", backend, *values(**changes)).strip() == backend

    def remove(self):
        for role in self.ROLES:
            getattr(self, role).remove()


@pytest.fixture(scope="module")
def network():
    if not RULES_CLI.exists():
        pytest.skip(f"{RULES_CLI} is not built")
    made = Network()
    yield made
    made.remove()


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request, network):
    if network.cli("usable", request.param, check=False).returncode != 0:
        pytest.skip(f"{request.param} is not usable here")
    yield request.param
    network.cli("remove", "auto")


@pytest.fixture
def rules(network, backend):
    """The usual values, whatever the test before has tried."""
    network.apply(backend)
    return network


@pytest.fixture(params=(4, 6))
def version(request):
    return request.param


def exchange(client_namespace, version, address, port, server_namespace, server_port=None):
    """One TCP connection; the address that the server sees."""
    with server_namespace.listen(version, server_port or port) as server:
        with client_namespace.connect(version, address, port) as client:
            accepted, peer = server.accept()
            with accepted:
                client.sendall(b"ping")
                accepted.settimeout(30)
                assert accepted.recv(4) == b"ping"
                return peer[0]


def refused(namespace, version, address, port=80):
    """The connection is refused by an ICMP error, at once, and not by silence."""
    with pytest.raises(OSError, match=f"(?i){REFUSED}"):
        namespace.connect(version, address, port).close()


def pings(namespace, address):
    namespace.run(["ping", "-n", "-c", "1", "-W", "30", address])


def test_outbound_is_masqueraded(rules, version):
    peer = exchange(rules.enclave, version, INTERNET[version], 80, rules.internet)
    assert peer == PARENT[version]
    pings(rules.enclave, INTERNET[version])
    with rules.internet.datagram(version, INTERNET[version], 53) as server, \
            rules.enclave.datagram(version) as client:
        client.sendto(b"query", (INTERNET[version], 53))
        data, source = server.recvfrom(100)
        assert (data, source[0]) == (b"query", PARENT[version])
        server.sendto(b"answer", source)
        assert client.recv(100) == b"answer"


def test_metadata_service_is_closed(rules, backend, version):
    with rules.internet.listen(version, 80):
        refused(rules.enclave, version, METADATA[version])
        # What opens private ranges does not open it, only its own address does.
        rules.apply(backend, allow=("0.0.0.0/0", "::/0"))
        refused(rules.enclave, version, METADATA[version])
    rules.apply(backend, opened=(METADATA[4], METADATA[6]))
    exchange(rules.enclave, version, METADATA[version], 80, rules.internet)


def test_private_ranges_are_closed_unless_allowed(rules, backend, version):
    with rules.internet.listen(version, 80):
        refused(rules.enclave, version, PRIVATE[version])
    rules.apply(backend, allow=("10.99.0.0/24", "fd99::/64"))
    exchange(rules.enclave, version, PRIVATE[version], 80, rules.internet)


def nothing_arrives(client, version, address, port, server, server_port=None):
    """A datagram and a SYN to a port that is open do not arrive, though what follows them does."""
    inner = server_port or port
    with server.datagram(version, port=inner) as receiver, \
            server.listen(version, inner) as listener, \
            client.datagram(version) as sender, client.stream(version) as stream:
        sender.sendto(b"knock", (address, port))
        stream.setblocking(False)
        assert stream.connect_ex((address, port)) != 0
        pings(client, GATEWAY[4])
        for quiet, attempt in ((receiver, receiver.recv), (listener, lambda _: listener.accept())):
            quiet.setblocking(False)
            with pytest.raises(BlockingIOError):
                attempt(100)


def test_parent_itself_is_closed_but_its_gateway_answers_pings(rules, version):
    for address in (PARENT, PARENT_SECOND, GATEWAY):
        nothing_arrives(rules.enclave, version, address[version], 2222, rules.parent)
    pings(rules.enclave, GATEWAY[version])
    # The parent itself may talk to its enclaves, and hears their answers.
    exchange(rules.parent, version, ENCLAVE[version], 80, rules.enclave)


def test_published_ports_are_not_reached_from_an_enclave(rules, backend, version):
    """Not even by one that might reach the other enclave directly."""
    rules.apply(backend, peers="1")
    nothing_arrives(rules.enclave2, version, PARENT[version], 8080, rules.enclave, 80)
    nothing_arrives(rules.enclave2, version, PARENT[version], 5300, rules.enclave, 53)


def test_enclaves_reach_each_other_only_as_peers(rules, backend, version):
    with rules.enclave2.listen(version, 80):
        refused(rules.enclave, version, ENCLAVE2[version])
        rules.apply(backend, allow=(POOL[4], POOL[6]))
        refused(rules.enclave, version, ENCLAVE2[version])
    rules.apply(backend, peers="1")
    peer = exchange(rules.enclave, version, ENCLAVE2[version], 80, rules.enclave2)
    assert peer == ENCLAVE[version]


def test_published_port_shows_the_clients_address(rules, version):
    peer = exchange(rules.internet, version, PARENT[version], 8080, rules.enclave, 80)
    assert peer == NEXT_HOP[version]
    with rules.enclave.datagram(version, port=53) as server, \
            rules.internet.datagram(version) as client:
        client.connect((PARENT[version], 5300))  # the answer must come from where it was asked
        client.send(b"query")
        data, source = server.recvfrom(100)
        assert (data, source[0]) == (b"query", NEXT_HOP[version])
        server.sendto(b"answer", source)
        assert client.recv(100) == b"answer"


def test_ranges_map_one_to_one(rules, version):
    # Twice each: a second connection may not be spread to another port.
    for offset in (0, 1, 2, 3, 3, 2, 1, 0):
        exchange(rules.internet, version, PARENT[version], 7000 + offset, rules.enclave,
                 9000 + offset)
    for offset in range(4):
        with rules.enclave.datagram(version, port=7100 + offset) as server, \
                rules.internet.datagram(version) as client:
            client.sendto(b"x", (PARENT[version], 7100 + offset))
            assert server.recv(1) == b"x"


def test_listen_address(rules, version):
    exchange(rules.internet, version, PARENT_SECOND[version], 8443, rules.enclave)
    with rules.enclave.listen(version, 8443), pytest.raises(ConnectionRefusedError):
        rules.internet.connect(version, PARENT[version], 8443)  # nobody listens there


def test_published_port_is_reached_from_the_parent_itself(rules, version):
    exchange(rules.parent, version, PARENT[version], 8080, rules.enclave, 80)
    exchange(rules.parent, version, PARENT_SECOND[version], 8443, rules.enclave)


def test_published_port_is_reached_from_the_parents_loopback(rules):
    """The enclave sees the gateway: no answer could go to 127.0.0.1."""
    for port, inner in ((8080, 80), (8444, 8444)):
        peer = exchange(rules.parent, 4, "127.0.0.1", port, rules.enclave, inner)
        assert peer == GATEWAY[4]
    with rules.enclave.datagram(4, port=53) as server, rules.parent.datagram(4) as client:
        client.connect(("127.0.0.1", 5300))
        client.send(b"query")
        data, source = server.recvfrom(100)
        assert (data, source[0]) == (b"query", GATEWAY[4])
        server.sendto(b"answer", source)
        assert client.recv(100) == b"answer"


def test_port_of_the_loopback_address_is_no_one_elses(rules):
    with rules.enclave.listen(4, 8444):
        for client in (rules.internet, rules.parent):
            with pytest.raises(ConnectionRefusedError):
                client.connect(4, PARENT[4], 8444)
    nothing_arrives(rules.enclave2, 4, PARENT[4], 8444, rules.enclave)


def test_the_loopback_of_ipv6_stays_the_hosts(rules):
    """The kernel lets no packet from ::1 leave: a rule would only take the port away."""
    with rules.enclave.listen(6, 80), pytest.raises(ConnectionRefusedError):
        rules.parent.connect(6, "::1", 8080)


def test_enclave_address_is_no_way_in(rules, version):
    """A neighbour that routes the pool to the parent gets nothing by it, unlike by the front door."""
    with rules.enclave.datagram(version, port=53) as server, \
            rules.internet.datagram(version) as client:
        client.sendto(b"direct", (ENCLAVE[version], 53))
        client.sendto(b"published", (PARENT[version], 5300))
        assert server.recv(100) == b"published"


def test_routed_pool_is_not_translated(rules, backend, version):
    rules.apply(backend, nat="")
    peer = exchange(rules.enclave, version, INTERNET[version], 80, rules.internet)
    assert peer == ENCLAVE[version]
    peer = exchange(rules.internet, version, ENCLAVE[version], 80, rules.enclave)
    assert peer == NEXT_HOP[version]
    exchange(rules.internet, version, ENCLAVE[version], 9003, rules.enclave)
    with rules.enclave.datagram(version, port=54) as closed, \
            rules.enclave.datagram(version, port=53) as published, \
            rules.internet.datagram(version) as client:
        client.sendto(b"x", (ENCLAVE[version], 54))
        client.sendto(b"y", (ENCLAVE[version], 53))
        assert published.recv(1) == b"y"
        closed.setblocking(False)
        with pytest.raises(BlockingIOError):
            closed.recv(1)


def test_invalid_packets_do_not_leave_untranslated(rules, backend, version):
    """An echo reply that nobody asked for is INVALID to conntrack, which does not translate it."""
    protocol = {4: socket.IPPROTO_ICMP, 6: socket.IPPROTO_ICMPV6}[version]
    reply = {4: bytes((0, 0, 0xFF, 0xFF, 0, 0, 0, 0)), 6: bytes((129, 0, 0, 0, 0, 0, 0, 0))}
    family = {4: socket.AF_INET, 6: socket.AF_INET6}[version]

    def first_arrival():
        with rules.internet.socket(family, socket.SOCK_RAW, protocol) as server, \
                rules.enclave.socket(family, socket.SOCK_RAW, protocol) as client:
            client.sendto(reply[version], (INTERNET[version], 0))
            pings(rules.enclave, INTERNET[version])
            while True:
                packet, source = server.recvfrom(2000)
                kind = packet[20] if version == 4 else packet[0]
                if kind in (0, 8, 128, 129):
                    return kind, source[0]

    assert first_arrival() == ({4: 8, 6: 128}[version], PARENT[version])
    rules.apply(backend, nat="")  # nothing to translate, nothing to hide
    assert first_arrival() == ({4: 0, 6: 129}[version], ENCLAVE[version])


def test_family_that_is_off_is_closed(rules, backend, version):
    other = 10 - version
    rules.apply(backend, families=(other,))
    with rules.internet.datagram(version, INTERNET[version], 53) as server, \
            rules.enclave.datagram(version) as client:
        client.sendto(b"out", (INTERNET[version], 53))
        pings(rules.enclave, INTERNET[other])
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.recv(100)


def test_established_connection_survives_a_second_apply(rules, backend, version):
    with rules.internet.listen(version, 80) as server:
        with rules.enclave.connect(version, INTERNET[version], 80) as client:
            accepted, _ = server.accept()
            with accepted:
                for _ in range(2):
                    rules.apply(backend)
                    client.sendall(b"still")
                    accepted.settimeout(30)
                    assert accepted.recv(5) == b"still"


def listing(network, backend):
    if backend == "nft":
        return network.parent.run("nft list ruleset")
    suffix = backend.replace("iptables", "tables") + "-save"
    return network.parent.run("ip" + suffix) + network.parent.run("ip6" + suffix)


def test_applied_twice_is_one_hook(rules, backend):
    once = listing(rules, backend)
    rules.apply(backend)
    again = listing(rules, backend)
    for text in ("CAUSEWAY-FORWARD", "CAUSEWAY-INPUT", "CAUSEWAY-OUTPUT", "table inet causeway",
                 "hook forward"):
        assert again.count(text) == once.count(text), text
    if backend == "nft":
        assert again.count("table inet causeway") == 1
    else:
        assert again.count("-A FORWARD -j CAUSEWAY-FORWARD\n") == 2  # one a family
        assert again.count("-A INPUT -i cwin+ -j CAUSEWAY-INPUT\n") == 2


def test_removal_leaves_the_host_as_it_was(rules, backend):
    rules.cli("remove", "auto")
    program = "iptables-legacy" if backend == "iptables-legacy" else "iptables"
    rules.parent.run([program, "-I", "FORWARD", "-s", "198.18.0.1", "-j", "ACCEPT"])
    rules.parent.run([program, "-t", "nat", "-A", "POSTROUTING", "-s", "198.18.0.1", "-j",
                      "MASQUERADE"])
    try:
        before = snapshot(rules.parent)
        rules.apply(backend)
        assert differences(before, snapshot(rules.parent))
        rules.apply(backend)
        rules.cli("remove", "auto")
        assert not differences(before, snapshot(rules.parent))
        rules.cli("remove", "auto")  # absent is success
        assert not differences(before, snapshot(rules.parent))
    finally:
        rules.parent.run([program, "-F", "FORWARD"])
        rules.parent.run([program, "-t", "nat", "-F", "POSTROUTING"])


def test_forward_policy_of_drop_is_passed(rules, backend, version):
    if backend == "nft":
        pytest.skip("an nft table cannot accept on behalf of another: docs/rules.md says so")
    program = backend.replace("iptables", {4: "iptables", 6: "ip6tables"}[version])
    rules.parent.run([program, "-P", "FORWARD", "DROP"])
    try:
        rules.apply(backend)
        exchange(rules.enclave, version, INTERNET[version], 80, rules.internet)
        exchange(rules.internet, version, PARENT[version], 8080, rules.enclave, 80)
        rules.cli("remove", "auto")
        assert "-P FORWARD DROP" in rules.parent.run([program, "-S", "FORWARD"])
    finally:
        rules.parent.run([program, "-P", "FORWARD", "ACCEPT"])


def test_printed_rules_are_what_is_applied(rules, backend):
    """The text of --dry-run, fed to a shell, makes the same rules."""
    applied = snapshot(rules.parent)
    rules.cli("remove", "auto")
    text = rules.cli("print", backend, *values())
    rules.parent.run(["sh", "-e"], input=text)
    assert not differences(applied, snapshot(rules.parent))


def test_shipped_templates_have_no_unknown_names(network):
    """A value that is missing is an error and leaves nothing behind."""
    for word in ("pool4=", "gateway6=", "in="):
        words = [value for value in values() if not value.startswith(word)]
        failed = network.cli("print", "nft", *words, check=False)
        assert failed.returncode == 1
        assert "unknown name" in failed.stderr
