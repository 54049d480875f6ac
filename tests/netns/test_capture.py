# SPDX-License-Identifier: Apache-2.0
"""causewayctl capture: what it shows, who can read it, and that it disturbs nothing."""
import os
import re
import shutil
import signal
import socket
import subprocess

import pytest
from control import CTL, Client, ctl, socket_of, status
from netns import wait_for
from topology import INTERNET
from traffic import Path, transfer

pytestmark = pytest.mark.daemons
MEGABYTE = 1 << 20
ROLES = ["enclave", "parent"]


@pytest.fixture(params=["nfqueue", "packet"])
def running(workshop, request):
    return workshop.tunnel(lanes=2, capture=request.param)


class Capture:
    """A running `causewayctl capture`, which has begun when this is made."""

    def __init__(self, tunnel, role, path, *arguments, stdout=None):
        self.path = path
        self.process = subprocess.Popen(
            [CTL, "capture", "--write", path, *arguments, "--control", socket_of(tunnel, role)],
            stdout=stdout, stderr=subprocess.PIPE, text=True)
        wait_for(lambda: self.process.poll() is not None or stdout or
                 (os.path.exists(path) and os.path.getsize(path) > 0), "the capture to begin")

    def finish(self):
        self.process.send_signal(signal.SIGINT)
        return self.wait()

    def wait(self):
        """Packets and losses that it reports at its end."""
        said = self.process.communicate(timeout=60)[1]
        assert self.process.returncode == 0, said
        return [int(number) for number in re.search(r"(\d+) packets, (\d+) lost", said).groups()]


def read(path, *fields, display=None):
    """Rows of tshark's fields."""
    if shutil.which("tshark") is None:
        pytest.skip("tshark is not installed")
    words = ["tshark", "-n", "-r", str(path), "-T", "fields"]
    for field in fields:
        words += ["-e", field]
    if display:
        words += ["-Y", display]
    done = subprocess.run(words, text=True, capture_output=True, check=True)
    return [line.split("\t") for line in done.stdout.splitlines()]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("version", [4, 6])
def test_both_directions(running, tmp_path, role, version):
    """A TCP connection, whole, with the lane it went through and its direction."""
    capture = Capture(running, role, tmp_path / "all", "-f", "tcp")
    client, server = Path(running, "out", version).pair()
    with client, server:
        port = client.getsockname()[1]
        transfer(client, server, MEGABYTE)
    packets, lost = wait_and_finish(capture)
    address = "ip.addr" if version == 4 else "ipv6.addr"
    rows = read(capture.path, "frame.interface_name", "frame.packet_flags_direction", "tcp.len",
                "tcp.flags.syn", "tcp.seq",
                display=f"tcp.port == {port} && {address} == {INTERNET[version]}")
    assert len(rows) > 3 and len(rows) <= packets and lost == 0
    name = r"e2 lane [01]" if role == "parent" else r"lane [01]"
    assert all(re.fullmatch(name, row[0]) for row in rows)
    assert {int(row[1], 0) for row in rows} == {1, 2}
    assert distinct_bytes(rows) == MEGABYTE
    assert max(int(row[2]) for row in rows) > 1500, "super-packets are shown as they are"
    assert {int(row[1], 0) for row in rows if row[3] in ("1", "True")} == {1, 2}


def distinct_bytes(rows):
    """Bytes of the TCP stream that the rows show; what a busy machine sends again counts once."""
    total = 0
    for direction in (1, 2):
        upto = 0
        for first, length in sorted((int(row[4]), int(row[2])) for row in rows
                                    if int(row[1], 0) == direction):
            total += max(0, first + length - max(upto, first))
            upto = max(upto, first + length)
    return total


def wait_and_finish(capture):
    """Ends a capture once its file has stopped to grow."""
    sizes = [-1]

    def still():
        sizes.append(os.path.getsize(capture.path))
        return sizes[-1] == sizes[-2] and sizes[-1] > 300
    wait_for(still, "the packets in the file")
    return capture.finish()


def test_tcpdump_reads_it(running, tmp_path):
    capture = Capture(running, "enclave", tmp_path / "file", "-f", "icmp", "-c", "4")
    running.enclave.namespace.run(["ping", "-c2", "-i0.2", INTERNET[4]])
    assert capture.wait() == [4, 0]
    done = subprocess.run(["tcpdump", "-n", "-e", "-r", str(capture.path)], text=True, check=True,
                          capture_output=True)
    assert len(re.findall(r" Out .* ICMP echo request", done.stdout)) == 2
    assert len(re.findall(r"  In .* ICMP echo reply", done.stdout)) == 2


