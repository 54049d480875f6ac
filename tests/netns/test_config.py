# SPDX-License-Identifier: Apache-2.0
"""Configuration files: read at the start, printed, read again on SIGHUP, refused with file and line."""
import contextlib
import re
import signal

import pytest
from netns import differences, snapshot, wait_for
from test_command_line import ENCLAVE, PARENT, complains, run
from topology import PARENT as PARENT_ADDRESS
from topology import PRIVATE

pytestmark = pytest.mark.daemons

PROGRAMS = {"enclave": ENCLAVE, "parent": PARENT}
FULL = {
    "enclave": ["link = vsock:3:5005", "inside = 172.17.0.0/16", "inside = fd00:d::/64",
                "address = 100.127.0.9", "capture = packet", "dead-after = 3", "no-sandbox"],
    "parent": ["enclave = vsock:16:5005,name=web", "enclave = unix:/tmp/nowhere,name=box",
               "publish = web=443:443", "publish = box=[2001:db8::1]:8000-8010:80-90/udp",
               "allow = 10.0.0.0/8", "pool6 = fd01::/64", "routed4 = yes", "dns = 9.9.9.9"],
}


@pytest.mark.parametrize("role", ["enclave", "parent"])
def test_printed_configuration_reads_back(topology, tmp_path, role):
    (tmp_path / "one").write_text("# full\n" + "\n".join(FULL[role]) + "\n")
    done = run(topology.parent, PROGRAMS[role], "--config", tmp_path / "one", "--log-level", "error",
               "--print-config")
    assert done.returncode == 0 and done.stderr == ""
    for line in FULL[role]:
        assert line.split(" ")[0] + " = " in done.stdout
    assert "log-level = error\n" in done.stdout
    (tmp_path / "two").write_text(done.stdout)
    again = run(topology.parent, PROGRAMS[role], "--config", tmp_path / "two", "--print-config")
    assert (again.returncode, again.stdout) == (0, done.stdout)


@pytest.mark.parametrize("role,lines,words", [
    ("parent", "enclave = unix:/tmp/x\n\ncolour = red\n", (":3:", "unknown key 'colour'")),
    ("parent", "enclave = unix:/tmp/x\npublish = 80\n", (":2:", "publish", "'80'")),
    ("parent", "enclave = nowhere\n", (":1:", "enclave", "'nowhere'")),
    ("parent", "check\n", (":1:", "check belongs on the command line")),
    ("enclave", "link = unix:/tmp/x\nlanes = many\n", (":2:", "lanes", "'many'")),
    ("enclave", "link\n", (":1:", "link needs a value")),
    ("enclave", "config = other\n", (":1:", "config belongs on the command line")),
    ("enclave", "lanes = 2\n", ("--link is missing", )),
])
def test_mistakes_name_file_and_line(topology, tmp_path, role, lines, words):
    path = tmp_path / "conf"
    path.write_text(lines)
    before = snapshot(topology.parent)
    done = run(topology.parent, PROGRAMS[role], "--config", path)
    assert complains(done, 2, *words)
    assert words[0][0] != ":" or f"{path}{words[0]}" in done.stderr
    assert differences(before, snapshot(topology.parent)) == []


def test_missing_file(topology):
    done = run(topology.parent, PARENT, "--config", "/nonexistent/conf")
    assert complains(done, 2, "--config", "/nonexistent/conf", "No such file or directory")


def reach(namespace, address, port):
    with contextlib.suppress(OSError):
        namespace.connect(4, address, port, patience=1).close()
        return True
    return False


class Configured:
    """A tunnel whose daemons have a file each, beside what the command line says."""

    def __init__(self, workshop, directory, parent_arguments=()):
        self.files = {role: directory / f"{role}.conf" for role in ("parent", "enclave")}
        for path in self.files.values():
            path.write_text("")
            path.chmod(0o600)
        self.tunnel = workshop.tunnel(
            publish=(), start=False,
            parent_arguments=["--config", self.files["parent"], *parent_arguments],
            enclave_arguments=["--config", self.files["enclave"]])

    def daemon(self, role):
        return self.tunnel.parent if role == "parent" else self.tunnel.enclave.daemon

    def start(self):
        self.tunnel.start()
        self.tunnel.wait_ready()

    def reload(self, role, text=None):
        """Writes the file, sends SIGHUP; what the daemon says about it."""
        if text is not None:
            self.files[role].write_text(text)
        daemon = self.daemon(role)
        offset = len(daemon.log())
        daemon.process.send_signal(signal.SIGHUP)
        pattern = r"configuration (read again|not changed): [^\n]*\n"
        wait_for(lambda: re.search(pattern, daemon.log()[offset:]), "an answer to SIGHUP")
        return daemon.log()[offset:]


