# SPDX-License-Identifier: Apache-2.0
"""kernel-config/check: what it finds, what it says, and that its words are the daemons' own."""
import gzip
import re
import shutil

import pytest
from conftest import ROOT, TOOLS, settings

TITLE = "# Linux/x86 6.6.79 Kernel Configuration"
# Nothing follows from these but that others can be chosen.
GATES = {"NETFILTER_ADVANCED", "VIRTIO_MENU", "NET_CORE", "NETFILTER_XTABLES_LEGACY"}
NEEDED = ("daemons", "vsock", "io_uring")
OPTIONAL = ("nftables", "rules", "quota")


def options(*names):
    """The options of these fragments; of all that merge applies by default if none is named."""
    paths = [path for path in TOOLS.glob("fragments/*.config")
             if path.stem in names or (not names and path.stem not in OPTIONAL)]
    found = set()
    for path in paths:
        found |= set(settings(path.read_text()))
    return found - GATES


ALL = options(*(path.stem for path in TOOLS.glob("fragments/*.config")))


def lines(names, *more):
    return [TITLE, *(f"CONFIG_{name}=y" for name in sorted(names)), *more]


def findings(result):
    """{name: (verdict, the rest)}"""
    found = {}
    for line in result.out.splitlines()[1:-1]:
        verdict, name, rest = re.match(r"(\w+) +([^:]+)(?:: (.*))?$", line).groups()
        found[name] = (verdict, rest)
    return found


def test_complete(tool, write):
    result = tool("check", "--need", "all", write(lines(ALL)))
    assert result.status == 0 and result.out.endswith("\nready\n")
    assert {verdict for verdict, _ in findings(result).values()} == {"ok"}
    assert result.err == ""


def test_it_knows_the_options_of_the_fragments(tool):
    """No more, no less: neither can be changed without the other."""
    table = re.search(r"<<'END'\n(.*?)\nEND\n", (TOOLS / "check").read_text(), re.S).group(1)
    named = {option for line in table.splitlines() for option in re.split(r"[+/]", line.split("|")[2])}
    assert named == ALL
    assert {line.split("|")[0] for line in table.splitlines()} == \
        {path.stem for path in TOOLS.glob("fragments/*.config")}


@pytest.mark.parametrize("option", sorted(options()))
def test_each_option_is_missed(tool, write, option):
    """Without nftables, which can do some of it in other ways, every option counts."""
    result = tool("check", write(lines(options() - {option}, f"# CONFIG_{option} is not set")))
    told = [line for line in result.out.splitlines() if f"CONFIG_{option} is off; " in line]
    assert told, result.out
    needed = option in options(*NEEDED)
    assert result.status == (1 if needed else 0), result.out
    assert any(line.startswith("MISSING  ") for line in told) == needed
    docker = tool("check", "--need=docker", write(lines(options() - {option})))
    assert docker.status == (1 if option in options("docker", *NEEDED) else 0), docker.out


def test_a_bare_kernel(tool, write):
    result = tool("check", write([TITLE, "CONFIG_64BIT=y"]))
    assert result.status == 1
    found = findings(result)
    assert found["NFQUEUE"] == ("absent", "CONFIG_NETFILTER, CONFIG_NETFILTER_NETLINK_QUEUE are off; "
                                "AF_PACKET captures instead")
    assert found["io_uring"][0] == "MISSING"
    missing = sum(verdict == "MISSING" for verdict, _ in found.values())
    assert result.out.endswith(f"\nnot ready: {missing} missing\n")


def test_nftables_does_what_iptables_does(tool, write):
    """nft's own queue statement, and iptables-nft, are tools as good as iptables-legacy."""
    legacy = {"IP_NF_RAW", "IP_NF_IPTABLES"}
    for without in (legacy, legacy | {"NFT_COMPAT"}, legacy | {"NFT_QUEUE"}):
        result = tool("check", write(lines(ALL - without)))
        assert findings(result)["a firewall tool's rules"] == ("ok", None), without
    result = tool("check", write(lines(ALL - legacy - {"NFT_QUEUE", "NFT_COMPAT"})))
    assert findings(result)["a firewall tool's rules"][0] == "absent"


def test_modules_are_named_as_such(tool, write):
    result = tool("check", write(lines(ALL - {"VETH"}, "CONFIG_VETH=m")))
    assert findings(result)["veth pair"] == ("module", "the image has to bring the module and load it")
    assert result.status == 0


@pytest.mark.parametrize("version, status", [("4.14.256", 1), ("5.19.0", 1), ("6.0.1", 0), ("6.1.192", 0),
                                             ("6.18.44-fc", 0), ("10.2.0", 0)])
def test_version(tool, write, version, status):
    title = f"# Linux/x86 {version} Kernel Configuration"
    result = tool("check", write([title, *lines(ALL)[1:]]))
    assert result.status == status, result.out
    if status:
        assert f"MISSING  Linux 6.0 or newer: this is {'.'.join(version.split('.')[:2])}; " in result.out


def test_unknown_version(tool, write):
    result = tool("check", write(lines(ALL)[1:]))
    assert result.status == 3 and result.out.endswith("\ncannot tell: 1 unknown\n")
    assert findings(result)["Linux 6.0 or newer"][0] == "unknown"


