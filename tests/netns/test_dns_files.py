# SPDX-License-Identifier: Apache-2.0
"""resolv.conf and Docker's daemon.json while causeway-dns runs, and what they are afterwards."""
import json
import os
import subprocess

import pytest
from dns_servers import zone

pytestmark = pytest.mark.daemons

ORIGINAL = "# by hand\nnameserver 9.9.9.9\nnameserver 1.1.1.1\nsearch lan example\noptions ndots:2\n"


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def listing(folder):
    return sorted(os.listdir(folder))


@pytest.fixture
def folder(dns):
    path = dns.path("etc")
    os.mkdir(path)
    return path


@pytest.fixture
def upstream(dns):
    return dns.upstream(zone({"www.example": ["192.0.2.1"]}))


@pytest.mark.parametrize("user", [(), ("--user", "nobody")], ids=["root", "user"])
def test_resolv_conf_and_back(dns, folder, upstream, user):
    """Under the sandbox: it is the helper that puts it back."""
    path = write(f"{folder}/resolv.conf", ORIGINAL)
    os.chmod(path, 0o640)
    before = os.stat(path)
    daemon = dns.daemon("--resolv-conf", path, *user, upstream=upstream)
    lines = read(path).splitlines()
    assert lines[0].startswith("# Written by causeway-dns")
    assert lines[1:] == ["nameserver 127.0.0.1", "search lan example", "options ndots:2"]
    assert daemon.stop() == 0
    after = os.stat(path)
    assert read(path) == ORIGINAL and listing(folder) == ["resolv.conf"]
    assert (after.st_ino, after.st_mode, after.st_mtime) == (
        before.st_ino, before.st_mode, before.st_mtime)


@pytest.mark.parametrize("listen,expected", [
    (("0.0.0.0",), "127.0.0.1"), (("[::]",), "::1"), (("192.0.2.53",), "192.0.2.53"),
    (("192.0.2.53", "[::1]"), "::1"), (("127.0.0.7:5353", "192.0.2.53"), "192.0.2.53")])
def test_the_address_in_it(dns, folder, upstream, listen, expected):
    path = f"{folder}/resolv.conf"
    words = [word for address in listen for word in ("--listen", address)]
    dns.daemon("--resolv-conf", path, *words, upstream=upstream)
    assert f"nameserver {expected}\n" in read(path)


def test_no_file_before_none_after(dns, folder, upstream):
    for kill in (False, True):
        daemon = dns.daemon("--resolv-conf", f"{folder}/resolv.conf", upstream=upstream)
        assert "nameserver 127.0.0.1" in read(f"{folder}/resolv.conf")
        daemon.kill() if kill else daemon.stop()
        assert bool(listing(folder)) == kill
    dns.daemons.pop()
    dns.daemon("--resolv-conf", f"{folder}/resolv.conf", upstream=upstream).stop()
    assert listing(folder) == []


def test_symbolic_link(dns, folder, upstream):
    """systemd-resolved's way: the link comes back, its target is never written."""
    target = write(f"{folder}/stub", ORIGINAL)
    os.symlink("stub", f"{folder}/resolv.conf")
    daemon = dns.daemon("--resolv-conf", f"{folder}/resolv.conf", upstream=upstream)
    assert not os.path.islink(f"{folder}/resolv.conf") and read(target) == ORIGINAL
    assert "search lan" in read(f"{folder}/resolv.conf")
    daemon.stop()
    assert os.readlink(f"{folder}/resolv.conf") == "stub"
    assert listing(folder) == ["resolv.conf", "stub"]


@pytest.fixture
def mounted(dns, folder):
    """resolv.conf as containers have it: a mount point of its own."""
    path = write(f"{folder}/resolv.conf", ORIGINAL)
    behind = write(dns.path("behind"), ORIGINAL)
    subprocess.run(["mount", "--bind", behind, path], check=True)
    yield path
    subprocess.run(["umount", path], check=True)


def test_bind_mount(dns, folder, upstream, mounted):
    """It cannot be renamed; it is written in place."""
    inode = os.stat(mounted).st_ino
    daemon = dns.daemon("--resolv-conf", mounted, upstream=upstream)
    assert "nameserver 127.0.0.1" in read(mounted) and os.stat(mounted).st_ino == inode
    daemon.stop()
    assert read(mounted) == ORIGINAL and listing(folder) == ["resolv.conf"]


@pytest.mark.parametrize("left", [0, 20, None], ids=["empty", "cut", "whole"])
def test_bind_mount_and_a_crash(dns, folder, upstream, mounted, left):
    """Killed, perhaps in the middle of writing: the original is still known."""
    daemon = dns.daemon("--resolv-conf", mounted, upstream=upstream)
    daemon.kill()
    dns.daemons.remove(daemon)
    with open(mounted, "r+b") as file:
        if left is not None:
            file.truncate(left)
    again = dns.daemon("--resolv-conf", mounted, upstream=upstream)
    assert "nameserver 127.0.0.1" in read(mounted)
    again.stop()
    assert read(mounted) == ORIGINAL and listing(folder) == ["resolv.conf"]


