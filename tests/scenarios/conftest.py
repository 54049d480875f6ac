# SPDX-License-Identifier: Apache-2.0
"""What the scenarios share: a tunnel, a certificate authority, names, and the networks of tests/netns.

A test file says in TUNNEL what its tunnel has beside the defaults.
"""
import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "docker"), str(HERE.parent / "netns")]

import dockerd  # noqa: E402
import topology as network  # noqa: E402
from fixtures import (daemons_outlive_the_test, lent, pytest_runtest_makereport,  # noqa: E402,F401
                      topology, version)
from names import NameServer  # noqa: E402
from system import IS_KERNEL, Tunnel  # noqa: E402
from world import NAMES, Authority, Resolver  # noqa: E402

LANES = 2


def pytest_configure(config):
    config.addinivalue_line("markers", "daemons: needs the daemons; the kernel cannot stand in")


def pytest_collection_modifyitems(items):
    if IS_KERNEL:
        for item in items:
            if item.get_closest_marker("daemons"):
                item.add_marker(pytest.mark.skip(reason="the kernel stands in for the daemons"))


def pytest_sessionstart():
    if os.geteuid() != 0:
        pytest.exit("the scenarios need root", returncode=3)
    network.sweep()
    dockerd.sweep()


@pytest.fixture(scope="module")
def tunnel(request, topology):
    yield from lent(Tunnel(topology, lanes=LANES, **getattr(request.module, "TUNNEL", {})))


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def name_server(topology):
    """The world's DNS, on the internet: UDP and TCP."""
    made = NameServer(topology.internet, NAMES)
    yield made
    made.close()


@pytest.fixture(scope="module")
def resolver(tunnel, name_server, tmp_path_factory):
    """causeway-dns in the enclave: every name is asked for through the tunnel."""
    made = Resolver(tunnel.enclave.namespace, tmp_path_factory.mktemp("resolver"))
    yield made
    made.close()
