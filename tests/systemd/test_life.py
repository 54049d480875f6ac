# SPDX-License-Identifier: Apache-2.0
"""The units as they are installed: started, reloaded, killed, stopped, restarted under traffic."""
import pytest
from host import connections, sides
from netns import wait_for
from traffic import transfer

MEBIBYTE = 1 << 20


both = pytest.mark.parametrize("side", ["parent", "enclave"])


@pytest.mark.parametrize("direction", ["out", "in"])
def test_traffic(pair, direction, version):
    client, server = pair.connection(direction, version)
    transfer(client, server, 8 * MEBIBYTE)


@both
def test_unit_is_ready(pair, side):
    machine, unit = sides(pair, side)
    machine.wait_active(unit)
    shown = machine.show(unit, "SubState", "StatusText", "NRestarts", "UnitFileState")
    assert shown["SubState"] == "running"
    assert shown["UnitFileState"] == "enabled"
    assert shown["NRestarts"] == "0"
    assert {"parent": "1 enclave may connect", "enclave": "lanes up, address 100.127.0."}[side] \
        in shown["StatusText"]


@both
def test_status_by_the_control_program(pair, side):
    machine, unit = sides(pair, side)
    shown = machine.run("causewayctl", "status").stdout
    assert shown.startswith(f"{unit} ")
    assert "lane 0 running" in shown


def test_enclave_loads_its_program(pair):
    """bpf() and the tc program, under the unit's filter and capabilities."""
    assert "NFQUEUE with GSO" in pair.enclave_host.run("causewayctl", "status").stdout


@both
def test_killed(pair, side):
    machine, unit = sides(pair, side)
    with connections(pair):
        old = machine.main_pid(unit)
        machine.run("systemctl", "kill", "--signal=KILL", "--kill-who=main", unit)
        machine.wait_restarted(unit, old)


@both
@pytest.mark.parametrize("verb", ["restart", "try-restart"])
def test_restart_under_traffic(pair, side, verb):
    """Devices, addresses and rules stay: they are the ones of before, not new ones alike."""
    machine, unit = sides(pair, side)
    device = {"parent": "cwin2", "enclave": "cw0"}[side]
    with connections(pair):
        old = machine.main_pid(unit)
        index = machine.namespace.links()[device]["ifindex"]
        machine.run("systemctl", verb, unit)
        machine.wait_restarted(unit, old)
        assert machine.namespace.links()[device]["ifindex"] == index


@both
def test_watchdog(pair, side):
    """A daemon that hangs is replaced. The unit's 30 s are shortened; the rest is the unit's."""
    machine, unit = sides(pair, side)
    assert machine.show(unit, "WatchdogUSec")["WatchdogUSec"] == "30s"
    machine.drop_in(unit, "[Service]\nWatchdogSec=1s\n")
    machine.run("systemctl", "restart", unit)
    machine.wait_active(unit)
    pair.wait_up()
    with connections(pair):
        old = machine.main_pid(unit)
        machine.run("kill", "-STOP", old)
        machine.wait_restarted(unit, old)
    assert "Watchdog timeout" in machine.journal(unit)
    machine.remove_drop_in(unit)
    machine.run("systemctl", "restart", unit)
    pair.wait_up()


class Configuration:
    """Another text in a configuration file for the time of a block."""

    def __init__(self, machine, path):
        self.machine, self.path = machine, path
        self.before = machine.run("cat", path).stdout

    def __enter__(self):
        return self

    def add(self, text):
        self.machine.write(self.path, self.before + text)

    def __exit__(self, *_):
        self.machine.write(self.path, self.before)


def test_reload(pair):
    """What the file says by then is taken over, by the same process."""
    machine = pair.parent_host
    with Configuration(machine, "/etc/causeway/parent.conf") as file, connections(pair):
        old = machine.main_pid("causeway-parent")
        file.add("publish = web=8443:8443\n")
        machine.run("systemctl", "reload", "causeway-parent")
        wait_for(lambda: "8443:8443" in machine.run("causewayctl", "status").stdout, "the port")
        assert machine.main_pid("causeway-parent") == old
    machine.run("systemctl", "reload", "causeway-parent")
    wait_for(lambda: "8443:8443" not in machine.run("causewayctl", "status").stdout, "no port")


