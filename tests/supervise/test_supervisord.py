# SPDX-License-Identifier: Apache-2.0
"""Under a real supervisord: the enclave's program file, and the parent's launch script.

Killed daemons come back and the traffic goes on; what is stopped leaves nothing behind.
"""
import os
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path as File

import pytest
from dns_servers import Upstream, zone
from netns import PATIENCE, differences, snapshot, wait_for
from system import BUILD, EXTRA, ROOT, Enclave
from topology import INTERNET
from traffic import Background, Path, SlowSender, progress, receive_all

LAUNCH = ROOT / "parent/launch-parent.sh"
CONTROL = """
[unix_http_server]
file={directory}/sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://{directory}/sock
"""

pytestmark = [pytest.mark.daemons,
              pytest.mark.skipif(shutil.which("supervisord") is None,
                                 reason="supervisord is not installed")]


class Launched:
    """The parent's side: launch-parent.sh in the parent's namespace."""

    def __init__(self, topology, directory):
        self.topology, self.run_directory = topology, File(directory) / "launch"

    def call(self, *arguments, build=BUILD):
        environment = {**os.environ, "CAUSEWAY_LAUNCH_DIR": str(self.run_directory),
                       "CAUSEWAY_BUILD": str(build)}
        return subprocess.run(["ip", "netns", "exec", self.topology.parent.name, LAUNCH,
                               *arguments], capture_output=True, text=True, check=False,
                              env=environment, timeout=PATIENCE * 4)

    def start(self, *arguments):
        return self.call("start", "--manager", "supervisord", *arguments, *EXTRA)

    def pid(self, program):
        control = ["supervisorctl", "-c", str(self.run_directory / "supervisord.conf"), "pid",
                   program]
        return int(subprocess.run(control, capture_output=True, text=True, check=True).stdout)

    def log(self):
        return "\n".join(path.read_text() for path in self.run_directory.glob("*.log"))


class Image:
    """The enclave's side: a supervisord with the image's configuration and both program files."""

    def __init__(self, namespace, directory, link):
        self.namespace, self.directory = namespace, File(directory)
        (self.directory / "conf.d").mkdir()
        switches = "".join(f"{word[2:]} = yes\n" for word in EXTRA)
        resolvers = f"resolvers-file = {directory}/resolvers\n"
        self._program("enclave", "enclave/causeway-enclave",
                      f"link = {link}\ncontrol = none\n{resolvers}{switches}")
        self._program("dns", "dns/causeway-dns",
                      f"listen = 127.0.0.1\n{resolvers}{switches}")
        text = (ROOT / "enclave/image/supervisord.conf").read_text()
        text = text.replace("/etc/supervisor/conf.d", str(self.directory / "conf.d"))
        text = text.replace("/run/supervisord.pid", str(self.directory / "pid"))
        self.config = self.directory / "supervisord.conf"
        self.config.write_text(text + CONTROL.format(directory=self.directory))
        self.process = None

    def _program(self, name, binary, configuration):
        """The program file as it is installed, but for where program and configuration lie."""
        own = self.directory / f"{name}.conf"
        own.write_text(configuration)
        text = (BUILD / f"enclave/supervisor/causeway-{name}.conf").read_text()
        text, count = re.subn(r"^command=.*", f"command={BUILD}/{binary} --config {own}", text,
                              flags=re.M)
        assert count == 1
        (self.directory / f"conf.d/causeway-{name}.conf").write_text(text)

    def start(self):
        with open(self.directory / "console", "wb") as console:
            self.process = self.namespace.popen(
                ["ip", "netns", "exec", self.namespace.name, "supervisord", "-n", "-c",
                 str(self.config)], stdin=subprocess.DEVNULL, stdout=console, stderr=console)

    def control(self, *arguments):
        return subprocess.run(["supervisorctl", "-c", str(self.config), *arguments],
                              capture_output=True, text=True, check=False).stdout.strip()

    def pid(self, program="causeway-enclave"):
        text = self.control("pid", program)
        return int(text) if re.fullmatch(r"[1-9]\d*", text) else None

    def console(self):
        return (self.directory / "console").read_text()

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(PATIENCE)


class Supervised:
    """Both sides running; quacks like a Tunnel for traffic.Path."""

    def __init__(self, topology, directory):
        self.topology = topology
        self.enclave = Enclave(topology.enclave, 2)
        self.parent = Launched(topology, directory)
        self.link = f"unix:{directory}/link"
        self.image = Image(topology.enclave, directory, self.link)

    def start(self):
        done = self.parent.start("--enclave", f"{self.link},name=web", "--dns", INTERNET[4],
                                 "--publish", "7000-7099:7000-7099/tcp")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "RUNNING" in done.stdout
        self.image.start()
        wait_for(lambda: self.enclave.namespace.addresses("cw0", 4), "the enclave's address")
        return done

    def pair(self, direction):
        return Path(self, direction, 4).pair()

    def clear(self):
        self.image.stop()
        self.parent.call("stop")


@pytest.fixture
def supervised(topology):
    """In a folder that the daemons' own user may pass: pytest's are root's alone."""
    with tempfile.TemporaryDirectory(prefix="cwtest-") as folder:
        os.chmod(folder, 0o755)
        made = Supervised(topology, folder)
        yield made
        made.clear()


