# SPDX-License-Identifier: Apache-2.0
"""A wallet: a signing service on a vsock port of its own, and a client that fetches credentials and
calls a key service. Replaces: vsock-proxy with a forwarder in the enclave, one per destination.

There, each host that the enclave calls is an entry in vsock-proxy's allow list, a process and a
port; /etc/hosts points the host's name at 127.0.0.1, where a forwarder into vsock listens.

Here: the signing service keeps its vsock port, whatever else uses vsock. The client needs `--allow
169.254.169.254/32` on the parent (and a metadata service that answers over two hops, see
docs/replacing.md), `causeway-dns` in the enclave, and no word of configuration of its own.

The signing service's vsock port is a Unix stream here, like the tunnel's link: this machine's vsock
may be somebody's. tests/vm/inside/test_pair.py has the same on vsock ports.
"""
import contextlib
import hashlib
import hmac
import json
import socket
import sys
from pathlib import Path

import pytest
from netns import wait_for
from system import Tunnel
from topology import INTERNET, METADATA, PARENT, PRIVATE
from traffic import Background, closed_to, reaches
from world import KMS, Handler, Service, WebServer, need, running

TUNNEL = {"allow": (f"{METADATA[4]}/32",)}
HERE = Path(__file__).parent
KEY = {"AccessKeyId": "ASIAEXAMPLE", "SecretAccessKey": "secret of the tests", "Token": "token"}
SIGNING_SECRET = "the wallet's"
CALLS = 30
# What "--http-put-response-hop-limit 2" gives: one hop more than the parent is away. The tests' network
# has a router before the parent.
ANSWER_HOPS = 3

pytestmark = need("openssl")


class MetadataHandler(Handler):
    """EC2's instance metadata, version 2."""

    hops = ANSWER_HOPS

    def setup(self):
        self.request.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, self.hops)
        super().setup()

    def do_PUT(self):
        asked = self.path == "/latest/api/token" and self.headers["X-aws-ec2-metadata-token-ttl-seconds"]
        self.reply(b"a token" if asked else b"", 200 if asked else 400)

    def do_GET(self):
        base = "/latest/meta-data/iam/security-credentials/"
        answers = {base: b"wallet-role", base + "wallet-role": json.dumps(KEY).encode()}
        if self.headers["X-aws-ec2-metadata-token"] != "a token":
            self.reply(b"", 401)
        elif self.path in answers:
            self.reply(answers[self.path])
        else:
            self.reply(b"", 404)


class KeyService(Handler):
    """Opens what was sealed, for callers with the right key."""

    callers = []

    def do_POST(self):
        body = self.body()
        right = hmac.new(KEY["SecretAccessKey"].encode(), body, hashlib.sha256).hexdigest()
        if (self.headers["X-Access-Key"], self.headers["X-Signature"]) != (KEY["AccessKeyId"], right):
            self.reply(b"{}", 403)
            return
        self.callers.append(self.client_address[0])
        plain = json.loads(body)["CiphertextBlob"].replace("sealed", "opened")
        self.reply(json.dumps({"Plaintext": plain}).encode())


@pytest.fixture(scope="module")
def metadata(topology):
    made = WebServer(topology.internet, MetadataHandler, 80, {4: METADATA[4]})
    yield
    made.close()


@pytest.fixture(scope="module")
def key_service(topology, authority):
    made = WebServer(topology.internet, KeyService, 443, INTERNET, authority.context(KMS))
    yield KeyService
    made.close()


@pytest.fixture(scope="module")
def signing(tunnel, tmp_path_factory):
    """The signing service's address."""
    directory = tmp_path_factory.mktemp("signing")
    path = directory / "vsock_5000"
    service = Service(tunnel.enclave.namespace,
                      [sys.executable, HERE / "signing_server.py", path, SIGNING_SECRET],
                      directory / "log", path.exists)
    with running(service):
        yield path


@contextlib.contextmanager
def signer(path):
    with socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(60)
        stream.connect(str(path))
        with stream.makefile("rw") as lines:
            yield lines


