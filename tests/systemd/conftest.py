# SPDX-License-Identifier: Apache-2.0
"""Debian booted with systemd as PID 1, the packages installed by apt: what a user has, a test has.

  --suites=bookworm,trixie    the Debians to boot (default: bookworm)
"""
import os
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
for folder in ("packaging", "vm", "netns"):
    sys.path.insert(0, str(TESTS / folder))

from fixtures import version  # noqa: E402,F401
from topology import sweep  # noqa: E402

from cache import Unavailable, require  # noqa: E402
from host import Pair, packages, shared_directory  # noqa: E402
from rootfs import root_file_system  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--suites", default="bookworm", help="Debian suites, comma-separated")


def pytest_configure(config):
    config.addinivalue_line("markers", "daemons: needs the daemons; the kernel cannot stand in")


def pytest_generate_tests(metafunc):
    if "root" in metafunc.fixturenames:
        suites = [sys.intern(suite) for suite in metafunc.config.getoption("--suites").split(",")]
        metafunc.parametrize("root", suites, indirect=True, scope="session")


def pytest_sessionstart():
    if os.geteuid() != 0:
        pytest.exit("booting a system needs root", returncode=3)
    sweep()


@pytest.fixture(scope="session")
def root(request):
    """The suite's root file system, never written to."""
    try:
        require(["systemd-nspawn", "nsenter", "unshare", "setpriv"])
        return root_file_system(request.param)
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def debs():
    return packages()


@pytest.fixture(scope="session")
def pair(root, debs, tmp_path_factory):
    """A parent and an enclave, booted, installed and running; every test leaves them so."""
    made = Pair(root, shared_directory(tmp_path_factory))
    try:
        made.install(debs)
        made.start()
        yield made
    finally:
        made.stop()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Shows the journals beside a failure."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for name in ("pair", "machine"):
            thing = getattr(item, "funcargs", {}).get(name)
            if thing is not None:
                report.sections.append(("journal", thing.logs()[-6000:]))
