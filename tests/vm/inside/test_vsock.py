# SPDX-License-Identifier: Apache-2.0
"""What only a real AF_VSOCK and this kernel can show. Runs inside the guest, beside the namespace
tests that run there too."""
import os
import socket

import hostile
import pytest
from guest import LOCAL_CID, PORT_BASE
from netns import PATIENCE, wait_for
from topology import INTERNET, PARENT
from traffic import (Background, Path, SlowSender, datagram_echo, progress, receive_all, transfer)

pytestmark = pytest.mark.vm
MEGABYTE = 1 << 20
PATIENCE_KILL = 90  # seconds: emulation, and TCP that backs off while nobody answers
PORT = PORT_BASE + 2  # the first enclave's slot is 2
SOL_UDP, UDP_SEGMENT = 17, 103
KERNEL = tuple(int(number) for number in os.uname().release.split(".")[:2])
TOOLS = ("iptables-legacy", "iptables", "nft")


def streams(namespace):
    """The established vsock streams on the tunnel's port that have an end in a namespace."""
    listing = namespace.run(["ss", "--vsock", "-n", "-H"])
    return [line for line in listing.splitlines()
            if "ESTAB" in line and any(word.endswith(f":{PORT}") for word in line.split())]


def works(tunnel):
    """Every kind of traffic, once: echoes, TCP both ways on both sides, datagrams in fragments."""
    tunnel.wait_ready()
    for version in (4, 6):
        for direction in ("out", "in"):
            path = Path(tunnel, direction, version)
            client, server = path.pair()
            with client, server:
                up = Background(transfer, client, server, MEGABYTE)
                transfer(server, client, MEGABYTE)
                up.result()
            with datagram_echo(path), path.datagram_client() as sender:
                for size in (1, 1400, 9000):
                    data = bytes([size % 251]) * size
                    sender.send(data)
                    assert sender.recv(65535) == data


@pytest.mark.parametrize("capture,lanes", [("nfqueue", 1), ("packet", 4)])
def test_lanes_are_vsock_streams(workshop, capture, lanes):
    """Each lane is a stream of its own, and all of the traffic goes over them."""
    tunnel = workshop.tunnel(capture=capture, lanes=lanes)
    works(tunnel)
    for namespace in (tunnel.enclave.namespace, tunnel.topology.parent):
        assert len(streams(namespace)) == lanes, streams(namespace)
    assert len(tunnel.parent.stats()) == lanes
    assert tunnel.parent.total("^(packet|policy|offload)_") == 0
    for link in tunnel.enclave.namespace.links():
        assert link in ("lo", "cw0", "cw1"), "a way out besides the tunnel"


@pytest.mark.parametrize("tool", TOOLS)
def test_firewall_tools(workshop, tool):
    """Both ends with each of the firewall tools, as this kernel has them."""
    tunnel = workshop.tunnel(lanes=2, parent_arguments=["--firewall", tool],
                             enclave_arguments=["--firewall", tool])
    works(tunnel)
    stopped = tunnel.stop()
    assert set(stopped.values()) == {0}, tunnel.logs()


