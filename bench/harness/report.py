# SPDX-License-Identifier: Apache-2.0
"""The tables, in Markdown. Every figure is a median over rounds with (min–max) beside it."""

import re

from harness import link

DASH = "–"


def number(value, digits=3):
    """Three significant digits, thousands without an exponent."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.{digits}g}" if value >= 1 or value == 0 else f"{value:.2f}"


def with_spread(entry):
    text = number(entry["median"])
    if entry["n"] > 1:
        text += f" ({number(entry['min'])}–{number(entry['max'])})"
    return text


def table(header, rows):
    """A Markdown table, or nothing when no row has a figure."""
    if not any(cell != DASH for row in rows for cell in row[1:]):
        return []
    out = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return out + ["| " + " | ".join(row) + " |" for row in rows] + [""]


def cell(results, test, show):
    entry = results.get(test.name)
    if entry is None:
        return DASH
    if "median" not in entry:
        return "failed"
    return show(entry) + (f", {len(entry['errors'])} failed" if entry["errors"] else "")


def figure_and_ratio(entry):
    text = with_spread(entry)
    if "ratio" not in entry:
        return text
    ratio = entry["ratio"]["median"]
    return text + f" = **{ratio:.{2 if ratio >= 0.1 else 3}f}**"


class Report:
    def __init__(self, meta, contestants, skipped, tests, summary):
        self.meta, self.contestants, self.skipped = meta, contestants, skipped
        self.tests, self.summary = tests, summary
        self.reference = meta["reference"]

    def rows(self, mtu, columns):
        """A row per system at that MTU; columns are functions of its results."""
        return [[f"`{c.system.id}`"] + [column(self.summary[c.key]) for column in columns]
                for c in self.contestants if c.mtu == mtu]

    def throughput(self, mtu, prefix, title):
        tests = [t for t in self.tests if t.name.startswith(prefix)]
        columns = [lambda r, t=t: cell(r, t, figure_and_ratio) for t in tests]
        heads = [t.name.removeprefix(prefix).replace("_", " ") or t.name for t in tests]
        rows = self.rows(mtu, columns)
        if self.meta.get("link_limits") and prefix == "tcp_":
            rows.insert(0, ["limit of the link"] + [self.limit(t.name) for t in tests])
        rows = table(["system"] + heads, rows)
        return [f"### {title}", ""] + rows if rows else []

    def limit(self, test):
        mode, streams = re.fullmatch(r"tcp_(\w+)_(\d+)", test).groups()
        if mode == "both":
            return DASH
        return number(link.limit(self.meta["link_limits"], mode, int(streams)))

    def latency(self, mtu):
        out = []
        for test in (t for t in self.tests if t.name in ("rr", "rr_load", "crr")):
            def column(key, test=test):
                return lambda r: cell(r, test, lambda e: with_spread(e[key]) if key in e
                                      else DASH)
            columns = [column(k) for k in ("p50_us", "p90_us", "p99_us", "p99_9_us")]
            columns.append(column("rate"))
            heads = ["system", "p50", "p90", "p99", "p99.9", "a second"]
            if test.unit == "µs":
                columns.append(lambda r, t=test: cell(
                    r, t, lambda e: f"{e['added']['median']:+.1f}" if "added" in e else DASH))
                heads.append(f"p50 against the {self.meta['latency_reference']}")
            if test.name == "rr_load":
                columns.append(column("upload_gbits"))
                heads.append("upload, Gbit/s")
            rows = table(heads, self.rows(mtu, columns))
            if rows:
                out += [f"### Latency, µs: {test.title}", ""] + rows
        return out

    def cost(self, mtu):
        tests = [t for t in self.tests if t.name in ("tcp_up_1", "tcp_down_1", "tcp_up_4",
                                                      "tcp_down_4", "udp_up_1400")]

        def show(entry):
            cpu = entry.get("cpu_s_per_gb")
            if not cpu:
                return DASH
            each = " + ".join(number(v) for v in cpu["each"].values())
            if len(cpu["each"]) > 1:
                each += f" = {number(cpu['daemons'])}"
            return f"{each or 0} of {number(cpu['machine'])} ({number(cpu['kernel'])})"
        columns = [lambda r, t=t: cell(r, t, show) for t in tests]
        rows = table(["system"] + [t.name for t in tests], self.rows(mtu, columns))
        if not rows:
            return []
        names = "; ".join(f"`{c.system.id}`: {', '.join(c.peak_kb)}"
                          for c in self.contestants if c.mtu == mtu and len(c.peak_kb) > 1)
        note = ["Daemons one by one = together, of the whole machine's busy seconds, generators "
                "included (of these in the kernel)." + (f" Order: {names}." if names else ""), ""]
        return ["### Processor seconds per GB (10⁹ bytes of payload)", ""] + rows + note

    def size(self, mtu):
        tests = [t for t in self.tests if t.name in ("tcp_up_1", "tcp_down_1", "udp_up_64", "rr")]
        by_key = {c.system.id: c for c in self.contestants if c.mtu == mtu}
        rows = []
        for row in self.rows(mtu, [lambda r, t=t: cell(
                r, t, lambda e: number(e["bytes_per_write"]) if e.get("bytes_per_write")
                else DASH) for t in tests]):
            c = by_key[row[0].strip("`")]
            peaks = " + ".join(f"{kb / 1024:.1f}" for kb in c.peak_kb.values()) or DASH
            idle = DASH if c.idle_cpu is None or not c.peak_kb else f"{c.idle_cpu * 100:.1f} %"
            rows.append([row[0], peaks, idle] + row[1:])
        heads = ["system", "peak RSS per process, MB", "idle CPU"] + \
            [f"bytes a write, {t.name}" for t in tests]
        rows = table(heads, rows)
        return ["### Memory, idle cost, and bytes per write on the link", ""] + rows if rows else []

    def failures(self):
        out = []
        for name, reason in self.skipped.items():
            out.append(f"- `{name}` skipped: {reason}")
        for c in self.contestants:
            out += [f"- `{c.key}`: {failure}" for failure in dict.fromkeys(c.failures)]
        return ["### Not measured, and failures", ""] + out + [""] if out else []

    def head(self):
        m = self.meta
        systems = [f"- `{c.system.id}`: {c.system.describe()}" for c in
                   {c.system.id: c for c in self.contestants}.values()]
        return ["## Benchmark", "", f"`{m['command']}`", "",
                *([f"**Link shaped like Nitro's vsock, {m['link']}**: see docs/performance.md.", ""]
                  if m["link"] else []),
                f"{m['date']}, version {m['version']}, Linux {m['kernel']}, {m['cpus']} processors"
                f" ({m['cpu_model']}), {m['rounds']} interleaved rounds of {m['seconds']:g} s. "
                f"Median (min–max) over rounds; **bold** is the median ratio to `{self.reference}`'s "
                "sample of the same round. Load average before: "
                f"{m['load_before']}, after: {m['load_after']}; stolen by the hypervisor: "
                f"{m['steal_percent']:.1f} %.", "", *systems, ""]

    def markdown(self):
        out = self.head()
        for mtu in dict.fromkeys(c.mtu for c in self.contestants):
            out += [f"## MTU {mtu}", ""]
            out += self.throughput(mtu, "tcp_", "TCP, Gbit/s (direction and streams)")
            out += self.throughput(mtu, "udp_", "UDP under 1 % loss, thousand datagrams a second")
            out += self.latency(mtu)
            out += self.cost(mtu)
            out += self.size(mtu)
        return "\n".join(out + self.failures())