def test_arm_needs_no_command_line_devices(tool, write):
    """There a device tree announces the devices."""
    names = ALL - {"VIRTIO_MMIO_CMDLINE_DEVICES"}
    arm = write(["# Linux/arm64 6.6.79 Kernel Configuration", *lines(names)[1:]])
    assert tool("check", "--need", "nitro", arm).status == 0
    assert tool("check", "--need", "nitro", write(lines(names))).status == 1


def test_gzip_by_content(tool, write, tmp_path):
    plain = write(lines(options()))
    packed = tmp_path / "any-name"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    result = tool("check", packed)
    assert result.out == tool("check", plain).out and result.status == 0


@pytest.mark.parametrize("content, words", [
    (b"", "no kernel configuration"),
    (b"#!/bin/sh\necho CONFIG_NET=y\n", "no kernel configuration"),
    (bytes(range(256)) * 40, "no kernel configuration"),
    (gzip.compress(b"CONFIG_NET=y\n" * 999)[:-20], "damaged gzip"),
    (gzip.compress(b"hello\n"), "no kernel configuration"),
])
def test_bad_content(tool, tmp_path, content, words):
    path = tmp_path / "bad"
    path.write_bytes(content)
    assert words in tool("check", path).complaint()


@pytest.mark.parametrize("arguments, words", [
    (["/nowhere/.config"], "no such file"),
    (["/"], "not a file"),
    (["--frobnicate"], "unknown option"),
    (["--need"], "--need wants names"),
    (["--need", "docker,nfqeue", "FILE"], "--need knows no 'nfqeue'"),
    (["FILE", "FILE"], "one file"),
    (["--probe", "FILE"], "no file with it"),
])
def test_bad_usage(tool, write, arguments, words):
    path = write(lines(ALL))
    assert words in tool("check", *(path if word == "FILE" else word for word in arguments)).complaint()


def test_text_of_a_file_is_not_printed(tool, write):
    """A hostile file does not reach the terminal."""
    nasty = write(["# Linux/\033[2Jx86 6.6.1 Kernel Configuration", "CONFIG_NET=\033[31m",
                   "# Linux/x86 9999999.\033[0m1 Kernel Configuration", *lines(ALL)[1:]])
    result = tool("check", nasty)
    assert "\033" not in result.out + result.err


@pytest.mark.parametrize("shell", [("dash",), ("bash", "--posix"), ("busybox", "sh")])
def test_every_shell(tool, write, shell):
    if shutil.which(shell[0]) is None:
        pytest.skip(f"{shell[0]} is not installed")
    path = write(lines(options() - {"NET_CLS_BPF", "VETH"}))
    assert tool("check", path, shell=shell).out == tool("check", path).out
    assert tool("check", "--probe", shell=shell).out == tool("check", "--probe").out


@pytest.mark.parametrize("arguments", [(), ("--probe",)])
def test_nothing_but_the_smallest_tools(tool, tmp_path, arguments):
    """An enclave's image has busybox at best: these of it are enough, and the findings the same."""
    if shutil.which("busybox") is None:
        pytest.skip("busybox is not installed")
    for name in ("sed", "grep", "tr", "cut", "od", "head", "cat", "zcat", "uname"):
        (tmp_path / name).symlink_to(shutil.which("busybox"))
    bare = tool("check", *arguments, shell=("/usr/bin/env", f"PATH={tmp_path}", "/bin/sh"))
    full = tool("check", *arguments)
    assert (bare.out, bare.err, bare.status) == (full.out, "", full.status)


def test_help(tool):
    shown = tool("check", "--help")
    assert shown.status == 0 and "Exit status: 0 ready" in shown.out and "findings()" not in shown.out


def test_words_are_those_of_the_daemons():
    """--check of a daemon and this tool name the same thing by the same name, with the same end."""
    daemons = "".join((ROOT / path).read_text() for path in ("enclave/check.c",
                                                             "runtime/lane/check_path.c"))
    table = (TOOLS / "check").read_text()
    for name in ("io_uring", "AF_PACKET with PACKET_VNET_HDR", "vsock", "NFQUEUE", "tc program"):
        assert f'"{name}"' in daemons and f"|{name}|" in table
    for words in ("AF_PACKET captures instead", "NFQUEUE works without GSO",
                  "neither iptables nor nft works here",
                  "the kernel needs CONFIG_VSOCKETS and the transport of this hypervisor"):
        assert words in daemons and words in table


def test_probe_sees_what_the_configuration_says(tool):
    """On the kernel that runs here: what is configured is never called missing by --probe."""
    by_configuration, by_probe = tool("check"), tool("check", "--probe")
    if not by_configuration.out.startswith("by the configuration"):
        pytest.skip("the running kernel does not show its configuration")
    assert by_probe.out.startswith("by what the running kernel ")
    shown = findings(by_probe)
    for name, (verdict, rest) in findings(by_configuration).items():
        if verdict == "ok":
            assert shown[name][0] in ("ok", "unknown"), (name, rest, shown[name])
    assert by_probe.status in (0, 3)
