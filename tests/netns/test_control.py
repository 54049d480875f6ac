# SPDX-License-Identifier: Apache-2.0
"""The control sockets and causewayctl: status, top, metrics, changes at run time, bad clients."""
import json
import os
import re
import socket
import stat
import subprocess
import urllib.error
import urllib.request

import pytest
from control import CTL, Client, check_names, ctl, lanes, socket_of, status
from netns import differences, snapshot, wait_for
from system import BUILD
from test_config import reach
from topology import INTERNET, PRIVATE
from topology import PARENT as PARENT_ADDRESS
from traffic import Path, transfer

pytestmark = pytest.mark.daemons
MEGABYTE = 1 << 20
ROLES = ["parent", "enclave"]


@pytest.fixture
def running(workshop):
    return workshop.tunnel(lanes=2)


# ---- looking

def test_status_of_the_parent(running):
    answer = status(running, "parent")
    assert answer["program"] == "causeway-parent" and answer["pid"] == running.parent.process.pid
    assert answer["kernel"]["release"] == os.uname().release
    assert answer["kernel"]["firewall"] in ("iptables", "iptables-legacy", "nft")
    assert "8080:80/tcp" in answer["publish"]
    enclave, = answer["enclaves"]
    assert enclave["name"] == "e2" and enclave["device"] == "cwin2"
    assert enclave["address4"] == running.enclave.address(4)
    assert enclave["address6"] == running.enclave.address(6)
    assert [lane["state"] for lane in enclave["lanes"]] == ["running"] * 2


def test_status_of_the_enclave(running):
    answer = status(running, "enclave")
    assert answer["program"] == "causeway-enclave" and answer["configured"] is True
    assert answer["peer"] == running.enclave.link
    assert answer["address4"] == running.enclave.address(4)
    assert answer["kernel"]["release"] == os.uname().release
    assert answer["kernel"]["capture"].startswith("NFQUEUE")
    assert answer["kernel"]["io_uring"] == "deferred task run"
    assert isinstance(answer["kernel"]["faults"], list)
    assert [lane["lane"] for lane in answer["lanes"]] == [0, 1]


def test_counters_follow_traffic(running):
    client, server = Path(running, "out", 4).pair()
    with client, server:
        transfer(client, server, 5 * MEGABYTE)
    for role, counter in (("enclave", "captured_bytes"), ("parent", "injected_bytes")):
        assert sum(lane[counter] for lane in lanes(status(running, role))) > 5 * MEGABYTE
    wait_for(lambda: all(lane["rtt_us"] > 0 for lane in lanes(status(running, "enclave"))),
             "a round trip of each lane")


def test_drops_by_reason(running):
    """A refused destination is counted, named, and the same in every form."""
    inside = running.enclave.namespace
    inside.run(["ping", "-c3", "-W1", "-i0.2", "169.254.169.254"], check=False)
    dropped = sum(lane["drops"]["policy_destination"] for lane in lanes(status(running, "parent")))
    assert dropped == 3
    assert "policy_destination" in ctl(running, "parent", "status").stdout
    assert running.parent.total("drop_policy_destination") == 3


@pytest.mark.parametrize("role", ROLES)
def test_human_status(running, role):
    text = ctl(running, role, "status").stdout
    assert f"causeway-{role} " in text and "lane 0 running" in text and "lane 1 running" in text
    assert running.enclave.address(4) in text
    if role == "parent":
        assert "enclave e2 at unix:" in text and "published 8080:80/tcp" in text


@pytest.mark.parametrize("role", ROLES)
def test_top_in_a_pipe(running, role):
    text = ctl(running, role, "top", "--once", "--interval", "50").stdout
    assert "\033" not in text
    rows = [line.split() for line in text.splitlines()]
    head = next(row for row in rows if "LANE" in row)
    assert head[1:3] == ["LANE", "STATE"] and "B/WRITE" in head
    assert [row[1] for row in rows if "running" in row] == ["0", "1"]


