# SPDX-License-Identifier: Apache-2.0
"""The measurements. Each takes a running Bench (a system in its world) and returns a sample:

    value            the headline figure, in the test's unit
    bytes            payload carried, where that is meant
    daemon_cpu_s     processor seconds of each of the system's processes meanwhile
    machine_cpu_s    busy seconds of the whole machine meanwhile
    kernel_cpu_s     of these in the kernel, interrupts included
    link_bytes, link_writes   what went over the link, where the system tells
    and figures of its own (percentiles, loss …)
"""

import json
import math
import re
import time
from dataclasses import dataclass

from harness import accounting
from harness.world import Failed

IPERF_PORT, RR_PORT, UDP_PORT = 5201, 5202, 5203
LOSS_LIMIT = 0.01
COMMAND_SLACK_S = 20  # beyond its own time, then a measurement has hung


@dataclass
class Bench:
    system: object
    world: object
    tools: str       # where rr and udpgen are
    seconds: float   # of one TCP or request/response run
    probes: int      # rates tried by the search for the highest UDP rate

    def tool(self, name):
        return f"{self.tools}/{name}"

    def client(self, argv, seconds):
        return self.world.run(argv, "enclave", timeout=seconds + COMMAND_SLACK_S)


@dataclass
class Test:
    name: str
    title: str
    unit: str
    protocol: str
    better: str        # "more" or "less"
    run: object        # function of a Bench, returns a sample
    cost_s: object     # function of (seconds, probes): about how long it takes


def start_servers(bench):
    """The far ends that stay for the whole run; iperf3 gets a fresh server per test instead,
    since one that lost its client may refuse the next for a while."""
    servers = [("rr", RR_PORT, "tcp", [bench.tool("rr"), "serve", str(RR_PORT)])]
    if "udp" in bench.system.protocols:
        servers.append(("udpgen", UDP_PORT, "udp",
                        [bench.tool("udpgen"), "serve", str(UDP_PORT)]))
    for name, port, protocol, argv in servers:
        bench.world.helper(name, "internet", argv)
        bench.world.wait(lambda p=port, q=protocol: bench.world.listens("internet", p, q), name)


def accounted(bench, action):
    """Runs action() and adds what it cost to the sample that it returns."""
    world, system = bench.world, bench.system
    links = system.link_counters(world)
    before = accounting.mark(world)
    sample = action()
    cost = accounting.since(world, before)
    world.check_alive()
    after = system.link_counters(world) if links else None
    sample.setdefault("daemon_cpu_s", cost["daemons"])
    sample["machine_cpu_s"] = cost["machine"]
    sample["kernel_cpu_s"] = cost["kernel"]
    sample["steal_s"] = cost["steal"]
    if links and after:
        sample["link_bytes"], sample["link_writes"] = (b - a for a, b in zip(links, after))
    return sample


# -- TCP throughput

class IperfServer:
    """An iperf3 server for one test."""

    def __init__(self, world):
        self.world = world

    def __enter__(self):
        self.process, _ = self.world.helper("iperf3", "internet",
                                            ["iperf3", "-s", "-1", "-p", str(IPERF_PORT)])
        self.world.wait(lambda: self.world.listens("internet", IPERF_PORT), "iperf3's server")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.world.helpers.remove(self.process)


def iperf_command(bench, streams, mode, seconds):
    host, port = bench.system.target(bench.world, IPERF_PORT)
    flag = {"up": [], "down": ["-R"], "both": ["--bidir"]}[mode]
    return ["iperf3", "-J", "-c", host, "-p", str(port), "-P", str(streams),
            "-t", str(max(1, round(seconds))), *flag]


def iperf_received(output):
    """(bytes that the receivers got, Gbit/s) of an iperf3 JSON report, both directions."""
    report = json.loads(output)
    if "error" in report:
        raise Failed("iperf3: " + report["error"])
    sums = [report["end"][k] for k in ("sum_received", "sum_received_bidir_reverse")
            if k in report["end"]]
    if not sums or not any(s["bytes"] for s in sums):
        raise Failed("iperf3: nothing was received")
    return sum(s["bytes"] for s in sums), sum(s["bits_per_second"] for s in sums) / 1e9


def tcp_throughput(bench, streams, mode):
    if bench.system.copies:
        return accounted(bench, lambda: bench.system.copy(bench.world, streams, mode,
                                                           bench.seconds))

    def action():
        out = bench.client(iperf_command(bench, streams, mode, bench.seconds), bench.seconds)
        received, rate = iperf_received(out)
        return {"value": rate, "bytes": received,
                "retransmits": json.loads(out)["end"]["sum_sent"].get("retransmits")}
    with IperfServer(bench.world):
        return accounted(bench, action)


# -- request/response

def request_response(bench, mode, seconds=None):
    host, port = bench.system.target(bench.world, RR_PORT)
    seconds = seconds or bench.seconds
    out = bench.client([bench.tool("rr"), mode, host, str(port), "--seconds", str(seconds)],
                       seconds)
    result = json.loads(out)
    result["value"] = result["p50_us"] if mode == "request" else result["rate"]
    return result


