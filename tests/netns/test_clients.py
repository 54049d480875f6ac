# SPDX-License-Identifier: Apache-2.0
"""Real programs through the tunnel, in every form of it, out and in."""
import hashlib
import json
import os
import re

import pytest
from netns import PATIENCE
from topology import INTERNET, PARENT, PARENT_SECOND, ROUTER_IN
from traffic import Path, datagram_echo, listens, next_port, nginx, program


def url(address, path="", port=80):
    host = f"[{address}]" if ":" in address else address
    return f"http://{host}:{port}/{path}"


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.fixture(scope="module")
def web(topology, tmp_path_factory, big_file):
    """nginx on the internet, with the big file."""
    with nginx(topology.internet, tmp_path_factory.mktemp("nginx"), files=[big_file[0]]) as root:
        yield root


@pytest.fixture(scope="module")
def inner_web(tunnel, tmp_path_factory):
    """nginx in the enclave: 80 (published as 8080) is all it listens on."""
    with nginx(tunnel.enclave.namespace, tmp_path_factory.mktemp("nginx")) as root:
        yield root


def curl(namespace, *arguments):
    return namespace.run(["curl", "-sS", "--fail", "--max-time", "240", *arguments])


def test_curl(tunnel, web, version):
    answer = curl(tunnel.enclave.namespace, url(INTERNET[version], "whoami"))
    assert answer == PARENT[version], "the internet sees the parent's address"


def assert_pings(tunnel, version, count, size):
    """The first `count` echoes are answered, once. -w and not -W, which gives a late answer no more
    than two round trips of the first one; meanwhile it sends more than were asked for."""
    out = tunnel.enclave.namespace.run(
        ["ping", f"-{version}", f"-c{count}", "-i0.01", f"-w{PATIENCE:.0f}", "-s", size,
         INTERNET[version]])
    answered = {int(number) for number in re.findall(r"icmp_seq=(\d+) ", out)}
    assert answered >= set(range(1, count + 1)) and "DUP" not in out, out


def test_ping(tunnel, version):
    assert_pings(tunnel, version, 5, 1200)


@pytest.mark.parametrize("size", [0, 8, 1472, 4000, 60000])
def test_ping_sizes(tunnel, version, size):
    assert_pings(tunnel, version, 2, size)


def test_large_download(tunnel, web, big_file, version, tmp_path):
    curl(tunnel.enclave.namespace, "-o", tmp_path / "got", url(INTERNET[version], "big"))
    assert sha256(tmp_path / "got") == big_file[1]
    (tmp_path / "got").unlink()


def test_large_upload(tunnel, web, big_file, version):
    curl(tunnel.enclave.namespace, "-T", big_file[0], url(INTERNET[version], "up/got"))
    stored = web / "www" / "up" / "got"
    assert sha256(stored) == big_file[1]
    stored.unlink()


def test_udp_echo(tunnel, direction, version):
    path = Path(tunnel, direction, version)
    with datagram_echo(path), path.datagram_client() as client:
        for number in range(50):
            message = b"datagram %d" % number
            client.send(message)
            assert client.recv(2048) == message


@pytest.mark.parametrize("reverse", [False, True], ids=["up", "down"])
@pytest.mark.parametrize("streams", [1, 4])
def test_iperf3(tunnel, version, streams, reverse):
    port = next_port()
    internet = tunnel.topology.internet
    with program(internet, ["iperf3", "-s", "-p", port], listens(internet, port, 6)):
        out = tunnel.enclave.namespace.run(
            ["iperf3", f"-{version}", "-c", INTERNET[version], "-p", port, "-P", streams, "-n",
             "60M", "-J"] + ["-R"] * reverse)
    report = json.loads(out)
    assert report["end"]["sum_sent"]["bytes"] >= 60 << 20
    # iperf3 stops counting when the sender is done, whole windows before the last byte has come.
    assert report["end"]["sum_received"]["bytes"] > 0
    assert len(report["end"]["streams"]) == streams