def test_top_ends_with_its_reader(running):
    command = [CTL, "top", "--interval", "10", "--control", socket_of(running, "parent")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert b"causeway-parent" in process.stdout.readline()
        process.stdout.close()
        process.wait(30)


def test_an_enclave_that_never_came(workshop, tmp_path):
    tunnel = workshop.tunnel(start=False, publish=(),
                             parent_arguments=["--enclave", f"unix:{tmp_path}/other,name=late"])
    tunnel.start()
    tunnel.wait_ready()
    late = next(e for e in status(tunnel, "parent")["enclaves"] if e["name"] == "late")
    assert late["lanes"] == [] and late["address4"] == "100.127.0.3"
    assert "enclave late" in ctl(tunnel, "parent", "status").stdout


# ---- metrics

@pytest.mark.parametrize("role", ROLES)
def test_metrics(running, role):
    client, server = Path(running, "out", 4).pair()
    with client, server:
        transfer(client, server, MEGABYTE)
    families = check_names(ctl(running, role, "metrics").stdout)
    counter = "captured" if role == "enclave" else "injected"
    samples = families[f"causeway_{counter}_bytes"].samples
    assert sum(sample.value for sample in samples) > MEGABYTE
    labels = samples[0].labels
    assert labels["daemon"] == role and labels["lane"] == "0"
    assert labels["enclave"] == ("e2" if role == "parent" else "")
    reasons = {sample.labels["reason"] for sample in families["causeway_dropped_packets"].samples}
    assert {"policy_destination", "packet_total_length", "inject_error"} <= reasons
    assert families["causeway_up"].samples[0].value == 1


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def fetch(url, patience=30, **options):
    with urllib.request.urlopen(urllib.request.Request(url, **options), timeout=patience) as page:
        return page.headers["Content-Type"], page.read().decode()


def test_metrics_over_http(running):
    port = free_port()
    exporter = subprocess.Popen([CTL, "metrics", "--listen", f"127.0.0.1:{port}", "--control",
                                 socket_of(running, "parent"), "--control",
                                 socket_of(running, "enclave")], stderr=subprocess.PIPE, text=True)
    try:
        assert f"http://127.0.0.1:{port}/metrics" in exporter.stderr.readline()
        kind, text = fetch(f"http://127.0.0.1:{port}/metrics")
        assert kind.startswith("text/plain; version=0.0.4")
        assert {s.value for s in check_names(text)["causeway_up"].samples} == {1}
        for url, options in (("/", {}), ("/metrics", {"data": b"x" * 100000})):
            with pytest.raises(urllib.error.HTTPError):
                fetch(f"http://127.0.0.1:{port}{url}", **options)
        running.enclave.daemon.kill()
        up = check_names(fetch(f"http://127.0.0.1:{port}/metrics")[1])["causeway_up"].samples
        assert sorted(sample.value for sample in up) == [0, 1]
    finally:
        exporter.terminate()
        assert exporter.wait(30) == 0
        exporter.stderr.close()


# ---- changing

def test_publish_and_unpublish(topology, workshop):
    tunnel = workshop.tunnel(publish=("7123:80/tcp",))
    inside = tunnel.enclave.namespace
    with inside.listen(4, 80), inside.listen(4, 81):
        assert not reach(topology.internet, PARENT_ADDRESS[4], 7124)
        ctl(tunnel, "parent", "publish", "e2=7124:81")
        assert reach(topology.internet, PARENT_ADDRESS[4], 7124)
        assert reach(topology.internet, PARENT_ADDRESS[4], 7123)
        assert status(tunnel, "parent")["publish"] == ["7123:80/tcp", "e2=7124:81/tcp"]
        ctl(tunnel, "parent", "unpublish", "7123:80")
        assert not reach(topology.internet, PARENT_ADDRESS[4], 7123)
        assert reach(topology.internet, PARENT_ADDRESS[4], 7124)


def test_a_port_is_not_taken_from_a_program(topology, workshop):
    """Not while it runs, nor at its start, unless force says so. The start names the program; later
    the sandbox hides which of the programs of other users it is."""
    tunnel = workshop.tunnel(publish=())
    said = f"from python3 (PID {os.getpid()})"
    with topology.parent.listen(4, 7122), topology.parent.datagram(6, port=7123), \
            tunnel.enclave.namespace.listen(4, 80):
        for ports in ("7122:80", "e2=7000-7200:7000-7200", "0.0.0.0:7122:80", "7123:80/udp"):
            done = ctl(tunnel, "parent", "publish", ports, check=False)
            assert done.returncode == 1 and "of this host from " in done.stderr, done.stderr
        ctl(tunnel, "parent", "publish", "7123:80")
        ctl(tunnel, "parent", "unpublish", "7123:80")
        ctl(tunnel, "parent", "publish", "7122:80,force")
        assert status(tunnel, "parent")["publish"] == ["7122:80/tcp,force"]
        assert reach(topology.internet, PARENT_ADDRESS[4], 7122)
        ctl(tunnel, "parent", "unpublish", "7122:80")
        tunnel.parent.stop()
        start = [*tunnel.parent.command, "--publish", "7122:80"]
        done = topology.parent.run(start, check=False, patience=60)
        assert done.returncode == 1 and said in done.stderr, done.stderr
        done = topology.parent.run([*start, "--check"], check=False)
        assert done.returncode == 1 and said in done.stdout, done.stdout


def test_publish_every_address_of_a_family_and_loopback(topology, workshop):
    tunnel = workshop.tunnel(publish=("0.0.0.0:7123:80", "[::]:7124:80", "127.0.0.1:7125:80"))
    for version, port, address in ((4, 7123, PARENT_ADDRESS[4]), (6, 7124, PARENT_ADDRESS[6])):
        with tunnel.enclave.namespace.listen(version, 80):
            topology.internet.connect(version, address, port).close()
    with tunnel.enclave.namespace.listen(4, 80):
        assert reach(topology.parent, "127.0.0.1", 7123)
        assert reach(topology.parent, "127.0.0.1", 7125)
        assert not reach(topology.internet, PARENT_ADDRESS[4], 7125)


@pytest.mark.parametrize("user", [(), ("--user", "nobody")], ids=["root", "nobody"])
def test_allow_and_disallow(topology, workshop, user):
    tunnel = workshop.tunnel(parent_arguments=user)
    inside = tunnel.enclave.namespace
    with topology.internet.listen(4, 6000):
        assert not reach(inside, PRIVATE[4], 6000)
        ctl(tunnel, "parent", "allow", "10.99.0.0/24")
        assert reach(inside, PRIVATE[4], 6000)
        ctl(tunnel, "parent", "disallow", "10.99.0.0/24")
        assert not reach(inside, PRIVATE[4], 6000)


def test_allow_the_metadata_service(topology, workshop):
    """The lanes hold that part of the policy; connections outlive the change."""
    tunnel = workshop.tunnel()
    inside = tunnel.enclave.namespace
    client, server = Path(tunnel, "out", 4).pair()
    with client, server, topology.internet.listen(4, 6001):
        assert not reach(inside, "169.254.169.254", 6001)
        ctl(tunnel, "parent", "allow", "169.254.169.254/32")
        wait_for(lambda: reach(inside, "169.254.169.254", 6001), "the metadata service")
        ctl(tunnel, "parent", "disallow", "169.254.169.254/32")
        tunnel.wait_ready()
        assert not reach(inside, "169.254.169.254", 6001)
        assert reach(inside, INTERNET[4], 6001)
        transfer(client, server, MEGABYTE)


@pytest.mark.parametrize("words,sentence", [
    (("publish", "80"), "publish: '80' is not PORTS:PORTS"),
    (("publish", "other=80:80"), "no --enclave is called 'other'"),
    (("publish", "8080:81"), "port 8080/tcp is published twice"),
    (("unpublish", "1:1"), "unpublish: '1:1' is not there"),
    (("allow", "everything"), "allow: 'everything' is not a network"),
    (("allow", "10.1.2.3/8"), "allow: '10.1.2.3/8' has bits of a host set: the network is 10.0.0.0/8"),
    (("disallow", "10.0.0.0/8"), "disallow: '10.0.0.0/8' is not there"),
])
def test_refused_changes(running, words, sentence):
    before = snapshot(running.topology.parent)
    done = ctl(running, "parent", *words, check=False)
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and sentence in done.stderr
    assert differences(before, snapshot(running.topology.parent)) == []


def test_only_the_parent_takes_changes(running):
    done = ctl(running, "enclave", "publish", "80:80", check=False)
    assert done.returncode == 1 and "unknown command 'publish'" in done.stderr


# ---- the command line

@pytest.mark.parametrize("words,status_,sentence", [
    ((), 2, "no command given"),
    (("dance",), 2, "unknown command 'dance'"),
    (("status", "--colour"), 2, "unknown option '--colour'"),
    (("status", "extra"), 2, "unknown option 'extra'"),
    (("top", "--interval", "0"), 2, "--interval: '0' is not a number"),
    (("status", "--control"), 2, "--control needs a value"),
    (("status", "--control", "/nonexistent"), 1, "/nonexistent: no daemon listens there"),
    (("status", "--control", "/" + "x" * 300), 1, "is not the path of a socket"),
    (("publish",), 2, "publish needs: [NAME=]"),
    (("publish", "80:80 81:81"), 2, "publish: '80:80 81:81' is not"),
    (("--dance",), 2, "unknown option '--dance'"),
    (("check", "--pool"), 2, "check: options are a daemon's: check parent|enclave --pool"),
    (("metrics", "--listen", "nowhere"), 2, "--listen: 'nowhere' is not ADDRESS:PORT"),
    (("metrics", "--listen", "127.0.0.1:0"), 2, "--listen: '127.0.0.1:0' is not ADDRESS:PORT"),
    (("check", "moon"), 2, "check: 'moon' is neither parent nor enclave"),
])
def test_bad_command_lines(tmp_path, words, status_, sentence):
    if words and words[0] in ("publish", "metrics", "top") and "--control" not in words:
        words = (*words, "--control", f"{tmp_path}/nobody")
    done = subprocess.run([CTL, *words], text=True, capture_output=True, check=False, timeout=60)
    assert done.returncode == status_ and done.stdout.strip() == ""
    assert done.stderr.startswith("causewayctl: error: ") and done.stderr.count("\n") == 1
    assert sentence in done.stderr


@pytest.mark.parametrize("words", [("-h",), ("help",), ("status", "-h"), ("publish", "help"),
                                   ("check", "-h")])
def test_other_ways_to_ask_for_help(words):
    done = subprocess.run([CTL, *words], text=True, capture_output=True, check=True)
    assert "Usage: causewayctl" in done.stdout and done.stderr == ""


@pytest.mark.parametrize("program", [CTL, *(BUILD / role / f"causeway-{role}" for role in ROLES),
                                     BUILD / "dns/causeway-dns"], ids=lambda path: path.name)
def test_other_ways_to_ask_for_the_version(program):
    said = {subprocess.run([program, word], text=True, capture_output=True, check=True).stdout
            for word in ("--version", "-V", "version")}
    assert len(said) == 1 and said.pop().startswith(f"{program.name} ")


def test_options_stand_before_and_behind(running):
    path = socket_of(running, "parent")
    for words in (("--control", path, "publish", "6001:6001"),
                  ("unpublish", "--control", path, "6001:6001"),
                  (f"--control={path}", "status")):
        subprocess.run([CTL, *words], check=True, capture_output=True)


def test_health(topology, workshop):
    """Well, the enclave gone, the daemon gone: a line and an exit status for each."""
    tunnel = workshop.tunnel()

    def health(role, *words):
        done = ctl(tunnel, role, "health", *words, check=False)
        assert done.stdout.count("\n") == 1
        return done.returncode, done.stdout.strip()

    assert health("parent") == (0, "causeway-parent: 1 of 1 enclave connected")
    assert health("enclave") == (0, "causeway-enclave: connected")
    tunnel.enclave.daemon.stop()
    wait_for(lambda: health("parent")[0] == 1, "the end of the session")
    assert health("parent") == (1, "causeway-parent: 0 of 1 enclave connected")
    assert health("parent", "--alive") == (0, "causeway-parent: answers")
    status_, said = health("enclave")
    assert status_ == 1 and "no daemon listens there" in said


def test_help():
    done = subprocess.run([CTL, "--help"], text=True, capture_output=True, check=True)
    commands = re.findall(r"^  (\w+) ", done.stdout, re.M)
    assert {"status", "top", "metrics", "publish", "check"} <= set(commands)
    for command in commands:
        done = subprocess.run([CTL, command, "--help"], text=True, capture_output=True, check=False)
        assert done.returncode == 0 and f"causewayctl {command}" in done.stdout


@pytest.mark.parametrize("role", ROLES)
def test_check(topology, role):
    done = topology.parent.run([CTL, "check", role], check=False)
    assert f"causeway-{role}" in done.stdout and "io_uring" in done.stdout
    # Nothing is configured, so vsock is looked for, which this machine may not have.
    missing = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("MISSING")]
    assert set(missing) <= {"vsock:"} and done.returncode == (1 if missing else 0)


