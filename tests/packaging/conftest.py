# SPDX-License-Identifier: Apache-2.0
"""What package.sh makes, unpacked and run."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "netns"))

from fixtures import pytest_runtest_makereport, topology, workshop  # noqa: E402,F401
from topology import sweep  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "daemons: needs the daemons; the kernel cannot stand in")


def pytest_sessionstart():
    sweep()
