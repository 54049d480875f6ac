# SPDX-License-Identifier: Apache-2.0
"""What the daemons say when they cannot start, and that --check and --dry-run change nothing."""
import os
import re
import stat
import subprocess

import pytest
from netns import differences, snapshot, wait_for
from system import BUILD, Daemon

pytestmark = pytest.mark.daemons

ENCLAVE = BUILD / "enclave" / "causeway-enclave"
PARENT = BUILD / "parent" / "causeway-parent"


@pytest.fixture
def link(tmp_path):
    tmp_path.chmod(0o755)
    return f"unix:{tmp_path}/link"


def run(namespace, program, *arguments, prefix=(), patience=30):
    """Status and standard error of a daemon that is expected to end by itself."""
    done = namespace.run(["ip", "netns", "exec", namespace.name, *prefix, program, *arguments],
                         check=False, patience=patience)
    return done


def complains(done, status, *words):
    """One clear sentence on standard error that has these words, and this exit status."""
    sentences = [line for line in done.stderr.splitlines() if ": error: " in line]
    assert len(sentences) == 1, f"one sentence, not: {done.stderr!r}"
    for word in words:
        assert word in sentences[0], sentences[0]
    assert done.returncode == status
    return True


BAD_ENCLAVE_LINES = [
    ((), ("--link",)),
    (("--nonsense",), ("--nonsense",)),
    (("--link",), ("--link",)),
    (("--link", "tcp:1.2.3.4:5"), ("--link", "tcp:1.2.3.4:5")),
    (("--link", "vsock:3"), ("--link",)),
    (("--link", "vsock:3:99999999999"), ("--link",)),
    (("--link", "unix:"), ("--link",)),
    (("--link", "unix:/" + "x" * 200), ("--link",)),
    (("--link", "unix:/tmp/x", "--lanes", "0"), ("--lanes",)),
    (("--link", "unix:/tmp/x", "--lanes", "9"), ("--lanes",)),
    (("--link", "unix:/tmp/x", "--lanes", "two"), ("--lanes", "two")),
    (("--link", "unix:/tmp/x", "--capture", "magic"), ("--capture", "magic")),
    (("--link", "unix:/tmp/x", "--mtu", "500"), ("--mtu", "500")),
    (("--link", "unix:/tmp/x", "--address", "1.2.3"), ("--address", "1.2.3")),
    (("--link", "unix:/tmp/x", "--inside", "10.0.0.1/8"), ("--inside", "10.0.0.1/8")),
    (("--link", "unix:/tmp/x", "--log-level", "loud"), ("--log-level", "loud")),
    (("--link", "unix:/tmp/x", "stray"), ("stray",)),
]

BAD_PARENT_LINES = [
    ((), ("--enclave",)),
    (("--nonsense=1",), ("--nonsense",)),
    (("--enclave", "nowhere"), ("--enclave", "nowhere")),
    (("--enclave", "unix:/tmp/x,colour=red"), ("--enclave",)),
    (("--enclave", "unix:/tmp/x", "--enclave", "unix:/tmp/x"), ("--enclave",)),
    (("--enclave", "unix:/tmp/x,address=300.1.1.1"), ("--enclave",)),
    (("--enclave", "unix:/tmp/x,address=192.0.2.1"), ("192.0.2.1", "100.127.0.0/16")),
    (("--enclave", "unix:/tmp/x", "--pool", "100.127.0.1/16"), ("--pool",)),
    (("--enclave", "unix:/tmp/x", "--pool", "100.127.0.0/31"), ("--pool",)),
    (("--enclave", "unix:/tmp/x", "--pool6", "10.0.0.0/8"), ("--pool6",)),
    (("--enclave", "unix:/tmp/x", "--publish", "80"), ("--publish", "80")),
    (("--enclave", "unix:/tmp/x", "--publish", "0:80/tcp"), ("--publish",)),
    (("--enclave", "unix:/tmp/x", "--publish", "80:70000/tcp"), ("--publish",)),
    (("--enclave", "unix:/tmp/x", "--publish", "8000-8010:80-85/tcp"), ("--publish",)),
    (("--enclave", "unix:/tmp/x", "--publish", "80:80/icmp"), ("--publish",)),
    (("--enclave", "unix:/tmp/x", "--publish", "other=80:80/tcp"), ("other",)),
    (("--enclave", "unix:/tmp/x", "--publish", "80:80", "--publish", "80:81"), ("80",)),
    (("--enclave", "unix:/tmp/x", "--allow", "everything"), ("--allow", "everything")),
    (("--enclave", "unix:/tmp/x", "--dns", "one.one"), ("--dns", "one.one")),
    (("--enclave", "unix:/tmp/x", "--firewall", "pf"), ("--firewall", "pf")),
    (("--enclave", "unix:/tmp/x", "--dead-after", "-1"), ("--dead-after",)),
]


