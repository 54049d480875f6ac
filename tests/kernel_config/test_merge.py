# SPDX-License-Identifier: Apache-2.0
"""kernel-config/merge on small configurations, and the fragments themselves."""
import gzip
import re
import shutil
import subprocess

import pytest
from conftest import TOOLS, settings

TITLE = "# Linux/x86 6.6.38 Kernel Configuration"
BASE = ["#", "# Automatically generated file; DO NOT EDIT.", TITLE, "#", "CONFIG_CC=\"gcc = (1)\"",
        "CONFIG_NET=y", "# CONFIG_PACKET is not set", "CONFIG_VETH=m", "", "# menu", "CONFIG_HZ=250"]
FRAGMENTS = sorted(TOOLS.glob("fragments/*.config")) + sorted(TOOLS.glob("base/*.config"))


@pytest.fixture
def fragment(write):
    """A fragment of one's own, as merge wants it named: with a slash."""
    return lambda lines, name="own.config": str(write(lines, name))


@pytest.mark.parametrize("path", FRAGMENTS, ids=lambda path: path.stem)
def test_every_line_has_its_reason(path):
    lines = path.read_text().splitlines()
    assert lines[0] == "# SPDX-License-Identifier: Apache-2.0"
    assert re.match(rf"# {path.stem}: \S.* \S", lines[1]), "the fragment does not say what it is for"
    reason = False
    for line in lines[2:]:
        if re.match(r"CONFIG_\w+=|# CONFIG_\w+ is not set$", line):
            assert reason, f"{line} has no reason"
        elif not line.startswith("#:"):
            reason = line.startswith("# ") and not line.startswith("# --")


def test_fragments_agree(tool, write, tmp_path):
    """All of them go together, the base for guests too."""
    guest = TOOLS / "base/guest-x86_64.config"
    merged = tool("merge", write(BASE), "all", guest, "-o", tmp_path / "out")
    assert (merged.status, merged.out, merged.err) == (0, "", "")
    result = settings((tmp_path / "out").read_text())
    for path in FRAGMENTS:
        assert settings(path.read_text()).items() <= result.items()


def test_replaced_in_place_added_at_the_end(tool, write, fragment):
    merged = tool("merge", write(BASE), fragment(
        ["# own: for a test", "CONFIG_PACKET=y", "# CONFIG_VETH is not set", "CONFIG_HZ=1000",
         "CONFIG_NEW=y", "CONFIG_NET=y"]), "-o", "-")
    expected = [*BASE[:6], "CONFIG_PACKET=y", "# CONFIG_VETH is not set", "", "# menu", "CONFIG_HZ=1000",
                "", "# Added by causeway's kernel-config/merge: own", "CONFIG_NEW=y"]
    assert merged.out.splitlines() == expected
    assert merged.status == 0


def test_merging_again_changes_nothing(tool, write, tmp_path):
    once, twice = tmp_path / "once", tmp_path / "twice"
    tool("merge", write(BASE), "-o", once)
    tool("merge", once, "-o", twice)
    assert once.read_text() == twice.read_text()
    assert len(once.read_text()) > len("\n".join(BASE))


def test_a_symbol_that_is_there_twice_becomes_one(tool, write, fragment):
    merged = tool("merge", write([*BASE, "CONFIG_VETH=y", "# CONFIG_VETH is not set"]),
                  fragment(["CONFIG_VETH=y"]), "-o", "-")
    assert merged.out.count("CONFIG_VETH") == 1 and "CONFIG_VETH=y\n" in merged.out


def test_default_leaves_optional_ones_out(tool, write):
    named = tool("merge", write(BASE), "default", "-o", "-").out
    assert named == tool("merge", write(BASE), "-o", "-").out
    assert "CONFIG_NETFILTER_NETLINK_QUEUE=y" in named and "CONFIG_NF_TABLES=y" not in named
    more = tool("merge", write(BASE), "default", "nftables", "-o", "-").out
    assert "CONFIG_NETFILTER_NETLINK_QUEUE=y" in more and "CONFIG_NF_TABLES=y" in more


def test_list_names_them_all(tool):
    listing = tool("merge", "--list")
    names = [line.split()[0] for line in listing.out.splitlines()]
    assert names == sorted(path.stem for path in TOOLS.glob("fragments/*.config"))
    assert listing.status == 0


def test_gzipped_base(tool, write, tmp_path):
    plain = write(BASE)
    packed = tmp_path / "config.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert tool("merge", packed, "-o", "-").out == tool("merge", plain, "-o", "-").out


@pytest.mark.parametrize("program", ["patch", "git"])
@pytest.mark.parametrize("title, path", [
    (TITLE, "kernel/microvm-kernel-config-x86_64"),
    ("# Linux/arm64 6.6.38 Kernel Configuration", "kernel/microvm-kernel-config-aarch64")])