@pytest.mark.parametrize("user", [(), ("--user", "nobody")], ids=["root", "nobody"])
def test_reload_of_ports_and_networks(topology, workshop, tmp_path, user):
    """Published ports and opened networks follow the file, also when the daemon itself may not read
    it any more."""
    made = Configured(workshop, tmp_path, user)
    made.files["parent"].write_text("publish = 7123:80\n")
    made.start()
    inside = made.tunnel.enclave.namespace
    with inside.listen(4, 80), inside.listen(4, 81), topology.internet.listen(4, 6000):
        assert reach(topology.internet, PARENT_ADDRESS[4], 7123)
        assert not reach(topology.internet, PARENT_ADDRESS[4], 7124)
        assert not reach(inside, PRIVATE[4], 6000)
        said = made.reload("parent", "publish = 7124:81\nallow = 10.99.0.0/24\n")
        assert "changed publish, allow" in said
        wait_for(lambda: reach(topology.internet, PARENT_ADDRESS[4], 7124), "the new port")
        wait_for(lambda: reach(inside, PRIVATE[4], 6000), "the opened network")
        assert not reach(topology.internet, PARENT_ADDRESS[4], 7123)
        assert "nothing has changed" in made.reload("parent")
        assert reach(topology.internet, PARENT_ADDRESS[4], 7124)


@pytest.mark.parametrize("text,words", [
    ("publish = 7124:81\nvolume = 3\n", (":2:", "unknown key 'volume'")),
    ("publish = nobody=7124:81\n", ("no --enclave is called 'nobody'",)),
    ("allow = here\n", (":1:", "allow: 'here'")),
])
def test_reload_of_an_invalid_file(topology, workshop, tmp_path, text, words):
    """One sentence, and everything stays as it was."""
    made = Configured(workshop, tmp_path)
    made.files["parent"].write_text("publish = 7123:80\n")
    made.start()
    before = snapshot(topology.parent)
    said = made.reload("parent", text)
    assert said.count("\n") == 1 and "error: configuration not changed: " in said
    for word in words:
        assert word in said
    assert differences(before, snapshot(topology.parent)) == []
    with made.tunnel.enclave.namespace.listen(4, 80):
        assert reach(topology.internet, PARENT_ADDRESS[4], 7123)
    made.files["parent"].unlink()
    assert "No such file or directory" in made.reload("parent")
    assert "nothing has changed" in made.reload("parent", "publish = 7123:80\n")


def test_reload_says_what_needs_a_restart(workshop, tmp_path):
    made = Configured(workshop, tmp_path)
    made.start()
    said = made.reload("parent", "pool = 100.64.0.0/24\nuser = nobody\nlog-level = debug\n")
    for key in ("pool", "user"):
        assert f"warning: a change of {key} needs a restart" in said
    assert "changed log-level" in said
    said = made.reload("enclave", "mtu = 1400\ndead-after = 33\n")
    assert "warning: a change of mtu needs a restart" in said
    assert "changed dead-after" in said
    made.tunnel.wait_ready()
    assert made.tunnel.enclave.address(4) == "100.127.0.2"


def test_reload_of_the_log_level(workshop, tmp_path):
    made = Configured(workshop, tmp_path)
    made.start()
    made.reload("parent", "log-level = error\n")
    daemon = made.tunnel.parent
    offset = len(daemon.log())
    made.tunnel.enclave.daemon.kill()
    made.tunnel.enclave.daemon.start()
    made.tunnel.wait_ready()
    assert daemon.log()[offset:] == ""


def test_names_in_logs(workshop):
    """An enclave is called by its name."""
    tunnel = workshop.tunnel()
    assert re.search(r"info: e2 \(unix:[^)]*/enclave2\) lane 0 of 1: up", tunnel.parent.log())
    assert tunnel.parent.stats()[0]["name"] == "e2"