def test_live_through_a_pipe(running):
    """tshark reads while packets come, and its end ends the capture."""
    if shutil.which("tshark") is None:
        pytest.skip("tshark is not installed")
    with subprocess.Popen([CTL, "capture", "-f", "icmp", "--control",
                           socket_of(running, "parent")], stdout=subprocess.PIPE) as capture:
        with subprocess.Popen(["tshark", "-n", "-l", "-i", "-", "-c", "2", "-T", "fields", "-e",
                               "icmp.type"], stdin=capture.stdout, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True) as reader:
            capture.stdout.close()
            wait_for(lambda: captures(running) == 1, "the capture to begin")
            running.enclave.namespace.run(["ping", "-c3", "-i0.2", INTERNET[4]])
            assert reader.communicate(timeout=60)[0].split() == ["8", "0"]
        assert capture.wait(60) == 0
    wait_for(lambda: captures(running) == 0, "the daemon to let go")


def captures(tunnel, role="parent"):
    """Shared memories that the daemon has mapped for captures."""
    daemon = tunnel.parent if role == "parent" else tunnel.enclave.daemon
    with open(f"/proc/{daemon.process.pid}/maps") as maps:
        return sum("memfd:causeway-tap" in line for line in maps)


def test_dropped_packets_with_their_reason(running, tmp_path):
    """What the parent refuses never reaches a device: here alone it can be seen."""
    # The filter keeps out router solicitations, which an enclave's kernel sends when it likes.
    capture = Capture(running, "parent", tmp_path / "file", "--which", "dropped", "-c", "2", "-f",
                      "icmp")
    running.enclave.namespace.run(["ping", "-c2", "-i0.2", "-W1", "169.254.169.254"], check=False)
    running.enclave.namespace.run(["ping", "-c1", "-W1", INTERNET[4]])
    assert capture.wait() == [2, 0]
    rows = read(capture.path, "ip.dst", "frame.comment")
    assert rows == [["169.254.169.254", "dropped: policy_destination"]] * 2


@pytest.mark.parametrize("which,types", [("out", {"8"}), ("in", {"0"}), ("all", {"0", "8"})])
def test_one_direction(running, tmp_path, which, types):
    capture = Capture(running, "enclave", tmp_path / "file", "-f", "icmp", "--which", which)
    running.enclave.namespace.run(["ping", "-c2", "-i0.2", INTERNET[4]])
    wait_and_finish(capture)
    assert {row[0] for row in read(capture.path, "icmp.type")} == types


def test_snap_length(running, tmp_path):
    capture = Capture(running, "enclave", tmp_path / "file", "-f", "icmp", "-s", "40", "-c", "2")
    running.enclave.namespace.run(["ping", "-c1", "-s1000", INTERNET[4]])
    capture.wait()
    assert read(capture.path, "frame.cap_len", "frame.len") == [["56", "1044"]] * 2


def test_one_enclave_of_two(workshop, tmp_path):
    tunnel = workshop.tunnel(enclaves=2, publish=())
    capture = Capture(tunnel, "parent", tmp_path / "file", "-f", "icmp", "--enclave", "e3")
    for enclave in tunnel.enclaves:
        enclave.namespace.run(["ping", "-c1", INTERNET[4]])
    wait_and_finish(capture)
    assert {row[0] for row in read(capture.path, "frame.interface_name")} == {"e3 lane 0"}
    assert {address for row in read(capture.path, "ip.src", "ip.dst") for address in row} == {
        INTERNET[4], tunnel.enclaves[1].address(4)}


def test_an_enclave_that_comes_later(workshop, tmp_path):
    """Its lanes join a capture that runs, and so do those of an enclave that was killed."""
    tunnel = workshop.tunnel()
    capture = Capture(tunnel, "parent", tmp_path / "file", "-f", "icmp")
    for daemon in (tunnel.enclave.daemon,):
        daemon.kill()
        daemon.start()
    tunnel.wait_ready()
    tunnel.enclave.namespace.run(["ping", "-c1", INTERNET[4]])
    wait_and_finish(capture)
    assert read(capture.path, "ip.dst", display=f"ip.dst == {INTERNET[4]}") == [[INTERNET[4]]]


def pump(tunnel, direction="out", count=20 * MEGABYTE):
    client, server = Path(tunnel, direction, 4).pair()
    with client, server:
        transfer(client, server, count)


def test_two_at_once(running, tmp_path):
    one = Capture(running, "enclave", tmp_path / "one", "-f", "icmp", "-c", "2")
    two = Capture(running, "enclave", tmp_path / "two", "-f", "tcp", "-s", "60")
    pump(running)
    running.enclave.namespace.run(["ping", "-c1", INTERNET[4]])
    assert one.wait()[0] == 2
    packets, _ = wait_and_finish(two)
    assert packets > 10 and {row[0] for row in read(two.path, "ip.proto", display="ip")} == {"6"}
    wait_for(lambda: captures(running, "enclave") == 0, "the daemon to let go")


def test_fifth_is_refused(running, tmp_path):
    held = [Capture(running, "parent", tmp_path / str(i)) for i in range(4)]
    done = ctl(running, "parent", "capture", "-w", str(tmp_path / "five"), check=False)
    assert done.returncode == 1 and "4 captures run already" in done.stderr
    for capture in held:
        capture.finish()
    wait_for(lambda: captures(running) == 0, "the daemon to let go")
    Capture(running, "parent", tmp_path / "again").finish()