def kernel_losses(tunnel):
    """Datagrams that were dropped because somebody did not get to read them in time: the receiver's
    socket, the lanes' queues, a processor's backlog (of the whole machine)."""
    sockets = sum(int(number) for number in re.findall(
        r"^Udp6RcvbufErrors\s+(\d+)", tunnel.topology.internet.read("/proc/thread-self/net/snmp6"),
        re.M))
    names, values = re.findall(r"^Udp: (.*)$",
                               tunnel.topology.internet.read("/proc/thread-self/net/snmp"), re.M)
    sockets += int(dict(zip(names.split(), values.split()))["RcvbufErrors"])
    queues = sum(daemon.total("^queue_dropped$") for daemon in tunnel.daemons())
    backlog = sum(int(line.split()[1], 16) for line in open("/proc/net/softnet_stat"))
    return sockets + queues + backlog


def test_iperf3_udp(tunnel, version):
    """UDP at a modest rate arrives in order. What does not arrive was too much for a queue of the
    kernel's, on a machine that is busy with other things: none is lost in between."""
    port = next_port()
    internet = tunnel.topology.internet
    before = kernel_losses(tunnel)
    # On one processor: a sender that moves to another one overtakes its own packets.
    processor = min(os.sched_getaffinity(0))
    with program(internet, ["iperf3", "-s", "-p", port], listens(internet, port, 6)):
        out = tunnel.enclave.namespace.run(
            ["taskset", "-c", processor, "iperf3", f"-{version}", "-u", "-c", INTERNET[version],
             "-p", port, "-n", "5M", "-b", "50M", "-l", "1200", "-J"])
    stream = json.loads(out)["end"]["streams"][0]["udp"]
    assert stream["out_of_order"] == 0
    assert stream["lost_packets"] <= kernel_losses(tunnel) - before
    assert stream["lost_packets"] < stream["packets"]


def test_traceroute(tunnel, version):
    out = tunnel.enclave.namespace.run(
        ["traceroute", f"-{version}", "-n", "-q1", "-w5", INTERNET[version]])
    hops = re.findall(r"^ *\d+ +(\S+)", out, re.MULTILINE)
    gateway = [route["gateway"] for route in
               tunnel.enclave.namespace.ip_json(f"-{version} route show default")][0]
    assert hops == [gateway, ROUTER_IN[version], INTERNET[version]]


def test_published_port_shows_the_client(tunnel, inner_web, version):
    answer = curl(tunnel.topology.internet, url(PARENT[version], "whoami", 8080))
    assert answer == INTERNET[version], "the enclave sees the client's own address"


def test_published_only_where_told(tunnel, version):
    """8443 is published on the second address alone."""
    internet, inside = tunnel.topology.internet, tunnel.enclave.namespace
    with inside.listen(version, 8443) as listener:
        with internet.connect(version, PARENT_SECOND[version], 8443):
            listener.accept()[0].close()
        with pytest.raises(ConnectionRefusedError):
            internet.connect(version, PARENT[version], 8443)


def test_published_udp_to_another_port(tunnel, version):
    with tunnel.enclave.namespace.datagram(version, port=53) as server, \
            tunnel.topology.internet.datagram(version) as client:
        client.connect((PARENT[version], 5300))
        client.send(b"question")
        data, sender = server.recvfrom(100)
        assert (data, sender[0]) == (b"question", INTERNET[version])
        server.sendto(b"answer", sender)
        assert client.recv(100) == b"answer"


@pytest.mark.parametrize("port", [7000, 7050, 7099])
def test_published_range(tunnel, version, port):
    with tunnel.enclave.namespace.listen(version, port) as listener:
        with tunnel.topology.internet.connect(version, PARENT[version], port):
            listener.accept()[0].close()


@pytest.mark.parametrize("port", [6999, 7100, 81])
def test_not_published(tunnel, version, port):
    with tunnel.enclave.namespace.listen(version, port):
        with pytest.raises(ConnectionRefusedError):
            tunnel.topology.internet.connect(version, PARENT[version], port)