def sign(lines, text):
    lines.write(text + "\n")
    lines.flush()
    right = hmac.new(SIGNING_SECRET.encode(), text.encode(), hashlib.sha256).hexdigest()
    return lines.readline().strip() == right


def wallet(resolver, authority, calls=CALLS):
    """The client's run in the enclave: what the key service opened for it."""
    return json.loads(resolver.run(
        [sys.executable, HERE / "wallet.py", METADATA[4], f"https://{KMS}/", authority.certificate,
         calls]))


def opened(calls=CALLS):
    return [f"opened {number}" for number in range(calls)]


def test_thirty_calls_at_once(metadata, key_service, name_server, resolver, authority):
    """Credentials, then thirty calls by name, each on a connection of its own: all are answered."""
    key_service.callers.clear()
    assert wallet(resolver, authority) == opened()
    assert len(key_service.callers) == CALLS and set(key_service.callers) <= set(PARENT.values())
    assert {(name, transport) for name, transport, _ in name_server.asked} == {(KMS, "tcp")}


def test_signing_beside_the_tunnel(tunnel, signing, metadata, key_service, resolver, authority):
    """Signatures are made before, while and after the client uses the tunnel."""
    with signer(signing) as lines:
        assert sign(lines, "before")
        client = Background(wallet, resolver, authority)
        assert all(sign(lines, f"message {number}") for number in range(500))
        assert client.result() == opened()
        assert sign(lines, "after")
    with signer(signing) as lines:
        assert sign(lines, "another client")


@pytest.mark.daemons
def test_signing_without_the_tunnel(tunnel, signing, metadata, key_service, resolver, authority):
    """Neither daemon is on the way of the signing service; the client works again when they do."""
    with signer(signing) as lines:
        for daemon in (tunnel.enclave.daemon, tunnel.parent):
            daemon.kill()
            try:
                assert sign(lines, f"without {daemon.label}")
                with signer(signing) as more:
                    assert sign(more, "a new connection")
            finally:
                daemon.start()
            tunnel.wait_ready()
    assert wallet(resolver, authority, 3) == opened(3)


def test_metadata_service_with_one_hop(tunnel, metadata, monkeypatch):
    """With a hop limit of 1 the answers end at the parent, whatever is allowed."""
    monkeypatch.setattr(MetadataHandler, "hops", ANSWER_HOPS - 1)
    parent, request = tunnel.topology.parent, b"GET / HTTP/1.0\r\n\r\n"
    before = hops_exceeded(parent)
    with tunnel.enclave.namespace.connect(4, METADATA[4], 80) as stream:
        stream.sendall(request)
        wait_for(lambda: hops_exceeded(parent) > before, "an answer that ends at the parent")
    with parent.connect(4, METADATA[4], 80) as stream:
        stream.sendall(request)
        assert stream.recv(100).startswith(b"HTTP/1.1 401")


def hops_exceeded(namespace):
    """Packets that a machine did not forward because they had come far enough."""
    names, values = [line.split() for line in namespace.read("/proc/thread-self/net/snmp").splitlines()
                     if line.startswith("Icmp:")]
    return int(dict(zip(names, values))["OutTimeExcds"])


def test_only_what_was_allowed(tunnel):
    """The one address that was opened and no other, neither its IPv6 counterpart nor a private one."""
    inside, internet = tunnel.enclave.namespace, tunnel.topology.internet
    assert reaches(inside, internet, 4, METADATA[4])
    assert closed_to(inside, internet, 6, METADATA[6])
    assert closed_to(inside, internet, 4, PRIVATE[4])


def test_metadata_is_closed_by_default(tunnel):
    """Without --allow the parent is served, the enclave is not."""
    topology = tunnel.topology
    tunnel.stop()
    closed = Tunnel(topology, lanes=2)
    try:
        assert reaches(topology.parent, topology.internet, 4, METADATA[4])
        assert closed_to(closed.enclave.namespace, topology.internet, 4, METADATA[4])
    finally:
        closed.discard()
        tunnel.start()
        tunnel.wait_ready()