def line_id(value):
    return " ".join(value)[:60] or "nothing" if isinstance(value, tuple) else None


@pytest.mark.parametrize("line,words", BAD_ENCLAVE_LINES, ids=line_id)
def test_bad_enclave_command_line(topology, line, words):
    assert complains(run(topology.enclave, ENCLAVE, *line), 2, *words)


@pytest.mark.parametrize("line,words", BAD_PARENT_LINES, ids=line_id)
def test_bad_parent_command_line(topology, line, words):
    assert complains(run(topology.parent, PARENT, *line), 2, *words)


@pytest.mark.parametrize("program", [ENCLAVE, PARENT], ids=["enclave", "parent"])
def test_help_and_version(topology, program):
    done = run(topology.parent, program, "--help")
    assert done.returncode == 0 and done.stderr == ""
    for option in ("--log-level", "--check", "--dry-run", "--dead-after", "--firewall"):
        assert option in done.stdout
    done = run(topology.parent, program, "--version")
    assert re.fullmatch(r"causeway-\w+ \d+\.\d+\.\d+\ncommit [\w.-]+, \w+ build by .+\n",
                        done.stdout)
    assert done.returncode == 0


def test_socket_in_a_missing_directory(topology):
    before = snapshot(topology.parent)
    done = run(topology.parent, PARENT, "--enclave", "unix:/nonexistent/directory/link")
    assert complains(done, 1, "/nonexistent/directory/link", "No such file or directory")
    assert differences(before, snapshot(topology.parent)) == []


def test_socket_belongs_to_its_owner(topology, tmp_path):
    """The jailer's case: Firecracker, as a user of its own, may connect; nobody else but root."""
    daemon = Daemon(topology.parent, "causeway-parent",
                    ["--enclave", f"unix:{tmp_path}/s,owner=65534"], tmp_path, "parent")
    daemon.start()
    try:
        wait_for(lambda: "ready" in daemon.log(), "the parent")
        found = (tmp_path / "s").stat()
        assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (65534, 0o600)
    finally:
        daemon.stop()


def test_socket_path_that_is_a_file(topology, tmp_path):
    """Somebody's file is not removed to make place for a socket."""
    (tmp_path / "link").write_text("precious")
    done = run(topology.parent, PARENT, "--enclave", f"unix:{tmp_path}/link")
    assert complains(done, 1, f"{tmp_path}/link")
    assert (tmp_path / "link").read_text() == "precious"


@pytest.mark.parametrize("role", ["enclave", "parent"])
def test_missing_privileges(topology, link, role):
    namespace = getattr(topology, role)
    program, option = {"enclave": (ENCLAVE, "--link"), "parent": (PARENT, "--enclave")}[role]
    before = snapshot(namespace)
    done = run(namespace, program, option, link,
               prefix=["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"])
    if "Permission denied" in done.stderr and "setpriv" in done.stderr:
        pytest.skip("the build directory cannot be read by another user")
    assert complains(done, 1, "CAP_NET_ADMIN")
    assert differences(before, snapshot(namespace)) == []


