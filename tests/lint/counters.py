#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""counters.py CAUSEWAYCTL [--write]: the documents name the counters that are declared, and no others.

Counters are declared in runtime/base/counters.h, reasons of drops in packet/drop.h and packet/policy.h.
The tables of docs/operations.md have a row for each; docs/metrics.md is made from the declarations
and from what causewayctl prints (--write makes it anew).
"""
import re
import subprocess
import sys

from lint import ROOT

COUNTERS, DROPS = ROOT / "runtime/base/counters.h", ROOT / "packet/drop.h"
POLICY = ROOT / "packet/policy.h"
OPERATIONS, METRICS = ROOT / "docs/operations.md", ROOT / "docs/metrics.md"
NAMED = {"LANE_COUNTERS", "LANE_ROUND_TRIPS", "LANE_QUEUE", "HANDSHAKE_COUNTERS"}
# Reasons of the decoders: malformed packets, all in one row.
FAMILIES = {"packet_", "offload_"}


def declared(path):
    """List -> rows: the words and texts of each X(...)."""
    text = path.read_text().replace("\\\n", "\n")
    lists = {}
    for name, body in re.findall(r"#define (\w+)\(X\)((?:\s*X\((?:[^()\"]|\"[^\"]*\")*\))+)", text):
        rows = re.findall(r"X\(((?:[^()\"]|\"[^\"]*\")*)\)", body)
        lists[name] = [["".join(re.findall(r'"([^"]*)"', part)) or part.strip()
                        for part in re.findall(r'(?:[^,"]|"[^"]*")+', row)] for row in rows]
    return lists


def named_in_tables(heading):
    """What stands in backticks in the first column of tables below a heading, up to the next one."""
    text = OPERATIONS.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def compare(names):
    found = named_in_tables("Counters")
    for name in sorted(names - found):
        yield f"{OPERATIONS.relative_to(ROOT)}: no table under Counters has {name}"
    for name in sorted(name for name in found - names if not name.startswith(tuple(FAMILIES))):
        yield f"{OPERATIONS.relative_to(ROOT)}: {name} is not declared in {COUNTERS.relative_to(ROOT)}"


def table(head, rows):
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head),
                      *("| " + " | ".join(row) + " |" for row in rows)])


def metrics(program, counters, drops):
    """docs/metrics.md. Without a daemon causewayctl still prints all heads."""
    done = subprocess.run([program, "metrics", "--control", "/nonexistent"], capture_output=True,
                          text=True, check=True)
    heads = re.findall(r"^# HELP (\S+) (.*)\n# TYPE \S+ (\S+)$", done.stdout, re.M)
    members = {f"causeway_{row[1]}": row[0] for rows in counters.values() for row in rows if len(row) == 4}
    rows = [(f"`{name}`", kind, what, f"`{members[name]}`" if name in members else "")
            for name, what, kind in heads]
    own = [(f"`{name}`", what) for rows in drops.values() for _, name, what in rows]
    return METRICS_PAGE.format(
        metrics=table(("metric", "type", "meaning", "member of a status"), rows),
        drops=table(("reason", "meaning"), own),
        dns_drops=table(("reason", "meaning"), [(f"`{name}`", what) for name, what in counters["DNS_DROPS"]]),
        limits=table(("reason", "meaning"), [(f"`{name}`", what) for name, what in counters["DNS_LIMITS"]]))


METRICS_PAGE = """\
# Metrics

Everything that `causewayctl metrics` prints. This page is made from the declarations by
`tests/lint/counters.py --write`; [operations.md](operations.md) says which counters to watch.

Every sample has the label `daemon`: `parent`, `enclave` or `dns`. Samples of lanes also have
`enclave` (the name at the parent), `peer` and `lane`; those of upstreams have `upstream`.

{metrics}

## Reasons of dropped packets

Label `reason` of `causeway_dropped_packets_total`. Besides these, `packet_...` and `offload_...`
are packets whose headers or metadata contradict themselves.

{drops}

## Reasons of causeway-dns

Label `reason` of `causeway_dns_dropped_total`:

{dns_drops}

Label `reason` of `causeway_dns_limited_questions_total`:

{limits}
"""


def main():
    counters = declared(COUNTERS)
    drops = {"policy": [[verdict, f"policy_{name}", what]
                        for verdict, name, what in declared(POLICY)["POLICY_VERDICTS"]],
             **declared(DROPS)}
    names = {row[0] for name in NAMED for row in counters[name]}
    names |= {row[1] for rows in drops.values() for row in rows} | {f"{prefix}..." for prefix in FAMILIES}
    page = metrics(sys.argv[1], counters, drops)
    if sys.argv[2:] == ["--write"]:
        METRICS.write_text(page)
    failures = list(compare(names))
    if not METRICS.exists() or METRICS.read_text() != page:
        failures.append(f"{METRICS.relative_to(ROOT)}: is not what the declarations say: {__file__} CAUSEWAYCTL --write")
    print("\n".join(failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
