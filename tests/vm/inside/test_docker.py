# SPDX-License-Identifier: Apache-2.0
"""A real dockerd in the enclave guest, on a kernel made for it, seen from the parent guest and its
internet. What Docker itself can do is tested in tests/docker; here is what this kernel decides:
NFQUEUE, iptables-legacy without nf_tables, overlay2, cgroups, quotas.
"""
import hashlib
import os

import dockerd
import pytest
from dns_server import address_of, dns_server
from dockerd import Docker
from fixtures import lent
from pair_world import Pair, enclave_guest, on, transfer
from test_pair import ask, kill_in_midtransfer
from topology import INTERNET, PARENT
from traffic import Background, Path, datagram_echo, nginx

pytestmark = pytest.mark.vm
MEGABYTE = 1 << 20
CHECK = "/project/kernel-config/check"
FRAGMENTS = "nfqueue,tc-mark,ipv6,nitro,docker,quota,diagnosis"
# Lie in the range that system.PUBLISH publishes on the parent.
PORTS = {"default": 7050, "inner": 7060}
NETWORK6 = "fd00:d0c:1::/64"  # lies in dockerd.POOL[6]
QUOTA_MIB = 20


@pytest.fixture(scope="module")
def guest():
    return enclave_guest()


@pytest.fixture(scope="module")
def docker(guest):
    """dockerd in the enclave, with nothing left of test_pair.py's stand-in for it."""
    for tool in ("iptables-legacy", "ip6tables-legacy"):
        guest.run(f"{tool} -t nat -F")
    guest.run("ip link del docker0", check=False)
    if not guest.run("cat /proc/self/mounts").count(" cgroup2 "):
        guest.run("mount -t cgroup2 none /sys/fs/cgroup")
    made = guest.remote.call(Docker, guest.namespace, "legacy", dns=[INTERNET[4]])
    yield made
    made.close()


@pytest.fixture(scope="module")
def tunnel(request, topology, guest, docker):
    """Through iptables-legacy; containers may send."""
    capture, _, lanes = request.param.partition("-")
    inside = [word for prefix in (*dockerd.BRIDGE.values(), *dockerd.POOL.values())
              for word in ("--inside", prefix)]
    made = Pair(topology, guest, capture=capture, lanes=int(lanes),
                enclave_arguments=["--firewall", "iptables-legacy", *inside])
    made.wait_ready()
    yield from lent(made)


@pytest.fixture(scope="module")
def boxes(docker):
    """A container on the default bridge and one on a network of its own, with published ports."""
    inner = docker.network("inner", version6=NETWORK6)
    return {name: docker.box(name, *options, publish=[
                f"{PORTS[name]}-{PORTS[name] + 4}:{PORTS[name]}-{PORTS[name] + 4}/{kind}"
                for kind in ("tcp", "udp")])
            for name, options in (("default", ()), ("inner", ("--network", inner)))}


@pytest.fixture(params=sorted(PORTS))
def box(request, boxes):
    return boxes[request.param]


# ---- the kernel

def test_kernel_has_every_fragment(guest):
    """By its own configuration, and by looking at the kernel itself."""
    for arguments in ((), ("--probe",)):
        done = guest.remote.call(dockerd.subprocess.run, [CHECK, "--need", FRAGMENTS, *arguments],
                                 capture_output=True, text=True, check=False)
        assert done.returncode == 0 and done.stdout.endswith("\nready\n"), done.stdout + done.stderr


def test_kernel_is_not_the_parents(guest):
    """No nf_tables, no modules: what is tested here is what was built."""
    assert guest.run("uname -r") != os.uname().release + "\n"
    assert guest.run("cat /proc/modules") == ""
    assert guest.run("cat /proc/net/ip_tables_names").split()
    assert "absent   nftables: " in guest.run(CHECK)