@pytest.mark.parametrize("pool,route,words", [
    ("--pool=10.77.0.0/16", "10.77.3.0/24", ("10.77.0.0/16", "10.77.3.0/24")),
    ("--pool=10.77.3.0/24", "10.77.0.0/16", ("10.77.3.0/24", "10.77.0.0/16")),
    ("--pool6=fd77::/64", "fd77::/48", ("fd77::/64", "fd77::/48")),
])
def test_pool_in_use_by_a_route(topology, link, pool, route, words):
    """A pool that the host already routes elsewhere is refused, and nothing is changed."""
    version = 6 if ":" in route else 4
    via = {4: "198.51.100.1", 6: "2001:db8:51::1"}[version]
    topology.parent.ip(f"-{version} route add {route} via {via}")
    try:
        before = snapshot(topology.parent)
        done = run(topology.parent, PARENT, "--enclave", link, pool)
        assert complains(done, 1, *words)
        assert differences(before, snapshot(topology.parent)) == []
    finally:
        topology.parent.ip(f"-{version} route del {route}")


def test_pool_too_small(topology, link):
    """Six addresses of a /29, two of them taken: no place for eight enclaves."""
    lines = [word for number in range(8) for word in ("--enclave", f"{link}{number}")]
    done = run(topology.parent, PARENT, *lines, "--pool", "100.127.0.0/29")
    assert complains(done, done.returncode, "--pool")
    assert done.returncode in (1, 2)


def test_unknown_uplink(topology, link):
    """A named uplink that is absent is waited for, not an end: but it is said."""
    process = topology.parent.popen(
        ["ip", "netns", "exec", topology.parent.name, PARENT, "--enclave", link, "--uplink",
         "eth7"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        said = ""
        for text in process.stderr:
            said += text
            if "ready" in text or process.poll() is not None:
                break
        assert "eth7" in said
    finally:
        process.terminate()
        process.communicate(timeout=30)


@pytest.mark.parametrize("role", ["enclave", "parent"])
def test_second_instance(topology, workshop, role):
    """Two daemons of a kind in one namespace would fight: the second says so and leaves all alone."""
    tunnel = workshop.tunnel()
    daemon = tunnel.parent if role == "parent" else tunnel.enclave.daemon
    before = snapshot(daemon.namespace)
    done = run(daemon.namespace, *daemon.command)
    assert complains(done, 1, f"another causeway-{role} runs")
    assert differences(before, snapshot(daemon.namespace)) == []
    tunnel.wait_ready()


def test_foreign_device(topology, link):
    """A device called cw0 that is not ours is not touched."""
    enclave = topology.enclave
    enclave.ip("link add cw0 type veth peer name other0")
    try:
        before = snapshot(enclave)
        assert complains(run(enclave, ENCLAVE, "--link", link), 1, "cw0")
        assert differences(before, snapshot(enclave)) == []
    finally:
        enclave.ip("link del cw0")


@pytest.mark.parametrize("mode", ["--check", "--dry-run"])
@pytest.mark.parametrize("role", ["enclave", "parent"])
def test_check_and_dry_run_change_nothing(topology, link, role, mode):
    namespace = getattr(topology, role)
    program, option = {"enclave": (ENCLAVE, "--link"), "parent": (PARENT, "--enclave")}[role]
    extra = ["--publish", "443:443/tcp"] if role == "parent" else []
    before = snapshot(namespace)
    done = run(namespace, program, option, link, *extra, mode)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() != ""
    if mode == "--dry-run" and role == "parent":
        assert "443" in done.stdout and "MASQUERADE" in done.stdout.upper()
    assert differences(before, snapshot(namespace)) == []
    assert not os.path.exists(link.removeprefix("unix:"))


@pytest.mark.parametrize("backend,word", [("iptables", "DNAT"), ("iptables-legacy", "DNAT"),
                                          ("nft", "dnat")])
def test_dry_run_shows_every_backend(topology, link, backend, word):
    done = run(topology.parent, PARENT, "--enclave", link, "--publish", "443:443/tcp",
               "--firewall", backend, "--dry-run")
    assert done.returncode == 0 and word in done.stdout


def test_check_finds_what_is_missing(topology, link):
    """--check without privileges says so and fails."""
    done = run(topology.enclave, ENCLAVE, "--link", link, "--check",
               prefix=["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"])
    assert done.returncode != 0
    assert "CAP_NET_ADMIN" in done.stdout + done.stderr
