# SPDX-License-Identifier: Apache-2.0
"""What an enclave can use up of its parent's kernel: its share, and no more."""
import os
import struct

import pytest
from borders import Border, fragments, udp
from topology import INTERNET

pytestmark = pytest.mark.daemons
PORT, SERVER_PORT = 23000, 9000
REASSEMBLY_BYTES = 4 << 20  # net.ipv4.ipfrag_high_thresh and its IPv6 siblings: Linux's default


@pytest.fixture
def border(workshop):
    made = Border(workshop, "auto")
    made.enter()
    yield made
    made.close()


def lone_fragments(version, peer, count):
    """First fragments whose datagrams never come to an end."""
    whole = udp(peer.address[version], PORT, INTERNET[version], SERVER_PORT, b"x" * 4000)
    return [part for number in range(count)
            for part in fragments(whole, 1400, 0x10000 + number, only=1)]


def datagram(version, peer, size, identification, part=1400):
    data = os.urandom(size - 4) + struct.pack("!I", identification)
    return data, fragments(udp(peer.address[version], PORT, INTERNET[version], SERVER_PORT, data),
                           part, identification)


def test_lone_fragments_leave_others_their_share(border, version):
    hostile, other = border.peers
    for lone in lone_fragments(version, hostile, REASSEMBLY_BYTES // 1000):
        hostile.send(lone)
    hostile.settle(version)
    internet = border.topology.internet
    # The parent itself: an answer that comes in fragments.
    border.host.run(["ping", f"-{version}", "-c", "3", "-W", "5", "-s", "4000", INTERNET[version]])
    with internet.datagram(version, INTERNET[version], SERVER_PORT) as server:
        for identification in range(20):
            data, parts = datagram(version, other, 8000, identification)
            other.send(*parts)
            assert server.recv(65535) == data
    assert border.dropped("fragment_budget") > 0, "counted with its reason"


@pytest.mark.parametrize("shape", ["tiny", "overlapping", "never first"])
def test_other_shapes_of_a_flood(border, version, shape):
    """Small ones cost the kernel more than they weigh; others would look complete to a bad sum."""
    hostile, other = border.peers
    source, target = hostile.address[version], INTERNET[version]
    whole = udp(source, PORT, target, SERVER_PORT, b"x" * 2800)
    for number in range(6000):
        parts = fragments(whole, 1400, 0x20000 + number)
        if shape == "tiny":
            hostile.send(*fragments(whole, 8, 0x20000 + number, only=1))
        elif shape == "overlapping":  # as many bytes as announced, and never complete
            hostile.send(parts[0], parts[0], parts[2])
        else:
            hostile.send(parts[1])
    hostile.settle(version)
    with border.topology.internet.datagram(version, target, SERVER_PORT) as server:
        data, parts = datagram(version, other, 8000, 5)
        other.send(*parts)
        assert server.recv(65535) == data


def test_whole_datagrams_have_no_limit(border, version):
    """Far more than the budget, complete ones: each gives back what it took."""
    peer = border.peers[0]
    with border.topology.internet.datagram(version, INTERNET[version], SERVER_PORT) as server:
        for identification in range(400):
            data, parts = datagram(version, peer, 32000, identification)
            peer.send(*parts)
            assert server.recv(65535) == data
    assert border.dropped("fragment") == 0


def test_another_enclaves_fragments_pass_while_the_flood_goes_on(border, version):
    hostile, other = border.peers
    flood = lone_fragments(version, hostile, 1000)
    with border.topology.internet.datagram(version, INTERNET[version], SERVER_PORT) as server:
        for round_ in range(10):
            hostile.send(*flood)
            data, parts = datagram(version, other, 16000, round_)
            other.send(*parts)
            assert server.recv(65535) == data
