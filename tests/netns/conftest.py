# SPDX-License-Identifier: Apache-2.0
"""Fixtures: a network per test file, the tunnel in each of its forms, and a workshop for tests that
start daemons of their own.

  --forms=nfqueue-1,nfqueue-4,packet-1,packet-4    capture back end and number of lanes
"""
import hashlib
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from dns_system import dns, dns_world  # noqa: E402,F401
from fixtures import (daemons_outlive_the_test, direction, lent, narrow_path,  # noqa: E402,F401
                      pytest_runtest_makereport, topology, version, workshop)
from host_world import Host  # noqa: E402
from system import BUILD, IS_KERNEL, Tunnel  # noqa: E402
from topology import sweep  # noqa: E402

ALL_FORMS = "nfqueue-1,nfqueue-4,packet-1,packet-4"


def pytest_addoption(parser):
    parser.addoption("--forms", default=ALL_FORMS, help="forms of the tunnel, comma-separated")


def pytest_configure(config):
    config.addinivalue_line("markers", "daemons: needs the daemons; the kernel cannot stand in")


def pytest_generate_tests(metafunc):
    if "tunnel" in metafunc.fixturenames:
        forms = ["kernel"] if IS_KERNEL else metafunc.config.getoption("--forms").split(",")
        # Interned: pytest 7.2 keeps a fixture's value only for the identical parameter object.
        forms = [sys.intern(form) for form in forms]
        metafunc.parametrize("tunnel", forms, indirect=True, scope="module")


def pytest_collection_modifyitems(items):
    if IS_KERNEL:
        for item in items:
            if item.get_closest_marker("daemons"):
                item.add_marker(pytest.mark.skip(reason="the kernel stands in for the daemons"))


def pytest_sessionstart():
    if os.geteuid() != 0:
        pytest.exit("the namespace tests need root", returncode=3)
    sweep()


@pytest.fixture(scope="module")
def tunnel(request, topology):
    """A tunnel in one of its forms, up and carrying both families."""
    capture, _, lanes = request.param.partition("-")
    yield from lent(Tunnel(topology, capture=capture, lanes=int(lanes or 1)))


@pytest.fixture
def host():
    """A network of the test's own, to be changed behind the daemons' back."""
    made = Host()
    yield made
    made.remove()


@pytest.fixture(scope="session")
def big_file(tmp_path_factory):
    """200 MB that do not compress, and their SHA-256."""
    path = tmp_path_factory.mktemp("www") / "big"
    digest = hashlib.sha256()
    with open(path, "wb") as out:
        for _ in range(200):
            block = os.urandom(1_000_000)
            digest.update(block)
            out.write(block)
    path.chmod(0o644)
    yield path, digest.hexdigest()
    path.unlink()


@pytest.fixture(scope="session")
def crowd():
    """The tool that opens thousands of connections at once (tests/tools/crowd.c)."""
    path = BUILD / "tests" / "tools" / "crowd"
    if not path.exists():
        pytest.skip(f"{path} is not built")
    return path