@pytest.mark.parametrize("victim", ["enclave", "parent"])
def test_killed_program_comes_back(supervised, victim):
    """The same TCP connections go on, both ways, and nothing is lost."""
    supervised.start()
    pids = {"enclave": supervised.image.pid,
            "parent": lambda: supervised.parent.pid("causeway-parent")}
    senders, receivers = [], []
    for direction in ("out", "in"):
        client, server = supervised.pair(direction)
        client.settimeout(90)
        server.settimeout(90)
        senders.append(SlowSender(client))
        receivers.append(Background(receive_all, server))
    for sender in senders:
        progress(sender)
    old = pids[victim]()
    os.kill(old, signal.SIGKILL)
    wait_for(lambda: pids[victim]() not in (None, 0, old), "another process")
    for sender in senders:
        progress(sender)
    sent = [sender.finish() for sender in senders]
    assert [receiver.result() for receiver in receivers] == sent


def test_killed_resolver_comes_back(supervised):
    """It asks the resolver that the parent offers, through the tunnel."""
    answers = zone({"killed.example": ["192.0.2.7"]}, ttl=0)
    upstream = Upstream(supervised.topology.internet, answers, address=INTERNET[4], port=53)
    try:
        supervised.start()

        def resolves():
            done = supervised.enclave.namespace.run(
                ["dig", "+short", "+tries=1", "+time=2", "@127.0.0.1", "killed.example"],
                check=False)
            return "192.0.2.7" in done.stdout

        wait_for(resolves, "the first answer")
        old = supervised.image.pid("causeway-dns")
        os.kill(old, signal.SIGKILL)
        wait_for(lambda: supervised.image.pid("causeway-dns") not in (None, old),
                 "another process")
        wait_for(resolves, "an answer of the new one")
    finally:
        upstream.close()


def test_daemon_speaks_on_the_console(supervised):
    supervised.start()
    wait_for(lambda: "ready: " in supervised.image.console(), "the daemon's words")


def test_stop_leaves_nothing(supervised):
    places = (supervised.topology.parent, supervised.topology.enclave)
    before = [snapshot(place) for place in places]
    supervised.start()
    assert supervised.parent.call("status").returncode == 0
    supervised.image.stop()
    done = supervised.parent.call("stop")
    assert (done.returncode, done.stdout) == (0, "stopped\n"), done.stderr
    assert not supervised.parent.run_directory.exists()
    left = []

    def same():
        left[:] = [line for place, was in zip(places, before)
                   for line in differences(was, snapshot(place))]
        return not left

    wait_for(same, "the old state")
    assert supervised.parent.call("status").returncode == 3


def test_status_of_a_program_that_does_not_run(supervised):
    supervised.start()
    control = ["supervisorctl", "-c", str(supervised.parent.run_directory / "supervisord.conf")]
    subprocess.run([*control, "stop", "causeway-parent"], check=True, capture_output=True)
    done = supervised.parent.call("status")
    assert done.returncode == 3
    assert "STOPPED" in done.stdout


def test_second_start_is_refused(supervised):
    supervised.start()
    done = supervised.parent.start("--enclave", supervised.link)
    assert done.returncode == 1
    assert "already started" in done.stderr
    assert supervised.parent.call("status").returncode == 0


@pytest.fixture
def launched(topology, tmp_path):
    """The launch script alone; what it should not have started ends, too."""
    made = Launched(topology, tmp_path)
    yield made
    made.call("stop")


def test_slow_failure_is_a_failure(launched, tmp_path):
    """A program that supervisord calls RUNNING before it fails, again and again."""
    program = File(tmp_path) / "parent/causeway-parent"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n"
                       'case "$*" in *--check | *--print-config) exit ;; esac\n'
                       "sleep 2; echo no such luck; exit 1\n")
    program.chmod(0o755)
    done = launched.call("start", "--manager", "supervisord", build=tmp_path)
    assert (done.returncode, "no such luck" in done.stderr) == (1, True), done.stderr
    assert not launched.run_directory.exists()


@pytest.mark.parametrize("arguments, status, sentence", [
    (["start", "--manager", "supervisord", "--enclave", "vsock:x:1"], 2, "vsock:x:1"),
    (["start", "--manager", "supervisord", "--no-such-option"], 2, "--no-such-option"),
    (["start", "--manager", "runit"], 2, "'runit'"),
    (["start", "--manager", "systemd", "--enclave", "vsock:16:5000"], 1, "systemd does not run"),
    (["start", "--resolver"], 2, "--resolver needs a value"),
    (["begin"], 2, "'begin'"),
])
def test_what_is_wrong_is_named(launched, arguments, status, sentence):
    if "systemd" in arguments and os.path.exists("/run/systemd/private"):
        pytest.skip("systemd runs on this machine")
    done = launched.call(*arguments)
    assert (done.returncode, sentence in done.stderr) == (status, True), done.stderr
    assert not launched.run_directory.exists()


def test_port_in_use_is_reported(launched, tmp_path):
    """A daemon that cannot start: the reason is shown, nothing stays behind."""
    (tmp_path / "link").write_text("not a socket")
    done = launched.start("--enclave", f"unix:{tmp_path}/link")
    assert done.returncode == 1
    assert f"{tmp_path}/link" in done.stdout + done.stderr
    assert not launched.run_directory.exists()
