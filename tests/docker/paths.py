# SPDX-License-Identifier: Apache-2.0
"""tests/netns's Path with its inner end in a container."""
import itertools

from traffic import Path

# Each box has ten published ports, the same inside and outside.
PORTS = {"box-bridge": 7000, "box-network": 7010}
_count = itertools.count()


def box_path(tunnel, box, direction, version):
    """A path between a box of the `boxes` fixture and the internet."""
    return Path(tunnel, direction, version, inside=box, port=PORTS[box.name] + next(_count) % 10)