def test_slow_reader(running, tmp_path):
    """A reader that stands still: its losses are counted, traffic does not notice."""
    capture = Capture(running, "enclave", tmp_path / "file")
    capture.process.send_signal(signal.SIGSTOP)
    try:
        pump(running)
        pump(running, "in")
        before = status(running, "enclave")
        assert all(lane["state"] == "running" and lane["streams"] == 1 for lane in before["lanes"])
    finally:
        capture.process.send_signal(signal.SIGCONT)
    packets, lost = wait_and_finish(capture)
    assert packets > 0 and lost > 0
    drops = read(capture.path, "frame.number")
    assert len(drops) == packets


def test_killed_reader(running, tmp_path):
    capture = Capture(running, "enclave", tmp_path / "file")
    capture.process.kill()
    capture.process.communicate()
    pump(running)
    wait_for(lambda: captures(running, "enclave") == 0, "the daemon to let go")


def test_full_disk(running):
    capture = subprocess.Popen([CTL, "capture", "-w", "/dev/full", "--control",
                                socket_of(running, "enclave")], stderr=subprocess.PIPE, text=True)
    said = capture.communicate(timeout=60)[1]
    assert capture.returncode == 1 and "cannot write to /dev/full: No space left" in said
    pump(running)
    wait_for(lambda: captures(running, "enclave") == 0, "the daemon to let go")


@pytest.mark.parametrize("role", ROLES)
def test_daemon_that_ends(running, tmp_path, role):
    """The capture ends in order, with all that was seen."""
    capture = Capture(running, role, tmp_path / "file", "-f", "icmp")
    running.enclave.namespace.run(["ping", "-c1", INTERNET[4]])
    daemon = running.parent if role == "parent" else running.enclave.daemon
    daemon.kill()
    assert capture.wait()[0] >= 2
    assert len(read(capture.path, "icmp.type", display=f"ip.addr == {INTERNET[4]}")) == 2
    daemon.start()
    running.wait_ready()


def test_restart_of_the_other_side(running, tmp_path):
    """Lanes come and go under a capture."""
    capture = Capture(running, "enclave", tmp_path / "file", "-f", "icmp")
    for _ in range(2):
        running.parent.kill()
        running.parent.start()
        running.wait_ready()
    running.enclave.namespace.run(["ping", "-c1", INTERNET[4]])
    wait_and_finish(capture)
    assert len(read(capture.path, "icmp.type", display=f"ip.addr == {INTERNET[4]}")) == 2


# ---- mistakes

@pytest.mark.parametrize("words,status_,sentence", [
    (("-f", "tcp prot 443"), 2, "--filter: 'tcp prot 443'"),
    (("-f", "ether host 1:2:3:4:5:6"), 2, "--filter: 'ether host"),
    (("-s", "0"), 2, "--snap: '0' is not a number"),
    (("--which", "some"), 2, "--which: 'some' is not all, out, in or dropped"),
    (("-w", "/nonexistent/file"), 1, "cannot write to /nonexistent/file: No such file"),
    (("-w",), 2, "--write needs a value"),
    (("--enclave", "a b"), 2, "--enclave: 'a b' is no name"),
    (("-f", " or ".join(f"host 10.0.{i}.{j}" for i in range(9) for j in range(99))), 2,
     "is too long a filter"),
])
def test_mistakes(workshop, words, status_, sentence):
    tunnel = workshop.tunnel()
    done = subprocess.run([CTL, "capture", "--control", socket_of(tunnel, "parent"), *words],
                          text=True, capture_output=True, check=False, timeout=60)
    assert done.returncode == status_ and sentence in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr


@pytest.mark.parametrize("request_", [
    "capture snap=0", "capture snap=65536", "capture which=", "capture filter=", "capture filter=00",
    "capture filter=" + "0006000000000000" * 513, "capture filter=000500000000ffff0006000000000000",
    "capture filter=zzzz000000000000", "capture colour=red", "capture enclave=" + "x" * 64,
    "capture filter=0099000000000000" + "0006000000000000", "capture a b c d e",
])
def test_bad_requests(workshop, request_):
    tunnel = workshop.tunnel()
    client = Client(tunnel, "parent")
    answer = client.ask(request_)
    assert answer["ok"] is False and answer["error"].startswith("capture")
    client.close()
    assert captures(tunnel) == 0


def test_descriptors_do_not_leak(workshop):
    """Also when the client takes neither the memory nor the answer."""
    tunnel = workshop.tunnel()
    before = len(tunnel.parent.descriptors())
    for _ in range(20):
        client = Client(tunnel, "parent")
        client.say(b"capture\ncapture\n")
        client.socket.shutdown(socket.SHUT_RDWR)
        client.close()
    wait_for(lambda: captures(tunnel) == 0 and len(tunnel.parent.descriptors()) == before,
             "everything to be given back")
