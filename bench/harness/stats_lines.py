# SPDX-License-Identifier: Apache-2.0
"""Counters of a daemon that prints `stats peer=… lane=N key value key value …` on SIGUSR1."""

import os
import re
import signal
import time

ANSWER_LIMIT_S = 1.0
QUIET_S = 0.03


def ask(daemon):
    """The lines that the daemon prints for one SIGUSR1, as a list of {key: int}."""
    start = os.path.getsize(daemon.log)
    daemon.process.send_signal(signal.SIGUSR1)
    end, size, since = time.monotonic() + ANSWER_LIMIT_S, start, time.monotonic()
    while time.monotonic() < end:
        now = os.path.getsize(daemon.log)
        if now != size:
            size, since = now, time.monotonic()
        elif size > start and time.monotonic() - since > QUIET_S:
            break
        time.sleep(0.002)
    with open(daemon.log, encoding="utf-8", errors="replace") as log:
        log.seek(start)
        return [parse(line) for line in log if re.search(r"\bstats\b.*\blane=", line)]


def parse(line):
    return {key: int(value) for key, value in re.findall(r"(\w+)[ =](\d+)\b", line)}


def total(daemons, *keys):
    """Sum of each key over all lanes of all daemons, or None when none of them answered."""
    rows = [row for daemon in daemons for row in ask(daemon)]
    if not rows:
        return None
    return tuple(sum(row.get(key, 0) for row in rows) for key in keys)
