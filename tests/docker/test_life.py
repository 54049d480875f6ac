# SPDX-License-Identifier: Apache-2.0
"""Deaths around running containers: of dockerd, causeway-enclave and causeway-parent."""
import pytest
from paths import box_path
from traffic import (MEGABYTE, Background, SlowSender, progress, receive_all, transfer)

pytestmark = pytest.mark.daemons


def end(victim, docker, tunnel):
    """Ends one of the daemons and starts it again."""
    if victim == "dockerd in order":
        docker.stop()
        docker.start()
    elif victim == "dockerd":
        docker.kill()
        docker.start()
    else:
        daemon = tunnel.parent if victim == "parent" else tunnel.enclave.daemon
        daemon.kill()
        daemon.start()


def pairs_of(tunnel, boxes):
    """Connections of every kind: both networks, both directions, both families."""
    return [box_path(tunnel, box, direction, version).pair() for box in boxes.values()
            for direction in ("out", "in") for version in (4, 6)]


@pytest.mark.parametrize("victim", ["enclave", "parent", "dockerd", "dockerd in order"])
def test_restart_in_midtransfer(tunnel, docker, boxes, victim):
    """Connections of containers, out and in, of both families, go on over kill -9 of any daemon;
    and new ones can be made."""
    pairs = pairs_of(tunnel, boxes)
    senders, receivers = [], []
    for client, server in pairs:
        client.settimeout(90)
        server.settimeout(90)
        for source, sink in ((client, server), (server, client)):
            senders.append(SlowSender(source))
            receivers.append(Background(receive_all, sink))
    for sender in senders:
        progress(sender)
    end(victim, docker, tunnel)
    for sender in senders:
        progress(sender)
    sent = [sender.finish() for sender in senders]
    assert [receiver.result() for receiver in receivers] == sent
    for client, server in pairs_of(tunnel, boxes):
        with client, server:
            transfer(client, server, MEGABYTE)
    for pair in pairs:
        for stream in pair:
            stream.close()