@pytest.mark.parametrize("role", ["enclave", "parent"])
def test_check_finds_this_kernel_ready(topology, workshop, role):
    tunnel = workshop.tunnel(start=False)
    daemon = tunnel.parent if role == "parent" else tunnel.enclave.daemon
    done = getattr(topology, role).run([*daemon.command, "--check"], check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_software_segmentation(workshop):
    """Before Linux 6.2 packet sockets neither take nor describe UDP super-packets. On the way out,
    NFQUEUE does, and the parent splits what it cannot inject; on the way in, the parent's kernel
    splits ahead of the tap. The borders stay where the sender put them."""
    if KERNEL >= (6, 2):
        pytest.skip("this kernel takes UDP super-packets")
    tunnel = workshop.tunnel(capture="nfqueue")
    for direction, receiver, segmented in (("out", tunnel.parent, 1),
                                           ("in", tunnel.enclave.daemon, 0)):
        path = Path(tunnel, direction, 4)
        with path.datagram_server() as server, path.datagram_client() as client:
            client.setsockopt(SOL_UDP, UDP_SEGMENT, 1000)
            data = bytes(range(250)) * 4 * 9 + b"the end"
            client.send(data)
            received = [server.recv(65535) for _ in range(10)]
        assert [len(part) for part in received] == [1000] * 9 + [7]
        assert b"".join(received) == data
        assert receiver.total("^injected_segmented$") == segmented


def test_client_address_is_kept(workshop):
    tunnel = workshop.tunnel()
    for version in (4, 6):
        with tunnel.enclave.namespace.listen(version, 80) as listener, \
                tunnel.topology.internet.connect(version, PARENT[version], 8080):
            accepted, peer = listener.accept()
            accepted.close()
        assert peer[0] == INTERNET[version]


@pytest.mark.parametrize("form,victim", [("nfqueue-4", "enclave"), ("packet-1", "parent")])
def test_kill_in_midtransfer(workshop, victim, form):
    """A daemon is killed while transfers are under way, both ways. They go on, and every byte
    arrives. (The namespace test of this name does more of it.)"""
    capture, _, lanes = form.partition("-")
    tunnel = workshop.tunnel(capture=capture, lanes=int(lanes))
    daemon = tunnel.parent if victim == "parent" else tunnel.enclave.daemon
    pairs = [Path(tunnel, "out", 4).pair(), Path(tunnel, "in", 6).pair()]
    senders, receivers = [], []
    for client, server in pairs:
        client.settimeout(PATIENCE_KILL)
        server.settimeout(PATIENCE_KILL)
        for source, sink in ((client, server), (server, client)):
            senders.append(SlowSender(source))
            receivers.append(Background(receive_all, sink))
    for sender in senders:
        progress(sender)
    daemon.kill()
    daemon.start()
    for sender in senders:
        progress(sender)
    sent = [sender.finish() for sender in senders]
    assert [receiver.result() for receiver in receivers] == sent
    assert tunnel.alive()
    for pair in pairs:
        for stream in pair:
            stream.close()


def test_foreign_cid_is_refused(workshop):
    """A peer is known by its CID: ours is not the one that the parent expects on this port."""
    tunnel = workshop.tunnel(start=False)
    tunnel.parent.command = [word.replace(f"vsock:{LOCAL_CID}:", "vsock:77:")
                             for word in tunnel.parent.command]
    tunnel.parent.start()
    wait_for(lambda: "ready" in tunnel.parent.log(), "the parent to be ready")
    with dial() as stream:
        kind, _ = hostile.read_frame(stream)
        assert kind == hostile.REJECT
        assert hostile.read_until_closed(stream) == []
    wait_for(lambda: f"vsock:{LOCAL_CID}:{PORT}" in tunnel.parent.log(), "a word about the peer")


def test_any_cid(workshop):
    """vsock:any is no place for this machine itself; who is named has it, however small its CID."""
    tunnel = workshop.tunnel(start=False)
    tunnel.parent.command = [tunnel.parent.command[0], "--enclave", f"vsock:any:{PORT}"]
    tunnel.parent.start()
    wait_for(lambda: "ready" in tunnel.parent.log(), "the parent to be ready")
    with dial() as stream:
        kind, _ = hostile.read_frame(stream)
        assert kind == hostile.REJECT
    tunnel.parent.stop()
    tunnel.parent.command += ["--enclave", f"vsock:{LOCAL_CID}:{PORT}"]
    tunnel.start()
    tunnel.wait_ready()


def test_hostile_stream(workshop):
    """Garbage in many small writes, a hang-up in mid-frame, many dials at once: the next honest
    enclave works."""
    tunnel = workshop.tunnel(start=False)
    tunnel.parent.start()
    wait_for(lambda: "ready" in tunnel.parent.log(), "the parent to be ready")
    with dial() as stream:
        stream.sendall(hostile.hello()[:30])
    idle = [dial() for _ in range(40)]
    for stream in idle:
        stream.close()
    with dial() as stream:
        stream.settimeout(PATIENCE)
        try:
            for _ in range(200):
                stream.sendall(b"\xff" * 7)
        except OSError:
            pass  # closed before all of it was sent
        hostile.read_until_closed(stream)
    tunnel.enclave.daemon.start()
    works(tunnel)


def dial():
    stream = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    stream.settimeout(PATIENCE)
    stream.connect((LOCAL_CID, PORT))
    return stream