# ---- the socket

def test_mode(workshop):
    tunnel = workshop.tunnel()
    path = socket_of(tunnel, "parent")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_strangers_are_kept_out(workshop):
    tunnel = workshop.tunnel()
    done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", CTL,
                           "status", "--control", socket_of(tunnel, "parent")], text=True,
                          capture_output=True, check=False)
    if "setpriv" in done.stderr:
        pytest.skip("the build directory cannot be read by another user")
    assert done.returncode == 1 and "permission denied" in done.stderr


def test_group(workshop):
    tunnel = workshop.tunnel(parent_arguments=["--control-group", "nogroup"])
    path = socket_of(tunnel, "parent")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o660 and os.stat(path).st_gid == 65534


@pytest.mark.parametrize("victim", ROLES)
def test_after_kill_and_restart(workshop, victim):
    """A file that a killed daemon left behind is taken over; after a clean exit none is left."""
    tunnel = workshop.tunnel()
    daemon = tunnel.parent if victim == "parent" else tunnel.enclave.daemon
    daemon.kill()
    assert os.path.exists(socket_of(tunnel, victim))
    done = ctl(tunnel, victim, "status", check=False)
    assert done.returncode == 1 and "no daemon listens there" in done.stderr
    daemon.start()
    tunnel.wait_ready()
    assert status(tunnel, victim)["pid"] == daemon.process.pid
    tunnel.stop()
    assert not os.path.exists(socket_of(tunnel, victim))


