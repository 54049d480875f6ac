# SPDX-License-Identifier: Apache-2.0
"""The policy with options: what --allow opens, several enclaves, a host with a firewall of its own."""
import pytest
from topology import HOST_LENGTH, INTERNET, METADATA, PARENT, PRIVATE, PRIVATE_NET
from traffic import Background, closed_to, next_port, reaches, transfer


def test_allow_opens_a_private_range(workshop, version):
    """--allow opens exactly what it names."""
    tunnel = workshop.tunnel(allow=[PRIVATE_NET[version]])
    inside, internet = tunnel.enclave.namespace, tunnel.topology.internet
    assert reaches(inside, internet, version, PRIVATE[version], "tcp")
    assert reaches(inside, internet, version, PRIVATE[version], "udp")
    assert closed_to(inside, internet, version, METADATA[version])
    assert closed_to(inside, internet, 10 - version, PRIVATE[10 - version])


@pytest.mark.daemons
def test_allow_opens_the_metadata_service(workshop, version):
    """Closed unless somebody asks for it by name."""
    tunnel = workshop.tunnel(allow=[f"{METADATA[version]}/{HOST_LENGTH[version]}"])
    assert reaches(tunnel.enclave.namespace, tunnel.topology.internet, version, METADATA[version])
    assert closed_to(tunnel.enclave.namespace, tunnel.topology.internet, version,
                       PRIVATE[version])


def test_two_enclaves(workshop, version):
    """Both work at once with addresses of their own, and cannot reach each other."""
    publish = () if workshop.is_kernel else ("e2=7000-7049:7000-7049/tcp",
                                             "e3=7050-7099:7050-7099/tcp")
    tunnel = workshop.tunnel(enclaves=2, publish=publish)
    one, two = tunnel.enclaves
    topology = tunnel.topology
    assert one.address(version) != two.address(version)
    streams = []
    for enclave in (one, two):
        port = next_port()
        with topology.internet.listen(version, port, INTERNET[version]) as listener:
            client = enclave.namespace.connect(version, INTERNET[version], port)
            streams.append((client, listener.accept()[0]))
    work = [Background(transfer, client, server, 20 << 20) for client, server in streams]
    for each in work:
        each.result()
    for source, target in ((one, two), (two, one)):
        for kind in ("tcp", "udp"):
            assert closed_to(source.namespace, target.namespace, version,
                               target.address(version), kind)
    if publish:
        for enclave, port in ((one, 7001), (two, 7051)):
            with enclave.namespace.listen(version, port) as listener, \
                    topology.internet.connect(version, PARENT[version], port):
                stream, peer = listener.accept()
                assert peer[0] == INTERNET[version]
                stream.close()
    for client, server in streams:
        client.close()
        server.close()


@pytest.mark.daemons
def test_host_policies_are_untouched(topology, workshop):
    """A host whose FORWARD policy is DROP keeps it, and the tunnel works through its own rules."""
    parent = topology.parent
    for tool in ("iptables", "ip6tables"):
        parent.run(f"{tool} -P FORWARD DROP")
    try:
        tunnel = workshop.tunnel()
        policies = [parent.run(f"{tool} -S FORWARD").splitlines()[0]
                    for tool in ("iptables", "ip6tables")]
        assert policies == ["-P FORWARD DROP"] * 2
        tunnel.stop()
        assert parent.run("iptables -S FORWARD").splitlines() == ["-P FORWARD DROP"]
    finally:
        for tool in ("iptables", "ip6tables"):
            parent.run(f"{tool} -P FORWARD ACCEPT")
