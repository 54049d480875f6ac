# SPDX-License-Identifier: Apache-2.0
"""The launch script where systemd runs: beside the permanent service, and without it."""
import pytest
from host import ENCLAVE_CONF, LINK, connections
from netns import wait_for

START = ["causeway-launch-parent", "start", "--enclave", f"{LINK},name=web",
         "--publish", "web=7000-7099:7000-7099/tcp"]


@pytest.fixture
def without_the_service(pair):
    machine = pair.parent_host
    machine.run("systemctl", "stop", "causeway-parent")
    yield machine
    machine.run("causeway-launch-parent", "stop", check=False)
    machine.run("systemctl", "start", "causeway-parent")
    pair.wait_up()


def test_start_while_the_service_runs_is_refused(pair):
    machine = pair.parent_host
    old = machine.main_pid("causeway-parent")
    done = machine.run(*START, check=False)
    assert done.returncode == 1
    assert "causeway-parent.service runs already" in done.stderr
    assert machine.run("causeway-launch-parent", "status", check=False).returncode == 3
    assert machine.run("causeway-launch-parent", "stop").stdout == "not started\n"
    assert machine.main_pid("causeway-parent") == old


def test_start_status_stop(pair, without_the_service):
    machine = without_the_service
    assert "active (running)" in machine.run(*START).stdout
    wait_for(lambda: "lane 0 running" in machine.run("causewayctl", "status").stdout, "the lane")
    with connections(pair):
        old = machine.main_pid("causeway-parent")
        machine.run("systemctl", "kill", "--signal=KILL", "--kill-who=main", "causeway-parent")
        machine.wait_restarted("causeway-parent", old)
    machine.run("causeway-launch-parent", "status")
    assert machine.run("causeway-launch-parent", "stop").stdout == "stopped\n"
    assert not machine.is_active("causeway-parent")
    assert machine.sh("find /run/systemd/system -name launch.conf") == ""


def test_a_resolver_beside_it(pair, without_the_service):
    """The parent's own resolvers, for enclaves, on a stream."""
    machine, inside = without_the_service, pair.enclave_host
    machine.sh("echo 192.0.2.7 answer.example >>/etc/hosts")
    machine.run(*START[:2], "--resolver", "unix:/run/guest/dns", *START[2:])
    try:
        inside.write("/etc/causeway/dns.conf",
                     "listen = 127.0.0.1\nupstream = unix:/run/guest/dns\n"
                     "resolv-conf = /etc/resolv.conf\n")
        before = inside.run("cat", "/etc/resolv.conf").stdout
        inside.run("systemctl", "start", "causeway-dns")
        assert "nameserver 127.0.0.1" in inside.run("cat", "/etc/resolv.conf").stdout
        found = inside.run("getent", "ahostsv4", "answer.example").stdout
        assert found.startswith("192.0.2.7")
        inside.run("systemctl", "stop", "causeway-dns")
        assert inside.run("cat", "/etc/resolv.conf").stdout == before
    finally:
        inside.run("systemctl", "stop", "causeway-dns")
        machine.sh("sed -i /answer.example/d /etc/hosts")


def test_what_cannot_start_is_found_before(pair, without_the_service):
    machine = without_the_service
    machine.sh("mkdir -p /run/guest/folder")
    done = machine.run("causeway-launch-parent", "start", "--enclave", "unix:/run/guest/folder",
                       check=False)
    machine.run("rmdir", "/run/guest/folder")
    assert done.returncode == 1
    assert "/run/guest/folder is there, and no socket" in done.stdout


def test_what_does_not_start_says_why(pair, without_the_service):
    """The unit's own walls are met at its start only: it sees no /root."""
    machine = without_the_service
    done = machine.run("causeway-launch-parent", "start", "--enclave", "unix:/root/link",
                       check=False)
    assert done.returncode == 1
    assert "cannot listen on unix:/root/link" in done.stderr
    assert not machine.is_active("causeway-parent")
    assert machine.sh("find /run/systemd/system /run/causeway/launch -name '*launch*'",
                      check=False).stdout == ""


def test_a_jail_of_another_user(pair, without_the_service):
    """Firecracker's jailer: a folder of mode 0700 that belongs to the jail's user, below /srv."""
    machine, inside = without_the_service, pair.enclave_host
    jail = "/srv/jailer/firecracker/web/root"
    machine.sh(f"mkdir -p {jail} && mount --bind /run/guest {jail} && chown probe {jail} && "
               f"chmod 0700 {jail}")
    try:
        machine.run("causeway-launch-parent", "start", "--enclave",
                    f"unix:{jail}/v.sock_5001,name=web,owner=probe")
        assert machine.run("stat", "-c", "%U %a", f"{jail}/v.sock_5001").stdout == "probe 600\n"
        # As Firecracker does: it is the jail's user that connects.
        inside.write("/etc/causeway/enclave.conf",
                     "link = unix:/run/guest/v.sock_5001\nuser = probe\n")
        inside.run("systemctl", "restart", "causeway-enclave")
        inside.wait_active("causeway-enclave")
        assert machine.run("causeway-launch-parent", "stop").stdout == "stopped\n"
        assert "v.sock_5001" not in machine.run("ls", jail).stdout.split()
    finally:
        machine.run("causeway-launch-parent", "stop", check=False)
        machine.sh(f"umount {jail}; chown root /run/guest; chmod 0755 /run/guest; rm -rf /srv/jailer")
        inside.write("/etc/causeway/enclave.conf", ENCLAVE_CONF)
        inside.run("systemctl", "restart", "--no-block", "causeway-enclave")
