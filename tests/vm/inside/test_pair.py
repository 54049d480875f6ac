# SPDX-License-Identifier: Apache-2.0
"""End to end, between two machines: the same checks whatever kernel and machine the enclave has.

Runs in the parent guest. The daemons and all traffic are as in use; only the way to the enclave's
clients and servers is the tests' own (remote.py)."""
import contextlib
import fcntl
import hashlib
import os
import socket
import struct
import tempfile
import threading

import hostile
import pytest
from agent import HEARTBEAT
from dns_server import address_of, dns_server
from fixtures import lent
from netns import wait_for
from pair_world import (BRIDGE, CONTAINER, CONTAINER_OUTSIDE, CONTAINER_PORT, DNS_PROGRAM,
                        ENCLAVE_CID, LINK_PORT, PARENT_CID, Container, Pair, dns_daemon,
                        enclave_guest, file_digest, here, on, transfer)
from topology import INTERNET, PARENT
from traffic import (Background, Path, SlowSender, datagram_echo, nginx, progress, receive_all)

pytestmark = pytest.mark.vm
MEGABYTE = 1 << 20
LOCAL_CID_REQUEST = 0x7b9  # IOCTL_VM_SOCKETS_GET_LOCAL_CID (linux/vm_sockets.h)
DNS_PORT = 5353
KILL_PATIENCE = 120  # seconds: emulation, and TCP that backs off while nobody answers


@pytest.fixture(scope="session")
def guest():
    return enclave_guest()


@pytest.fixture(scope="module")
def tunnel(request, topology, guest):
    """Both daemons, in one of the forms."""
    capture, _, lanes = request.param.partition("-")
    yield from lent(Pair(topology, guest, capture=capture, lanes=int(lanes or 1)))


@pytest.fixture(scope="session")
def container(guest):
    return Container(guest)


def local_cid():
    with open("/dev/vsock", "rb") as device:
        return struct.unpack("I", fcntl.ioctl(device, LOCAL_CID_REQUEST, bytes(4)))[0]


# ---- before any tunnel

def test_each_guest_has_its_cid(guest):
    assert local_cid() == PARENT_CID
    assert guest.remote.call(local_cid) == ENCLAVE_CID
    assert guest.cid == ENCLAVE_CID


def test_enclave_has_no_network(guest):
    """Nothing but vsock: no link besides the loopback, and tunnels that the kernel makes itself."""
    assert [name for name in guest.namespace.links() if name in ("eth0", "cw0")] == []
    assert guest.run("ip -4 route show table main") == ""


def test_heartbeat(guest):
    """A Nitro enclave's first sign of life, answered. (Only enclave images have it.)"""
    assert guest.heartbeat.beats == [(ENCLAVE_CID, HEARTBEAT)]


