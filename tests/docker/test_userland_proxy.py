# SPDX-License-Identifier: Apache-2.0
"""Docker's default, "userland-proxy": true, and which client address a container then sees."""
import pytest
from dockerd import BRIDGE_GATEWAY
from topology import INTERNET, PARENT
from traffic import MEGABYTE, transfer

# As dockerd comes without options.
DAEMON = {key: None for key in ("userland-proxy", "ipv6", "ip6tables", "experimental",
                                "fixed-cidr-v6")}
# docker-proxy takes IPv6 clients on the host's side and dials the container over IPv4.
SEEN = {4: INTERNET[4], 6: BRIDGE_GATEWAY[4]}


@pytest.fixture(scope="module")
def server_box(docker):
    return docker.box("proxied", publish=["7000:7000/tcp", "7000:7000/udp"])


def test_tcp(tunnel, server_box, version):
    """IPv4 is translated by the kernel and shows the client; IPv6 goes through docker-proxy."""
    with server_box.listen(4, 7000) as listener, \
            tunnel.topology.internet.connect(version, PARENT[version], 7000) as client:
        server, peer = listener.accept()
        with server:
            assert peer[0] == SEEN[version]
            transfer(client, server, MEGABYTE)
            transfer(server, client, MEGABYTE)


def test_udp(tunnel, server_box, version):
    with server_box.datagram(4, port=7000) as server, \
            tunnel.topology.internet.datagram(version) as client:
        client.connect((PARENT[version], 7000))
        client.send(b"question")
        data, peer = server.recvfrom(100)
        assert (data, peer[0]) == (b"question", SEEN[version])
        server.sendto(b"answer", peer)
        assert client.recv(100) == b"answer"


def test_enclaves_own_loopback(tunnel, server_box):
    """What docker-proxy is for."""
    with server_box.listen(4, 7000) as listener, \
            tunnel.enclave.namespace.connect(4, "127.0.0.1", 7000):
        listener.accept()[0].close()
