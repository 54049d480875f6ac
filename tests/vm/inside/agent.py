# SPDX-License-Identifier: Apache-2.0
"""What the enclave guest runs: lets the tests in the parent guest (remote.py) use this machine.

With HEARTBEAT in the environment it first does what the first process of a Nitro enclave does: a
byte to the parent's port 9000, and the same byte back, before anything else is started.
"""
import os
import socket
import time

import remote

PARENT_CID = 3
HEARTBEAT_PORT, HEARTBEAT = 9000, b"\xb7"


def dial(port):
    """Dials the parent until it listens: either guest may be the first to be up."""
    while True:
        stream = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
        try:
            stream.connect((PARENT_CID, port))
            return stream
        except OSError:
            stream.close()
            time.sleep(0.1)


def beat():
    with dial(HEARTBEAT_PORT) as stream:
        stream.sendall(HEARTBEAT)
        answer = stream.recv(1)
    if answer != HEARTBEAT:
        raise SystemExit(f"agent: the heartbeat was answered with {answer!r}")


if __name__ == "__main__":
    if os.environ.get("HEARTBEAT"):
        beat()
        print("agent: the parent answered the heartbeat", flush=True)
    remote.Server(dial(remote.CONTROL_PORT)).serve()