@pytest.mark.parametrize("daemon", ["enclave/causeway-enclave", "parent/causeway-parent"])
def test_check_finds_the_guest_ready(guest, topology, daemon):
    made = Pair(topology, guest, start=False)
    try:
        which = made.enclave.daemon if daemon.startswith("enclave") else made.parent
        namespace = guest.namespace if which is made.enclave.daemon else topology.parent
        done = namespace.run([*which.command, "--check"], check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        made.discard()


def test_wrong_cid_is_refused(guest, topology):
    """The parent serves CID 17 alone; ours is 16. It says who came, and carries on."""
    made = Pair(topology, guest, start=False,
                parent_arguments=["--enclave", f"vsock:{ENCLAVE_CID + 1}:{LINK_PORT}"])
    try:
        made.parent.start()
        wait_for(lambda: "ready" in made.parent.log(), "the parent to be ready")
        kind, closed = guest.remote.call(_refused)
        assert kind == hostile.REJECT and closed
        wait_for(lambda: f"vsock:{ENCLAVE_CID}" in made.parent.log(), "a word about the peer")
        made.enclave.daemon.start()
        wait_for(lambda: "rejected by the parent" in made.enclave.daemon.log(),
                 "a word in the enclave")
        assert made.alive()
        assert made.enclave.namespace.addresses("cw0", 4) == []
    finally:
        made.discard()


def _refused():
    """In the enclave: what a dial brings, and whether that was the end of it."""
    with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as stream:
        stream.settimeout(30)
        stream.connect((PARENT_CID, LINK_PORT))
        kind, _ = hostile.read_frame(stream)
        return kind, hostile.read_until_closed(stream) == []


# ---- through the tunnel

def test_ping(tunnel, version):
    for size in (0, 1472, 8000):
        tunnel.enclave.namespace.run(["ping", f"-{version}", "-c2", "-i0.2", "-W20", "-s", size,
                                      INTERNET[version]])


@pytest.mark.parametrize("ends", ["client sends", "server sends", "both send"])
def test_streams(tunnel, direction, version, ends):
    """TCP, both ways, dialled from both sides; checksums at the ends."""
    client, server = Path(tunnel, direction, version).pair()
    with client, server:
        work = []
        if ends != "server sends":
            work.append(Background(transfer, client, server, 4 * MEGABYTE))
        if ends != "client sends":
            transfer(server, client, 4 * MEGABYTE)
        for each in work:
            each.result(300)


def ask(sender, sizes):
    """Sends datagrams and counts how many come back as they were."""
    same = 0
    for size in sizes:
        data = bytes([size % 251]) * size
        sender.send(data)
        same += sender.recv(65535) == data
    return same


def test_datagrams(tunnel, direction, version):
    path = Path(tunnel, direction, version)
    sizes = (1, 512, 1400, 4000, 9000)
    # The echo serves here or there; traffic.py's works on either kind of namespace only here.
    if direction == "out":
        with datagram_echo(path), path.datagram_client() as client:
            assert on(client, ask, sizes) == len(sizes)
    else:
        with path.datagram_server() as server, path.datagram_client() as client:
            server.settimeout(None)
            Background(on, server, _echo, len(sizes))
            assert on(client, ask, sizes) == len(sizes)


def _echo(server, count):
    for _ in range(count):
        data, sender = server.recvfrom(65535)
        server.sendto(data, sender)


def test_curl(tunnel, guest, version, tmp_path):
    """A download and an upload by an ordinary client, with checksums."""
    file = tmp_path / "file"
    file.write_bytes(os.urandom(8 * MEGABYTE))
    file.chmod(0o644)
    digest = file_digest(file)
    (tmp_path / "server").mkdir()
    host = INTERNET[version] if version == 4 else f"[{INTERNET[version]}]"
    with nginx(tunnel.topology.internet, tmp_path / "server", files=[file]) as www:
        inside = tunnel.enclave.namespace
        inside.run(["curl", "-sSf", "-o", "/tmp/got", f"http://{host}/file"])
        assert guest.remote.call(file_digest, "/tmp/got") == digest
        inside.run(["curl", "-sSf", "-T", "/tmp/got", f"http://{host}/up/sent"])
        assert file_digest(www / "www/up/sent") == digest


def test_dns(tunnel, version):
    """dig in the enclave, a server on the internet: UDP, and TCP where UDP is too short."""
    inside, server = tunnel.enclave.namespace, INTERNET[version]
    with dns_server(tunnel.topology.internet, version, server):
        for transport in ("+notcp", "+tcp"):
            said = dig(inside, server, "example.test", "A", transport)
            assert said.split() == [address_of("example")]
        assert dig(inside, server, "big.test", "TXT").count("x") == 4000


def dig(namespace, server, name, kind, transport="+notcp"):
    """What dig prints; nothing if nobody answered."""
    done = namespace.run(["dig", "+short", "+tries=3", "+timeout=10", transport, f"@{server}", name,
                          kind], check=False)
    return done.stdout


@pytest.mark.parametrize("upstream", ["tunnel", "vsock"])
def test_causeway_dns(tunnel, guest, container, upstream, tmp_path):
    """The enclave's own DNS server, asked by a process and by a container. Its upstream is a server
    on the internet, or the same program on the parent, which asks that server."""
    if not DNS_PROGRAM.exists():
        pytest.skip("causeway-dns is not built")
    server = f"tcp://{INTERNET[4]}"
    links = {"tunnel": server, "vsock": f"vsock:{PARENT_CID}:{DNS_PORT}"}
    inside, none = tunnel.enclave.namespace, ["--hosts-file", "none"]
    daemons = [guest.remote.call(
        dns_daemon, inside, ["--listen", "127.0.0.1", "--listen", BRIDGE[4], "--upstream",
                             links[upstream], *none], guest.remote.call(tempfile.mkdtemp))]
    if upstream == "vsock":
        daemons.append(dns_daemon(tunnel.topology.parent, [
            "--listen", f"vsock:any:{DNS_PORT}", "--upstream", server, *none], str(tmp_path)))
    with dns_server(tunnel.topology.internet, 4, INTERNET[4]):
        try:
            for daemon in reversed(daemons):
                daemon.start()
            wait_for(lambda: address_of("first") in dig(inside, "127.0.0.1", "first.test", "A"),
                     "an answer")
            for namespace, address in ((inside, "127.0.0.1"), (container.namespace, BRIDGE[4])):
                for transport in ("+notcp", "+tcp"):
                    name = f"{transport[1:]}-{upstream}-{len(address)}"
                    said = dig(namespace, address, f"{name}.test", "A", transport)
                    assert said.split() == [address_of(name)]
            assert dig(inside, "127.0.0.1", "big.test", "TXT").count("x") == 4000
            streams = inside.run(["ss", "--vsock", "-n", "-H"])
            assert (f":{DNS_PORT}" in streams) == (upstream == "vsock"), streams
        finally:
            stopped = [daemon.stop() for daemon in daemons]
    assert stopped == [0] * len(daemons), [daemon.log() for daemon in daemons]


def test_published_port_shows_the_client(tunnel, version):
    with tunnel.enclave.namespace.listen(version, 80) as listener, \
            tunnel.topology.internet.connect(version, PARENT[version], 8080):
        accepted, peer = listener.accept()
        accepted.close()
    assert peer[0] == INTERNET[version]


def test_container_reaches_out(tunnel, container, version):
    """From behind the enclave's own NAT, then the parent's."""
    path = Path(tunnel, "out", version)
    path.client = container.namespace
    client, server = path.pair()
    with client, server:
        assert server.getpeername()[0] == PARENT[version]
        assert client.getsockname()[0] == CONTAINER[version]
        up = Background(transfer, client, server, 2 * MEGABYTE)
        transfer(server, client, 2 * MEGABYTE)
        up.result(300)
    with datagram_echo(path), path.datagram_client() as asking:
        assert on(asking, ask, (1, 1400, 5000)) == 3
    container.namespace.run(["ping", f"-{version}", "-c1", "-W20", INTERNET[version]])


def test_container_publishes(tunnel, container, version):
    """In through two DNATs; the container sees the client itself."""
    with container.namespace.listen(version, CONTAINER_PORT) as listener:
        client = tunnel.topology.internet.connect(version, PARENT[version], CONTAINER_OUTSIDE)
        server, peer = listener.accept()
    with client, server:
        assert peer[0] == INTERNET[version]
        up = Background(transfer, client, server, 2 * MEGABYTE)
        transfer(server, client, 2 * MEGABYTE)
        up.result(300)


@pytest.mark.parametrize("victim", ["enclave", "parent"])
def test_kill_in_midtransfer(tunnel, guest, container, victim):
    """A daemon is killed while transfers are under way, both ways, a container's among them. They
    go on in the same connections, and every byte arrives."""
    from_container = Path(tunnel, "out", 4)
    from_container.client = container.namespace
    kill_in_midtransfer(tunnel, guest, victim, [from_container.pair(), Path(tunnel, "in", 6).pair()])


def kill_in_midtransfer(tunnel, guest, victim, pairs):
    senders, receivers = [], []
    for pair in pairs:
        for stream in pair:
            stream.settimeout(KILL_PATIENCE)
        for source, sink in (pair, pair[::-1]):
            senders.append(SlowSender(source) if here(source) else
                           guest.remote.call(SlowSender, source))
            receivers.append(Background(on, sink, receive_all))
    for sender in senders:
        progress(sender)
    daemon = tunnel.parent if victim == "parent" else tunnel.enclave.daemon
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


# ---- beside the tunnel

SIGNING_PORT = 5000


def _signing_service():
    """In the enclave: answers each message on a vsock port of its own with its SHA-256."""
    listener = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    listener.bind((socket.VMADDR_CID_ANY, SIGNING_PORT))
    listener.listen()
    threading.Thread(target=_sign, args=(listener,), daemon=True).start()


def _sign(listener):
    while True:
        stream, _ = listener.accept()
        with stream, contextlib.suppress(OSError):
            while message := stream.recv(100):
                stream.sendall(hashlib.sha256(message).digest())


@pytest.fixture(scope="session")
def signing(guest):
    guest.remote.call(_signing_service)


@contextlib.contextmanager
def signer():
    """A client of the service, on the parent."""
    with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as stream:
        stream.settimeout(KILL_PATIENCE)
        stream.connect((ENCLAVE_CID, SIGNING_PORT))
        yield lambda message: _signed(stream, message)


def _signed(stream, message):
    stream.sendall(message)
    return stream.recv(100) == hashlib.sha256(message).digest()


def test_signing_service_beside_the_tunnel(tunnel, signing):
    """A service with a vsock port of its own, as wallets have one: it answers while the tunnel is
    busy, and while the tunnel's daemon is gone."""
    client, server = Path(tunnel, "out", 4).pair()
    with client, server, signer() as sign:
        busy = Background(transfer, client, server, 8 * MEGABYTE)
        assert all(sign(b"message %d" % number) for number in range(50))
        busy.result(300)
    tunnel.enclave.daemon.kill()
    try:
        with signer() as sign:
            assert sign(b"without the tunnel")
    finally:
        tunnel.enclave.daemon.start()
    tunnel.wait_ready()


def test_lanes_are_vsock_streams(tunnel):
    """Each lane is a stream between the two CIDs, and nothing was dropped for what it was."""
    tunnel.wait_ready()
    for namespace in (tunnel.topology.parent, tunnel.enclave.namespace):
        listing = namespace.run(["ss", "--vsock", "-n", "-H"])
        streams = [line for line in listing.splitlines() if "ESTAB" in line and
                   any(word.endswith(f":{LINK_PORT}") for word in line.split())]
        assert len(streams) == tunnel.lanes, listing
    assert {lane["peer"].split(":")[1] for lane in tunnel.parent.stats()} == {str(ENCLAVE_CID)}
    assert tunnel.parent.total("^(packet|policy|offload)_") == 0
