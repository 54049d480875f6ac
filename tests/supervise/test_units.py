# SPDX-License-Identifier: Apache-2.0
"""Unit files, supervisor files and examples: read by the programs that they are for."""
import configparser
import re
import subprocess

import pytest
from system import BUILD, ROOT

UNITS = {"causeway-parent": "parent", "causeway-enclave": "enclave", "causeway-dns": "enclave"}
# What both supervisord read, by the sources of Debian's 4.2.5 and of ochinchina's as of 2026.
SHARED_KEYS = {"command", "priority", "autostart", "autorestart", "startsecs", "startretries",
               "stopsignal", "stopwaitsecs", "redirect_stderr", "stdout_logfile",
               "stdout_logfile_maxbytes"}


def unit(name):
    return BUILD / UNITS[name] / "systemd" / f"{name}.service"


@pytest.mark.parametrize("name", UNITS)
def test_unit_is_sound(name, tmp_path):
    """systemd itself reads it: unknown keys, groups of system calls, capabilities."""
    # Our programs are not installed here; tests/systemd runs them in a booted system.
    text = re.sub(r"^(Exec\w+=)\S+/causeway-\w+", r"\1/bin/true", unit(name).read_text(), flags=re.M)
    copy = tmp_path / f"{name}.service"
    copy.write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", copy],
                          capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# Out of 100, lower is better. What is left is what the daemons are for: packet sockets, network
# administration, host's network namespace.
@pytest.mark.parametrize("name, most", [("causeway-parent", 35), ("causeway-enclave", 36),
                                        ("causeway-dns", 31)])
def test_unit_is_hardened(name, most):
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", f"--threshold={most}",
                           unit(name)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr


@pytest.mark.parametrize("name", ["causeway-enclave", "causeway-dns"])
def test_supervisor_file_has_keys_that_both_know(name):
    parser = configparser.RawConfigParser(inline_comment_prefixes=(" ;",))
    parser.read(BUILD / "enclave" / "supervisor" / f"{name}.conf")
    assert parser.sections() == [f"program:{name}"]
    assert set(parser[f"program:{name}"]) <= SHARED_KEYS


@pytest.mark.parametrize("name, example", [("enclave", "enclave/enclave.conf"),
                                           ("parent", "parent/parent.conf")])
def test_example_is_a_configuration(name, example, tmp_path):
    program = BUILD / name / f"causeway-{name}"
    done = subprocess.run([program, "--config", ROOT / example, "--print-config"],
                          capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    # What is commented out is an option too.
    full = tmp_path / "full.conf"
    full.write_text(re.sub(r"^#(\w[\w-]* = )", r"\1", (ROOT / example).read_text(), flags=re.M))
    done = subprocess.run([program, "--config", full, "--print-config"], capture_output=True,
                          text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
