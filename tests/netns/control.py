# SPDX-License-Identifier: Apache-2.0
"""causewayctl and the control sockets, as tests use them."""
import json
import re
import socket
import subprocess

import pytest
from system import BUILD

CTL = BUILD / "ctl" / "causewayctl"


def socket_of(tunnel, role):
    name = "parent" if role == "parent" else f"enclave{tunnel.enclave.slot}"
    return f"{tunnel.directory}/{name}.sock"


def ctl(tunnel, role, *arguments, check=True):
    """Runs causewayctl for one daemon."""
    return ctl_at(socket_of(tunnel, role), *arguments, check=check)


def ctl_at(path, *arguments, check=True):
    """The same by the socket, from outside of every namespace: a Unix socket is enough."""
    done = subprocess.run([CTL, *arguments, "--control", path], text=True, capture_output=True,
                          timeout=120, check=False)
    assert not check or done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
    return done


def status(tunnel, role):
    done = ctl(tunnel, role, "status", "--json", "--interval", "50")
    daemon, = json.loads(done.stdout)["daemons"]
    return daemon


def lanes(answer):
    if answer["program"] == "causeway-enclave":
        return answer["lanes"]
    return [lane for enclave in answer["enclaves"] for lane in enclave["lanes"]]


class Client:
    """A raw client of a control socket."""

    def __init__(self, tunnel, role, patience=30):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(patience)
        self.socket.connect(socket_of(tunnel, role))
        self.lines = self.socket.makefile("rb")

    def say(self, data):
        self.socket.sendall(data)

    def answer(self):
        """The next answer; None when the daemon has hung up."""
        try:
            line = self.lines.readline()
        except ConnectionResetError:
            return None
        return json.loads(line) if line else None

    def ask(self, line):
        self.say(line.encode() + b"\n")
        return self.answer()

    def close(self):
        self.lines.close()
        self.socket.close()


# ---- metrics

def parse_metrics(text):
    parser = pytest.importorskip("prometheus_client.parser")
    return {family.name: family for family in parser.text_string_to_metric_families(text)}


def check_names(text):
    """Prometheus' naming conventions, as far as a program can hold them against a text."""
    families = parse_metrics(text)
    assert families and all(name.startswith("causeway_") for name in families)
    for family in families.values():
        assert family.documentation
        for sample in family.samples:
            assert sample.name.endswith("_total") == (family.type == "counter"), sample.name
    seen = re.findall(r"^# TYPE (\S+)", text, re.M)
    assert len(seen) == len(set(seen)), "a family stands in one piece"
    return families
