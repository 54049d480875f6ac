# SPDX-License-Identifier: Apache-2.0
"""Many connections, memory, and the kernel's queue."""
import re

import pytest
from netns import wait_for
from system import IS_KERNEL
from traffic import Path, listens, many_flows, program

RESIDENT_LIMIT_KIB = 64 << 10


def meet(tunnel, crowd, direction, version, *numbers):
    path = Path(tunnel, direction, version)
    with program(path.server, [crowd, "serve", path.listen_address, path.port],
                 listens(path.server, path.port, version)):
        out = path.client.run([crowd, "connect", path.address, path.port, *numbers])
    assert out == f"{numbers[0]} echoed\n"


def test_many_source_ports(tunnel, crowd, direction, version):
    """2,000 connections at once, each from a source port of its own choosing."""
    meet(tunnel, crowd, direction, version, 2000, 20000)


def test_ten_thousand_connections(tunnel, crowd, direction, version):
    meet(tunnel, crowd, direction, version, 10000)


def test_flows_at_once(tunnel, direction, version):
    many_flows(tunnel, direction, version, 32)


@pytest.mark.daemons
def test_memory(tunnel, crowd):
    """Resident memory of each daemon after ten thousand connections and bulk on all lanes."""
    meet(tunnel, crowd, "out", 4, 10000)
    many_flows(tunnel, "out", 4, 16)
    for daemon in tunnel.daemons():
        assert daemon.resident_kib() < RESIDENT_LIMIT_KIB, daemon.label


def queue_lines(tunnel):
    """Per queue of the enclave: packets waiting, dropped by the kernel, dropped by the socket."""
    text = tunnel.enclave.namespace.read("/proc/thread-self/net/netfilter/nfnetlink_queue")
    fields = [[int(word) for word in line.split()] for line in text.splitlines()]
    return [(line[2], line[5], line[6]) for line in fields]


def test_kernel_queue_drains(tunnel, request):
    """After load nothing is left without a verdict."""
    form = request.node.callspec.params["tunnel"]
    if IS_KERNEL or not form.startswith("nfqueue"):
        pytest.skip("only NFQUEUE has a queue in the kernel")
    many_flows(tunnel, "out", 4, 16)
    lines = queue_lines(tunnel)
    assert len(lines) >= int(re.search(r"\d+$", form).group()), "a queue for every lane"
    wait_for(lambda: all(waiting == 0 for waiting, _, _ in queue_lines(tunnel)),
             "the kernel's queues to drain")