@both
def test_reload_with_a_mistake_fails(pair, side):
    """systemctl says so, the journal says why, and the daemon goes on as it was."""
    machine, unit = sides(pair, side)
    with Configuration(machine, f"/etc/causeway/{side}.conf") as file, connections(pair):
        old = machine.main_pid(unit)
        file.add("log-level = loud\n")
        done = machine.run("systemctl", "reload", unit, check=False)
        assert done.returncode != 0
        assert "log-level: 'loud'" in machine.journal(unit, "--priority=err")
        assert (machine.main_pid(unit), machine.is_active(unit)) == (old, True)
    machine.run("systemctl", "reload", unit)


@both
def test_reload_of_a_daemon_with_another_user(pair, side):
    machine, unit = sides(pair, side)
    # A Unix link is its owner's alone; vsock asks nobody for permission.
    pair.parent_host.run("chmod", "0666", "/run/guest/v.sock_5000")
    with Configuration(machine, f"/etc/causeway/{side}.conf") as file:
        file.add("user = probe\n")
        machine.run("systemctl", "restart", unit)
        machine.wait_active(unit)
        owner = machine.run("stat", "-c", "%U", f"/proc/{machine.main_pid(unit)}").stdout.strip()
        assert owner == "probe"
        file.add("user = probe\nlog-level = debug\n")
        machine.run("systemctl", "reload", unit)
        wait_for(lambda: "changed log-level" in machine.journal(unit), "the change")
    machine.run("systemctl", "restart", unit)
    machine.wait_active(unit)
    pair.wait_up()


@both
def test_a_mistake_is_not_tried_again(pair, side):
    machine, unit = sides(pair, side)
    with Configuration(machine, f"/etc/causeway/{side}.conf") as file:
        file.add("no-such-option = 1\n")
        assert machine.run("systemctl", "restart", unit, check=False).returncode != 0
        shown = machine.show(unit, "ActiveState", "NRestarts", "ExecMainStatus")
        assert shown == {"ActiveState": "failed", "NRestarts": "0", "ExecMainStatus": "2"}
        assert "no-such-option" in machine.journal(unit, "--priority=err")
    machine.run("systemctl", "start", unit)
    machine.wait_active(unit)
    pair.wait_up()


def test_a_fault_that_lasts_is_outlived(pair):
    """More failed starts than systemd forgives by default (5 in 10 s); then the cause goes away."""
    machine, unit = pair.parent_host, "causeway-parent"
    machine.run("systemctl", "stop", unit)
    machine.sh("rm -f /run/guest/v.sock_5000 && mkdir /run/guest/v.sock_5000")
    machine.run("systemctl", "start", "--no-block", unit)
    wait_for(lambda: int(machine.show(unit, "NRestarts")["NRestarts"]) > 7, "eight more starts",
             patience=120)
    machine.run("rmdir", "/run/guest/v.sock_5000")
    machine.wait_active(unit)
    pair.wait_up()


@both
def test_messages_have_their_priority(pair, side):
    machine, unit = sides(pair, side)
    entries = machine.journal(unit, "--priority=info..info")
    assert "ready: " in entries
    for level in ("error: ", "warning: "):
        assert f"{unit}: {level}" not in entries
    assert f"{unit}: " in machine.journal(unit, "--priority=warning..warning")
    assert "<6>" not in machine.journal(unit)


def test_stop_and_start(pair):
    """Stopped in order, both ends leave the network as it was before anything was installed."""
    for side in ("enclave", "parent"):
        machine, unit = sides(pair, side)
        machine.run("systemctl", "stop", unit)
        assert machine.show(unit, "ActiveState", "Result") == {"ActiveState": "inactive",
                                                               "Result": "success"}
    for side in ("enclave", "parent"):
        assert pair.network_changes(side) == []
    for side in ("parent", "enclave"):
        machine, unit = sides(pair, side)
        machine.run("systemctl", "start", unit)
    pair.wait_up()
