# SPDX-License-Identifier: Apache-2.0
"""The packages' own life: fresh, upgraded under traffic, removed, purged. The last file of the folder:
no other finds the packages after it."""
import subprocess

import pytest
from host import connections, install, sides
from netns import wait_for

both = pytest.mark.parametrize("side", ["parent", "enclave"])


@pytest.fixture(scope="module")
def newer(debs, tmp_path_factory):
    """The same packages under a higher version."""
    directory = tmp_path_factory.mktemp("newer")
    made = {}
    for name, deb in debs.items():
        tree = directory / name
        subprocess.run(["dpkg-deb", "-R", deb, tree], check=True)
        control = tree / "DEBIAN/control"
        text = control.read_text()
        old = next(line.split()[1] for line in text.splitlines() if line.startswith("Version:"))
        control.write_text(text.replace(old, f"{old}+1"))
        made[name] = directory / f"{name}_{old}+1_amd64.deb"
        subprocess.run(["dpkg-deb", "-Zgzip", "-z1", "--root-owner-group", "-b", tree, made[name]],
                       check=True, stdout=subprocess.DEVNULL)
    return made


@both
def test_a_fresh_package_starts_nothing(pair, side):
    fresh = pair.fresh[side]
    assert fresh == {"ActiveState": "inactive", "UnitFileState": "disabled",
                     "UnitFilePreset": "disabled"}


@both
def test_the_user_has_no_shell_and_no_home(pair, side):
    machine, _ = sides(pair, side)
    fields = machine.run("getent", "passwd", "causeway").stdout.strip().split(":")
    assert fields[5:] == ["/nonexistent", "/usr/sbin/nologin"]


def upgrade(pair, side, debs):
    machine, unit = sides(pair, side)
    return install(machine, [debs["causeway-common"], debs[unit]])


@both
def test_an_upgrade_with_a_refused_configuration_keeps_the_old_process(pair, side, newer, debs):
    machine, unit = sides(pair, side)
    path = f"/etc/causeway/{side}.conf"
    good = machine.run("cat", path).stdout
    old = machine.main_pid(unit)
    machine.write(path, good + "no-such-option = 1\n")
    try:
        done = upgrade(pair, side, newer)
        said = done.stdout + done.stderr  # apt gives its packages a terminal
        assert "no-such-option" in said
        assert "the old process runs on" in said
        assert (machine.main_pid(unit), machine.is_active(unit)) == (old, True)
    finally:
        machine.write(path, good)
        machine.run("dpkg", "--force-downgrade", "--install",
                    *(f"/root/packages/{debs[name].name}" for name in ("causeway-common", unit)))
    machine.wait_restarted(unit, old)
    pair.wait_up()


@both
def test_upgrade_under_traffic(pair, side, newer):
    """Another process, of the new version; connections go on, the configuration is the user's."""
    machine, unit = sides(pair, side)
    configuration = machine.run("cat", f"/etc/causeway/{side}.conf").stdout
    with connections(pair):
        old = machine.main_pid(unit)
        upgrade(pair, side, newer)
        machine.wait_restarted(unit, old)
    assert "+1" in machine.run("dpkg-query", "-W", unit).stdout
    running = machine.run("readlink", f"/proc/{machine.main_pid(unit)}/exe").stdout.strip()
    assert running == f"/usr/sbin/{unit}"
    assert machine.run("cat", f"/etc/causeway/{side}.conf").stdout == configuration


@both
def test_remove(pair, side):
    """The daemon ends in order; its configuration stays, nothing leads to what is gone."""
    machine, unit = sides(pair, side)
    machine.run("apt-get", "remove", "--yes", unit, "causeway-common")
    assert not machine.is_active(unit)
    assert machine.run("pgrep", "-x", unit, check=False).stdout == ""
    assert machine.sh("find /etc/systemd -xtype l") == ""
    assert machine.run("test", "-e", f"/etc/causeway/{side}.conf", check=False).returncode == 0
    wait_for(lambda: not pair.network_changes(side), "the network as before")


@both
def test_purge(pair, side):
    machine, unit = sides(pair, side)
    machine.run("apt-get", "purge", "--yes", unit, "causeway-common")
    assert pair.network_changes(side) == []
    assert pair.file_changes(side) == []
