# SPDX-License-Identifier: Apache-2.0
"""Published ports from end to end: the parent publishes to the enclave, Docker to a container."""
import socket

import pytest
from dockerd import BRIDGE_GATEWAY
from netns import wait_for
from paths import PORTS
from topology import INTERNET, PARENT
from traffic import MEGABYTE, transfer


@pytest.fixture(scope="module")
def web(docker):
    """The container's own web server on 8080, published as 80 of the enclave, 8080 of the parent;
    and a datagram port, 5300 of the parent, 53 of the enclave, 5353 of the container."""
    box = docker.box("web", publish=["80:8080/tcp", "53:5353/udp"])
    box.shell("mkdir /www && echo hello from the container >/www/index.html && "
              "httpd -p 8080 -h /www")
    return box


def get(tunnel, version):
    with tunnel.topology.internet.connect(version, PARENT[version], 8080) as client:
        client.sendall(b"GET /index.html HTTP/1.0\r\n\r\n")
        answer = b""
        while part := client.recv(4096):
            answer += part
        return answer


def test_two_translations(tunnel, web, version):
    """8080 of the parent is 80 of the enclave is 8080 of a container."""
    assert get(tunnel, version).endswith(b"hello from the container\n")


def test_the_client_that_the_server_sees(tunnel, web, version):
    """The container's own table of connections names the client, not a gateway."""
    with tunnel.topology.internet.connect(version, PARENT[version], 8080) as client:
        port = client.getsockname()[1]
        seen = wait_for(lambda: [line for line in web.exec("netstat", "-tn").splitlines()
                                 if line.split()[4].endswith(f":{port}")], "the connection")
        address = seen[0].split()[4].rpartition(":")[0].removeprefix("::ffff:")
        assert address == INTERNET[version]


def test_datagrams_to_another_port(tunnel, web, version):
    with web.datagram(version, port=5353) as server, \
            tunnel.topology.internet.datagram(version) as client:
        client.connect((PARENT[version], 5300))
        client.send(b"question")
        data, sender = server.recvfrom(100)
        assert (data, sender[0]) == (b"question", INTERNET[version])
        server.sendto(b"answer", sender)
        assert client.recv(100) == b"answer"


@pytest.mark.parametrize("kind", ["tcp", "udp"])
@pytest.mark.parametrize("number", [0, 9])
def test_every_port_of_a_range(tunnel, box, version, kind, number):
    """First and last."""
    port = PORTS[box.name] + number
    internet = tunnel.topology.internet
    if kind == "tcp":
        with box.listen(version, port) as listener, \
                internet.connect(version, PARENT[version], port):
            listener.accept()[0].close()
    else:
        with box.datagram(version, port=port) as server, internet.datagram(version) as client:
            client.sendto(b"knock", (PARENT[version], port))
            assert server.recv(100) == b"knock"


def test_only_what_both_publish(tunnel, box, version):
    """7050 is published by the parent alone: what answers is the enclave itself, with a reset."""
    with box.listen(version, 7050):
        with pytest.raises(ConnectionRefusedError):
            tunnel.topology.internet.connect(version, PARENT[version], 7050)


def test_many_clients_of_one_port(tunnel, boxes, version):
    """Each with its own connection at the same time."""
    internet, box = tunnel.topology.internet, boxes["network"]
    with box.listen(version, 7015) as listener:
        clients = [internet.connect(version, PARENT[version], 7015) for _ in range(100)]
        servers = dict(reversed(listener.accept()) for _ in clients)
        for client in clients:
            client.sendall(b"%d" % client.getsockname()[1])
        for peer, server in servers.items():
            assert peer[0] == INTERNET[version]
            assert server.recv(100) == b"%d" % peer[1]
            server.close()
        for client in clients:
            client.close()


def test_published_while_running(tunnel, docker, version):
    """A container that comes later is reached; when it is gone its port is closed."""
    internet = tunnel.topology.internet
    box = docker.box("late", publish=["7040:7040/tcp"])
    try:
        with box.listen(version, 7040) as listener:
            with internet.connect(version, PARENT[version], 7040) as client:
                server = listener.accept()[0]
                with server:
                    transfer(client, server, MEGABYTE)
    finally:
        box.remove()
    with pytest.raises(ConnectionRefusedError):
        internet.connect(version, PARENT[version], 7040)


def test_published_to_one_address(tunnel, docker, version):
    """-p with the enclave's address: reached through the tunnel, and by no other address."""
    address = tunnel.enclave.address(version)
    host = f"[{address}]" if version == 6 else address
    box = docker.box("bound", publish=[f"{host}:7041:7041/tcp"])
    try:
        with box.listen(version, 7041) as listener:
            tunnel.topology.internet.connect(version, PARENT[version], 7041).close()
            server, peer = listener.accept()
            server.close()
            assert peer[0] == INTERNET[version]
            with pytest.raises(ConnectionRefusedError):
                tunnel.enclave.namespace.connect(version, BRIDGE_GATEWAY[version], 7041)
    finally:
        box.remove()


def test_reset(tunnel, box, version):
    """A server that aborts: the client sees the reset at once."""
    port = PORTS[box.name] + 5
    with box.listen(version, port) as listener, \
            tunnel.topology.internet.connect(version, PARENT[version], port) as client:
        server = listener.accept()[0]
        server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        server.close()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