def request_under_upload(bench):
    """Latency while one TCP stream saturates the same direction. The upload starts half a second
    earlier and ends later than the requests."""
    command = iperf_command(bench, 1, "up", bench.seconds + 1.5)

    def action():
        upload = bench.world.background(command, "enclave", bench.seconds + COMMAND_SLACK_S)
        try:
            time.sleep(0.5)
            if upload.poll() is not None:
                raise Failed("iperf3 ended before the requests began")
            sample = request_response(bench, "request")
            out, _ = upload.communicate(timeout=bench.seconds + COMMAND_SLACK_S)
        finally:
            upload.kill()
            upload.wait()
        sample["bytes"], sample["upload_gbits"] = iperf_received(out)
        return sample
    with IperfServer(bench.world):
        return accounted(bench, action)


# -- UDP

def udp_probe(bench, mode, size, rate, seconds):
    host, port = bench.system.target(bench.world, UDP_PORT)
    out = bench.client([bench.tool("udpgen"), mode, host, str(port), "--size", str(size),
                        "--rate", str(int(rate)), "--seconds", str(seconds)], seconds)
    return json.loads(out)


def highest_rate(probe, probes):
    """The highest rate whose loss stays under the limit: unpaced first, then by bisection (in
    logarithms) between the best rate that passed and the lowest that did not.

    probe(rate) returns udpgen's result. What passes counts by what was *received*, so a sender
    held back by its own socket buffer passes at the rate it reached. Returns the best result, or
    None when none passed."""
    result = probe(0)
    if result["loss"] < LOSS_LIMIT:
        return result
    best, low, high = None, None, max(result["sent_pps"], 2.0)
    rate = min(max(result["received_pps"], 1000.0), high * 0.9)
    for _ in range(probes - 1):
        result = probe(rate)
        if result["loss"] < LOSS_LIMIT:
            low = rate
            if best is None or result["received_pps"] > best["received_pps"]:
                best = result
            if result["sent_pps"] < rate * 0.95:
                break  # the sender cannot offer more
        else:
            high = rate
        rate = math.sqrt(low * high) if low else high / 2
    return best


def udp_rate(bench, mode, size):
    seconds = min(1.0, max(0.3, bench.seconds / 4))

    def probe(rate):
        return udp_probe(bench, mode, size, rate, seconds)

    best = highest_rate(probe, bench.probes)
    if best is None:
        raise Failed(f"loses 1 % or more at every rate tried ({bench.probes})")
    # once more at that rate, accounted: the cost of the rate, not of the search
    again = accounted(bench, lambda: udp_probe(bench, mode, size, best["sent_pps"], seconds))
    again["value"] = best["received_pps"] / 1e3
    again["bytes"] = again["received"] * size
    again["searched_loss"] = best["loss"]
    return again


# -- the list

def _tcp(streams, mode):
    words = {"up": "enclave to internet", "down": "internet to enclave", "both": "both at once"}
    return Test(f"tcp_{mode}_{streams}", f"TCP, {streams} stream{'s' * (streams > 1)}, "
                f"{words[mode]}", "Gbit/s", "tcp", "more",
                lambda b: tcp_throughput(b, streams, mode), lambda s, _p: max(1, round(s)) + 0.4)


def _udp(mode, size):
    words = {"up": "enclave to internet", "down": "internet to enclave"}
    return Test(f"udp_{mode}_{size}", f"UDP, {size} bytes, {words[mode]}, loss under 1 %",
                "kpps", "udp", "more", lambda b: udp_rate(b, mode, size),
                lambda s, p: (p * 0.75 + 1) * (min(1.0, max(0.3, s / 4)) + 0.1))


TESTS = [
    *[_tcp(n, mode) for n in (1, 4, 32) for mode in ("up", "down", "both")],
    Test("rr", "request/response, 64 bytes, TCP, one connection", "µs", "tcp", "less",
         lambda b: accounted(b, lambda: request_response(b, "request")), lambda s, _p: s + 0.3),
    Test("rr_load", "the same while one stream saturates the upload", "µs", "tcp", "less",
         request_under_upload, lambda s, _p: s + 2.4),
    Test("crr", "connect, request, response, one at a time", "1/s", "tcp", "more",
         lambda b: accounted(b, lambda: request_response(b, "connect")), lambda s, _p: s + 0.3),
    *[_udp(mode, size) for mode in ("up", "down") for size in (64, 512, 1400)],
]
BY_NAME = {test.name: test for test in TESTS}
DEFAULT = ["*"]
LINK = ["tcp_up_1", "tcp_down_1", "tcp_up_32", "tcp_down_32", "rr", "rr_load"]
QUICK = ["tcp_up_1", "tcp_down_1", "tcp_up_4", "tcp_down_4", "rr", "rr_load", "udp_up_1400"]


def select(patterns):
    """Tests by name or by a pattern with * (tcp_*_1), in the order of the list."""
    chosen = set()
    for pattern in patterns:
        regex = re.compile(re.escape(pattern).replace(r"\*", ".*"))
        found = [t.name for t in TESTS if regex.fullmatch(t.name)]
        if not found:
            raise ValueError(f"no test is called {pattern}; there are: "
                             + ", ".join(t.name for t in TESTS))
        chosen.update(found)
    return [t for t in TESTS if t.name in chosen]