def test_abstract_and_none(workshop):
    name = f"@causeway-test-{os.getpid()}"
    tunnel = workshop.tunnel(parent_arguments=["--control", name],
                             enclave_arguments=["--control", "none"])
    with tunnel.topology.parent.entered():  # abstract names belong to a network namespace
        done = subprocess.run([CTL, "status", "--control", name], text=True, capture_output=True,
                              check=False)
    assert "causeway-parent" in done.stdout, done.stderr
    assert not os.path.exists(socket_of(tunnel, "enclave"))


@pytest.mark.parametrize("path,words", [
    ("/nonexistent/directory/sock", "No such file or directory"),
    ("/" + "x" * 200, "File name too long"),
])
def test_unusable_path(topology, tmp_path, path, words):
    before = snapshot(topology.parent)
    done = topology.parent.run([BUILD / "parent" / "causeway-parent", "--enclave",
                                f"unix:{tmp_path}/link", "--control", path], check=False)
    assert done.returncode == 1 and "--control" in done.stderr and words in done.stderr
    assert differences(before, snapshot(topology.parent)) == []


# ---- bad clients

@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("junk", [b"\n", b"\0\0\0\n", b"GET / HTTP/1.1\r\n", b"\xff" * 100 + b"\n",
                                  b"status now\n", b"a b c d e f g h i j\n"])
