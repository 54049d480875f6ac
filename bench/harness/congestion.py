# SPDX-License-Identifier: Apache-2.0
"""TCP congestion control of the benchmark's namespaces.

A namespace may choose among the algorithms that the host allows to everybody
(net.ipv4.tcp_allowed_congestion_control, which only the host has). One that it does not allow is
added for the run and taken away again.
"""

import contextlib
from pathlib import Path

ALLOWED = Path("/proc/sys/net/ipv4/tcp_allowed_congestion_control")


@contextlib.contextmanager
def allowed(algorithm):
    """While it lasts, namespaces may choose the algorithm (None: nothing is wanted)."""
    before = ALLOWED.read_text(encoding="ascii").split()
    if algorithm is None or algorithm in before:
        yield
        return
    ALLOWED.write_text(" ".join([*before, algorithm]), encoding="ascii")
    try:
        yield
    finally:
        ALLOWED.write_text(" ".join(before), encoding="ascii")
