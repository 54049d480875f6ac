# SPDX-License-Identifier: Apache-2.0
"""From samples to figures: medians, spread, and ratios to the ceiling of the same round."""

from statistics import median

REFERENCE = "ceiling"
GIGA = 1e9


def spread(values):
    return {"median": median(values), "min": min(values), "max": max(values), "n": len(values)}


def _good(samples, **wanted):
    return [s for s in samples if "value" in s and all(s[k] == v for k, v in wanted.items())]


def _ratios(rows, ceiling):
    """Each sample over the ceiling's of the same round."""
    by_round = {s["round"]: s["value"] for s in ceiling}
    return [s["value"] / by_round[s["round"]] for s in rows if by_round.get(s["round"])]


def _differences(rows, ceiling):
    by_round = {s["round"]: s["value"] for s in ceiling}
    return [s["value"] - by_round[s["round"]] for s in rows if s["round"] in by_round]


def _cpu_per_gb(rows):
    """Seconds of processor time per 10^9 bytes of payload: daemons one by one, together, and the
    whole machine."""
    rows = [s for s in rows if s.get("bytes")]
    if not rows:
        return None
    result = {"machine": median(s["machine_cpu_s"] / (s["bytes"] / GIGA) for s in rows),
              "kernel": median(s["kernel_cpu_s"] / (s["bytes"] / GIGA) for s in rows),
              "daemons": median(sum(s["daemon_cpu_s"].values()) / (s["bytes"] / GIGA)
                                for s in rows), "each": {}}
    for name in rows[0]["daemon_cpu_s"]:
        result["each"][name] = median(s["daemon_cpu_s"].get(name, 0) / (s["bytes"] / GIGA)
                                      for s in rows)
    return result


def _bytes_per_write(rows):
    values = [s["link_bytes"] / s["link_writes"] for s in rows if s.get("link_writes")]
    return median(values) if values else None


def summarize(samples, contestants, tests, reference=REFERENCE, latency=REFERENCE):
    """{system@mtu: {test: {...}}} for everything that was measured or failed. Latency is set
    against the system `latency`, the rest against `reference`."""
    summary = {}
    for c in contestants:
        results = summary[c.key] = {}
        for test in tests:
            where = {"mtu": c.mtu, "test": test.name}
            rows = _good(samples, system=c.system.id, **where)
            ceiling = _good(samples, system=latency if test.unit == "µs" else reference,
                            **where)
            errors = [s["error"] for s in samples if "error" in s and s["test"] == test.name
                      and s["system"] == c.system.id and s["mtu"] == c.mtu]
            if rows:
                results[test.name] = _entry(rows, ceiling, errors)
            elif errors:
                results[test.name] = {"errors": errors}
    return summary


def _entry(rows, ceiling, errors):
    entry = spread([s["value"] for s in rows])
    entry["errors"] = errors
    ratios = _ratios(rows, ceiling)
    if ratios:
        entry["ratio"] = spread(ratios)
        entry["added"] = spread(_differences(rows, ceiling))
    entry["cpu_s_per_gb"] = _cpu_per_gb(rows)
    entry["bytes_per_write"] = _bytes_per_write(rows)
    for key in ("p50_us", "p90_us", "p99_us", "p99_9_us", "rate", "upload_gbits", "loss"):
        values = [s[key] for s in rows if key in s]
        if values:
            entry[key] = spread(values)
    return entry