def test_junk(running, role, junk):
    client = Client(running, role)
    client.say(junk)
    answer = client.answer()
    assert answer["ok"] is False and answer["error"]
    assert client.ask("status")["ok"] is True, "the next request is heard"
    client.close()


@pytest.mark.parametrize("role", ROLES)
def test_endless_line(running, role):
    client = Client(running, role)
    try:
        client.say(b"x" * 200000)
        assert client.answer() is None
    except (BrokenPipeError, ConnectionResetError):
        pass
    client.close()
    assert status(running, role)["control"]["dropped"] == 1


def test_slow_clients_are_dropped(running):
    """Half a line, and an answer that is not taken: both end, counted, with traffic going on."""
    half, deaf = Client(running, "parent", 60), Client(running, "parent", 60)
    deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    half.say(b"sta")
    deaf.socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            deaf.socket.send(b"status\n" * 100)
    for _ in range(2):
        client, server = Path(running, "in", 4).pair()
        with client, server:
            transfer(client, server, MEGABYTE)
        wait_for(lambda: status(running, "parent")["control"]["dropped"] == 2, "both to be dropped",
                 patience=60)
    assert half.answer() is None
    half.close()
    deaf.close()


def test_many_clients(running):
    """More clients than there are places: the quiet ones make room."""
    clients = [Client(running, "parent") for _ in range(40)]
    assert clients[-1].ask("status")["ok"] is True
    counts = status(running, "parent")["control"]
    assert counts["clients"] <= 8 and counts["evicted"] >= 32
    for client in clients:
        client.close()


def test_requests_at_once(running):
    client = Client(running, "parent")
    client.say(b"status\n" * 20)
    for _ in range(20):
        assert client.answer()["ok"] is True
    client.close()


def test_json_is_what_the_protocol_says(running):
    client = Client(running, "enclave")
    client.say(b"status\n")
    line = client.lines.readline()
    assert line.count(b"\n") == 1 and json.loads(line)["ok"] is True
    client.close()