def test_nfqueue_captures(tunnel, guest):
    """Queues by mark, super-packets in them, and nothing by AF_PACKET but fragments."""
    path = Path(tunnel, "out", 4)
    client, server = path.pair()
    with client, server:
        transfer(client, server, 8 * MEGABYTE)
    queues = [line.split() for line in
              guest.run("cat /proc/net/netfilter/nfnetlink_queue").splitlines()]
    assert len(queues) == tunnel.lanes, queues
    # The columns: linux net/netfilter/nfnetlink_queue.c, seq_show(); the 8th counts packets.
    assert sum(int(queue[7]) for queue in queues) > 0, queues
    assert tunnel.enclave.daemon.total("^captured_super$") > 0
    for tool in ("iptables-legacy", "ip6tables-legacy"):
        rules = guest.run(f"{tool} -t raw -S CAUSEWAY-CAPTURE")
        assert rules.count("--mark") == tunnel.lanes and "NFQUEUE" in rules, rules


# ---- containers

def test_storage_and_cgroups(docker):
    said = docker.docker("info", "--format", "{{.Driver}} {{.CgroupVersion}}")
    assert said.split() == ["overlay2", "2"]


def test_containers_reach_out(tunnel, box, version):
    """TCP both ways, datagrams whole and in fragments, ICMP; through Docker's NAT and the parent's."""
    path = Path(tunnel, "out", version, inside=box)
    client, server = path.pair()
    with client, server:
        assert server.getpeername()[0] == PARENT[version]
        up = Background(transfer, client, server, 2 * MEGABYTE)
        transfer(server, client, 2 * MEGABYTE)
        up.result(300)
    with datagram_echo(path), path.datagram_client() as asking:
        assert on(asking, ask, (1, 1400, 5000)) == 3
    box.exec("ping", f"-{version}", "-c", "1", "-W", "20", INTERNET[version])


def test_download_by_a_containers_own_program(tunnel, box, tmp_path):
    content = os.urandom(8 * MEGABYTE)
    (tmp_path / "file").write_bytes(content)
    (tmp_path / "file").chmod(0o644)
    (tmp_path / "server").mkdir()
    with nginx(tunnel.topology.internet, tmp_path / "server", files=[tmp_path / "file"]):
        said = box.exec("sh", "-c", f"wget -q -O - http://{INTERNET[4]}/file | sha256sum")
    assert said.split()[0] == hashlib.sha256(content).hexdigest()


def test_names_in_a_container(tunnel, box):
    """By Docker's own resolver on a network of its own, by the server itself on the default one."""
    with dns_server(tunnel.topology.internet, 4, INTERNET[4]):
        assert address_of("example") in box.exec("nslookup", "-type=a", "example.test")


def test_published_ports_show_the_client(tunnel, box, version):
    port = PORTS[box.name]
    with box.listen(version, port) as listener:
        client = tunnel.topology.internet.connect(version, PARENT[version], port)
        server, peer = listener.accept()
    with client, server:
        assert peer[0] == INTERNET[version]
        transfer(client, server, MEGABYTE)
        transfer(server, client, MEGABYTE)


@pytest.mark.parametrize("victim", ["enclave", "parent"])
def test_kill_in_midtransfer(tunnel, guest, box, victim):
    """A daemon is killed while a container sends and receives."""
    kill_in_midtransfer(tunnel, guest, victim, [Path(tunnel, "out", 4, inside=box).pair(),
                                                Path(tunnel, "out", 6, inside=box).pair()])


# ---- quota, last: its dockerd takes the other's place

def test_disk_quota(guest, boxes, docker):
    """A container fills what it was given, and no more."""
    assert boxes
    docker.stop()
    guest.run("truncate -s 400M /run/docker.xfs")
    guest.run("mkfs.xfs -q /run/docker.xfs")
    guest.run("mkdir -p /run/docker-data")
    guest.run("mount -o loop,pquota /run/docker.xfs /run/docker-data")
    second = guest.remote.call(Docker, guest.namespace, "legacy", **{"data-root": "/run/docker-data"})
    try:
        box = second.box("small", "--storage-opt", f"size={QUOTA_MIB}M", "--network", "none")
        written = box.exec("sh", "-c", "dd if=/dev/zero of=/file bs=1M count=100; du -m /file",
                           check=False)
        text = written.stdout + written.stderr
        assert "No space left on device" in text, text
        assert int(written.stdout.split()[0]) <= QUOTA_MIB, text
    finally:
        second.close()
        guest.run("umount /run/docker-data")
