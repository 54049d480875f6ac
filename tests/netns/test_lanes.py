# SPDX-License-Identifier: Apache-2.0
"""Lanes share the work, and what is bulk goes in large pieces."""
import pytest
from traffic import Path, many_flows, transfer

pytestmark = pytest.mark.daemons
MEGABYTE = 1 << 20


@pytest.mark.parametrize("capture", ["nfqueue", "packet"])
@pytest.mark.parametrize("lanes", [1, 2, 4, 8])
def test_lanes_share_the_flows(workshop, capture, lanes):
    """Every lane carries something in both directions, and all of it is accounted for."""
    tunnel = workshop.tunnel(capture=capture, lanes=lanes)
    many_flows(tunnel, "out", 4, 64)
    many_flows(tunnel, "in", 6, 64)
    for daemon in tunnel.daemons():
        counted = [lane for lane in daemon.stats() if "lane" in lane]
        assert sorted(lane["lane"] for lane in counted) == list(range(lanes)), daemon.label
        for lane in counted:
            for key in ("captured_packets", "sent_frames", "received_frames", "injected_packets"):
                assert lane[key] > 0, f"{daemon.label} lane {lane['lane']} {key}"
            assert lane["sent_writes"] <= lane["sent_frames"] + lane["received_frames"] + 100
            assert lane["rtt_us"] > 0


def test_super_packets_are_used(workshop):
    """A bulk transfer goes in packets larger than the MTU, both ways."""
    tunnel = workshop.tunnel(lanes=1)
    client, server = Path(tunnel, "out", 4).pair()
    with client, server:
        transfer(client, server, 20 * MEGABYTE)
        enclave = tunnel.enclave.daemon.stats()[0]
    assert enclave["captured_super"] > 0
    assert enclave["sent_bytes"] / enclave["sent_frames"] > 1500
    assert tunnel.parent.total("^injected_super$") > 0
