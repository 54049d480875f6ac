# SPDX-License-Identifier: Apache-2.0
"""pytest plugin for the run inside the guest.

The namespace tests are the same as on the host; here the tunnel goes over AF_VSOCK, through the
loopback transport with CID 1, and each result goes to the second serial line at once.
"""
import json
import os
import sys

import pytest

REPORTS = "/dev/ttyS1"
LOCAL_CID = 1
PORT_BASE = 5000
REPORT_BYTES = 20000


def pytest_configure(config):
    config.addinivalue_line("markers", "vm: only inside the guest")


@pytest.hookimpl(trylast=True)
def pytest_sessionstart():
    import system  # pylint: disable=import-outside-toplevel,import-error

    plan = system.Tunnel._plan_daemons  # pylint: disable=protected-access

    def over_vsock(tunnel, *arguments):
        plan(tunnel, *arguments)
        for enclave in tunnel.enclaves:
            unix = enclave.link
            enclave.link = f"vsock:{LOCAL_CID}:{PORT_BASE + enclave.slot}"
            for daemon in (tunnel.parent, enclave.daemon):
                daemon.command = [word.replace(unix, enclave.link) for word in daemon.command]

    system.Tunnel._plan_daemons = over_vsock  # pylint: disable=protected-access


def _tell(message):
    if not os.path.exists(REPORTS):
        return
    with open(REPORTS, "a", encoding="utf-8") as line:
        line.write(json.dumps(message) + "\n")


def pytest_collection_finish(session):
    if not session.config.option.collectonly:
        _tell({"collected": [item.nodeid for item in session.items]})


def pytest_runtest_logreport(report):
    if report.when != "call" and report.outcome == "passed":
        return
    text = report.longreprtext
    for title, content in report.sections:
        text += f"\n--- {title}\n{content}"
    if report.outcome == "skipped" and isinstance(report.longrepr, tuple):
        text = report.longrepr[2]
    word = {"passed": "ok", "failed": "FAIL", "skipped": "SKIP"}[report.outcome]
    # A test that passed and whose tear-down failed is told twice; whoever reads it wants both.
    _tell({"check": report.nodeid, "result": word, "seconds": report.duration,
           "text": text[-REPORT_BYTES:]})
    print(f"\nCHECK {report.nodeid} {word} {report.duration:.1f} s", file=sys.__stdout__)