def test_patch_for_the_bootstrap_tree(tool, write, tmp_path, program, title, path):
    """In a tree like AWS's the patch makes of their file what -o writes."""
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    base = write([title if line == TITLE else line for line in BASE])
    merged, patch = tmp_path / "merged", tmp_path / "causeway.patch"
    assert tool("merge", base, "-o", merged, "--patch", patch).status == 0
    theirs = tmp_path / "tree" / path
    theirs.parent.mkdir(parents=True)
    shutil.copy(base, theirs)
    command = ["patch", "-p1", "-i", patch] if program == "patch" else ["git", "apply", patch]
    subprocess.run(command, cwd=tmp_path / "tree", check=True, capture_output=True)
    assert theirs.read_text() == merged.read_text()


def test_patch_path(tool, write):
    untitled = write([line for line in BASE if line != TITLE])
    patch = tool("merge", untitled, "--patch", "-", "--patch-path", "k/c").out
    assert patch.startswith("--- a/k/c\n+++ b/k/c\n@@ ")
    assert "--patch-path" in tool("merge", untitled, "--patch", "-").complaint()


def test_verify(tool, write, fragment):
    own = fragment(["CONFIG_NET=y", "CONFIG_VETH=y", "# CONFIG_PACKET is not set", "CONFIG_GONE=y",
                    "# CONFIG_ABSENT is not set", "#:since 6.7", "CONFIG_LATER=y",
                    "#:since 6.6", "CONFIG_NOW=y"])
    found = tool("merge", "--verify", write(BASE), own)
    assert found.out.splitlines() == [
        "own: wants CONFIG_VETH=y, but CONFIG_VETH=m",
        "own: wants CONFIG_GONE=y, but it is not there: an unmet dependency, or unknown to this kernel",
        "own: wants CONFIG_NOW=y, but it is not there: an unmet dependency, or unknown to this kernel"]
    assert found.status == 1
    held = tool("merge", "--verify", write(BASE), fragment(["CONFIG_NET=y"], "held.config"))
    assert (held.status, held.out) == (0, "")


@pytest.mark.parametrize("lines, words", [
    ([], "not a kernel configuration (no CONFIG_ line)"),
    (["# only", "# comments"], "not a kernel configuration (no CONFIG_ line)"),
    ([*BASE, "oops \033[31m"], ":12: not a line of a kernel configuration: 'oops"),
    ([*BASE, "CONFIG_X = y"], ":12: not a line of a kernel configuration: 'CONFIG_X = y'"),
])
def test_bad_base(tool, write, lines, words):
    assert words in tool("merge", write(lines), "-o", "-").complaint()


def test_unreadable_base(tool, tmp_path, write):
    assert "No such file" in tool("merge", tmp_path / "none", "-o", "-").complaint()
    assert "Is a directory" in tool("merge", tmp_path, "-o", "-").complaint()
    binary, cut = tmp_path / "binary", tmp_path / "cut"
    binary.write_bytes(bytes(range(256)))
    cut.write_bytes(gzip.compress(b"CONFIG_NET=y\n" * 100)[:-9])
    for path in (binary, cut):
        assert "(not text)" in tool("merge", path, "-o", "-").complaint()
    assert "No such file" in tool("merge", write(BASE), "-o", tmp_path / "no/where").complaint()


@pytest.mark.parametrize("arguments, words", [
    ([], "no base configuration"),
    (["BASE"], "nothing to write"),
    (["BASE", "nfqeue", "-o", "-"], "no fragment 'nfqeue': there are daemons, diagnosis, docker"),
    (["BASE", "./none.config", "-o", "-"], "No such file"),
])
def test_bad_usage(tool, write, arguments, words):
    base = write(BASE)
    arguments = [base if word == "BASE" else word for word in arguments]
    assert words in tool("merge", *arguments).complaint()


@pytest.mark.parametrize("lines, words", [
    (["CONFIG_NET"], ":1: not a line of a fragment: 'CONFIG_NET'"),
    (["#:since yesterday", "CONFIG_NET=y"], ":1: not a line of a fragment"),
    (["# nothing"], "no CONFIG_ line"),
    (["CONFIG_NET=y", "CONFIG_NET=m"], ":2: CONFIG_NET again, with another value"),
])
def test_bad_fragment(tool, write, fragment, lines, words):
    assert words in tool("merge", write(BASE), fragment(lines), "-o", "-").complaint()


def test_fragments_that_contradict_each_other(tool, write, fragment):
    one, other = fragment(["CONFIG_NET=y"], "one"), fragment(["# CONFIG_NET is not set"], "other")
    complaint = tool("merge", write(BASE), one, other, "-o", "-").complaint()
    assert "CONFIG_NET is y in one and n in other" in complaint
