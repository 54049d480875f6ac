# SPDX-License-Identifier: Apache-2.0
"""bench/run --remote between two namespaces: the harness on the parent, the agent in the enclave."""
import hashlib
import hmac
import json
import shutil
import sys

import pytest
from netns import wait_for
from system import BUILD, ROOT
from traffic import listens, program

PORT = 5299
TOKEN = "a token of the tests"

pytestmark = pytest.mark.daemons


@pytest.fixture
def agent(workshop, tmp_path):
    """(tunnel, the agent's address, the token's file), the agent running in the enclave."""
    for tool in ("iperf3", "ping"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    tunnel = workshop.tunnel(allow=("192.0.2.0/24",))  # the far end, on a device of the parent
    token = tmp_path / "token"
    token.write_text(TOKEN + "\n")
    command = [sys.executable, ROOT / "bench" / "agent", "--token-file", token, "--tools",
               BUILD / "bench"]
    address = tunnel.enclave.address(4)

    def answers():
        try:
            tunnel.topology.parent.connect(4, address, PORT).close()
            return True
        except ConnectionRefusedError:
            return False
    with program(tunnel.enclave.namespace, command, answers):
        yield tunnel, address, token


def test_measures_through_the_tunnel(agent, tmp_path):
    tunnel, address, token = agent
    out = tmp_path / "out.json"
    tunnel.topology.parent.run(
        [ROOT / "bench" / "run", "--build", BUILD, "--remote", address, "--token-file", token,
         "--rounds", "1", "--seconds", "0.3", "--tests", "tcp_up_1,tcp_down_1,rr,rr_load,udp_up_512",
         "--json", out])
    samples = json.loads(out.read_text())["samples"]
    assert {(s["system"], s["test"]) for s in samples if s.get("value", 0) > 0} == {
        (system, test) for system in ("parent", "tunnel")
        for test in ("tcp_up_1", "tcp_down_1", "rr", "rr_load", "udp_up_512")}
    through = next(s for s in samples if (s["system"], s["test"]) == ("tunnel", "tcp_up_1"))
    assert set(through["daemon_cpu_s"]) == {"causeway-parent", "causeway-enclave"}
    assert through["bytes"] > 0


def ask(tunnel, address, lines):
    """What the agent answers to a line for each item (a function of the nonce); all it said."""
    with tunnel.topology.parent.connect(4, address, PORT) as connection:
        stream = connection.makefile("rb")
        said = [json.loads(stream.readline())]
        for line in lines:
            connection.sendall(line(said[0]["nonce"]) + b"\n")
        said += [json.loads(line) for line in stream]
    return said[1:]


def proof(nonce, token=TOKEN):
    digest = hmac.new(token.encode(), nonce.encode(), hashlib.sha256).hexdigest()
    return json.dumps({"proof": digest}).encode()


def test_agent_refuses(agent):
    """A stranger, other programs, and what is no request; it goes on answering afterwards."""
    tunnel, address, _ = agent

    def request(**fields):
        return lambda _: json.dumps(fields).encode()
    assert ask(tunnel, address, [lambda n: proof(n, "another"), request(op="account", names=[])]) \
        == [{"error": "wrong token"}]
    for bad in (request(op="run", argv=["sh", "-c", "id"], timeout=1),
                request(op="run", argv=["/bin/sh"], timeout=1), request(op="run", argv="rr"),
                request(op="run", argv=[], timeout=1), request(op="halt"), lambda _: b"[]",
                lambda _: b"\xff", lambda _: b"x" * 100000):
        said = ask(tunnel, address, [proof, bad])
        assert len(said) == 1 and said[0]["error"].startswith("refused"), said
    assert "machine" in ask(tunnel, address, [proof, request(op="account", names=[])])[0]


def test_agent_ends_what_is_left_behind(agent):
    """A harness that goes takes its client in the enclave with it."""
    tunnel, address, _ = agent
    inside = tunnel.enclave.namespace
    with tunnel.topology.parent.connect(4, address, PORT) as connection, \
            connection.makefile("rb") as stream:
        connection.sendall(proof(json.loads(stream.readline())["nonce"]) + b"\n" + json.dumps(
            {"op": "run", "argv": ["iperf3", "-s", "-p", "6001"], "timeout": 600}).encode() + b"\n")
        wait_for(listens(inside, 6001, 6), "the command to run")
    wait_for(lambda: not listens(inside, 6001, 6)(), "the command to end")
