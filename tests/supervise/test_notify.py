# SPDX-License-Identifier: Apache-2.0
"""What the daemons tell a service manager, inside their sandbox."""
import os
import socket

import pytest
from netns import PATIENCE, wait_for


class Manager:
    """A service manager's socket, and all that was said on it."""

    def __init__(self, directory):
        self.path = str(directory / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.setblocking(False)
        self.heard = []

    def listen(self):
        try:
            while True:
                self.heard += self.socket.recv(4096).decode().splitlines()
        except BlockingIOError:
            return self.heard

    def wait_for(self, line, count=1):
        wait_for(lambda: sum(said.startswith(line) for said in self.listen()) >= count,
                 f"{count} times {line}", PATIENCE)

    def close(self):
        self.socket.close()


@pytest.fixture
def manager(tmp_path):
    os.chmod(tmp_path, 0o755)
    made = Manager(tmp_path)
    yield made
    made.close()


def started(daemon, manager_, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setenv("NOTIFY_SOCKET", manager_.path)
        patched.setenv("WATCHDOG_USEC", "100000")
        daemon.start()


def test_parent(workshop, manager, monkeypatch):
    tunnel = workshop.tunnel(start=False)
    started(tunnel.parent, manager, monkeypatch)
    manager.wait_for("READY=1")
    manager.wait_for("STATUS=1 enclave may connect")
    manager.wait_for("WATCHDOG=1", count=3)
    assert tunnel.parent.stop() == 0
    manager.wait_for("STOPPING=1")


def test_enclave_is_ready_when_the_tunnel_is(workshop, manager, monkeypatch):
    tunnel = workshop.tunnel(start=False, lanes=2)
    started(tunnel.enclave.daemon, manager, monkeypatch)
    manager.wait_for("STATUS=waiting for the parent")
    manager.wait_for("WATCHDOG=1", count=3)
    assert "READY=1" not in manager.listen()
    tunnel.parent.start()
    manager.wait_for("READY=1")
    manager.wait_for("STATUS=2 lanes up, address 100.127.0.")
    tunnel.parent.kill()
    manager.wait_for("STATUS=lane")
    tunnel.parent.start()
    manager.wait_for("READY=1", count=2)
    assert tunnel.enclave.daemon.stop() == 0
    manager.wait_for("STOPPING=1")


@pytest.mark.parametrize("daemon", ["parent", "enclave"])
def test_manager_that_is_not_there(workshop, daemon, monkeypatch, tmp_path):
    tunnel = workshop.tunnel(start=False)
    victim = tunnel.parent if daemon == "parent" else tunnel.enclave.daemon
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    victim.start()
    assert victim.process.wait(PATIENCE) == 1
    assert f"NOTIFY_SOCKET '{tmp_path}/nobody': No such file" in victim.log()


def test_manager_that_goes_away(workshop, manager, monkeypatch):
    tunnel = workshop.tunnel(start=False)
    with monkeypatch.context() as patched:
        patched.setenv("NOTIFY_SOCKET", manager.path)
        patched.setenv("WATCHDOG_USEC", "10000")
        tunnel.start()
    manager.wait_for("WATCHDOG=1")
    manager.close()
    tunnel.wait_ready()
    assert tunnel.alive()