def test_kill_and_start_again(dns, folder, upstream):
    """The original that was kept is not replaced by ours, also when ours becomes another one."""
    path = write(f"{folder}/resolv.conf", ORIGINAL)
    for listen in ("127.0.0.1", "127.0.0.1", "127.0.0.8"):
        daemon = dns.daemon("--resolv-conf", path, "--listen", listen, upstream=upstream)
        assert f"nameserver {listen}\nsearch lan example" in read(path)
        daemon.kill()
        dns.daemons.remove(daemon)
    dns.daemon("--resolv-conf", path, upstream=upstream).stop()
    assert read(path) == ORIGINAL and listing(folder) == ["resolv.conf"]


def test_changed_by_another_program(dns, folder, upstream):
    """Left as it is, and said so; the next run takes it for the original."""
    path = write(f"{folder}/resolv.conf", ORIGINAL)
    daemon = dns.daemon("--resolv-conf", path, upstream=upstream)
    write(path, "nameserver 10.0.0.1\n")
    daemon.stop()
    assert "changed by another program" in daemon.log()
    assert read(path) == "nameserver 10.0.0.1\n"
    assert read(f"{path}.causeway-dns-original") == ORIGINAL
    daemon = dns.daemon("--resolv-conf", path, upstream=upstream)
    assert "nameserver 127.0.0.1" in read(path)
    daemon.stop()
    assert read(path) == "nameserver 10.0.0.1\n" and listing(folder) == ["resolv.conf"]


def test_changed_while_it_was_dead(dns, folder, upstream):
    path = write(f"{folder}/resolv.conf", ORIGINAL)
    daemon = dns.daemon("--resolv-conf", path, upstream=upstream)
    daemon.kill()
    dns.daemons.remove(daemon)
    write(path, "nameserver 10.0.0.1\n")
    dns.daemon("--resolv-conf", path, upstream=upstream).stop()
    assert read(path) == "nameserver 10.0.0.1\n" and listing(folder) == ["resolv.conf"]


def test_a_start_that_fails_leaves_it(dns, folder, upstream):
    path = write(f"{folder}/resolv.conf", ORIGINAL)
    broken = write(f"{folder}/daemon.json", "{not json")
    daemon = dns.daemon("--resolv-conf", path, "--docker-daemon-json", broken, "--listen",
                        "192.0.2.53", upstream=upstream, ready=False)
    assert daemon.process.wait(30) == 1 and "is not a JSON object" in daemon.log()
    dns.daemons.remove(daemon)
    assert read(path) == ORIGINAL and read(broken) == "{not json"
    assert listing(folder) == ["daemon.json", "resolv.conf"]


JSON = {
    "absent": None,
    "empty": "",
    "object": "{}",
    "other keys": '{\n    "bip": "172.30.0.1/24",\n    "mtu": 1400\n}\n',
    "dns first": '{"dns": ["8.8.8.8", "8.8.4.4"], "debug": true}',
    "dns last": '{"log-opts": {"dns": "not this one"}, "labels": ["a\\"dns\\""],\t"dns":[]}\n',
    "numbers as they were": '{"x": 1.50e+3, "y": -0.0}',
}


@pytest.mark.parametrize("case", JSON)
def test_daemon_json_and_back(dns, folder, upstream, case):
    path, text = f"{folder}/daemon.json", JSON[case]
    if text is not None:
        write(path, text)
    daemon = dns.daemon("--docker-daemon-json", path, "--listen", "127.0.0.1", "--listen",
                        "192.0.2.53", upstream=upstream)
    expected = json.loads(text or "{}")
    expected["dns"] = ["192.0.2.53"]
    assert json.loads(read(path)) == expected
    if case == "numbers as they were":
        assert '"x": 1.50e+3, "y": -0.0' in read(path)
    daemon.stop()
    assert listing(folder) == ([] if text is None else ["daemon.json"])
    assert text is None or read(path) == text


@pytest.mark.parametrize("text", ["[]", '"x"', "{", '{"a" 1}', '{"a": 1,}', '{"a": 1} x', "{'a': 1}",
                                  '{"a": ' + "[" * 100 + "]" * 100 + "}"])
def test_daemon_json_that_is_none(dns, folder, upstream, text):
    path = write(f"{folder}/daemon.json", text)
    daemon = dns.daemon("--docker-daemon-json", path, "--listen", "192.0.2.53", upstream=upstream,
                        ready=False)
    assert daemon.process.wait(30) == 1
    dns.daemons.remove(daemon)
    assert f"{path} is not a JSON object" in daemon.log() and read(path) == text
