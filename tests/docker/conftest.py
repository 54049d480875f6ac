# SPDX-License-Identifier: Apache-2.0
"""Fixtures: dockerd in the enclave of a network of tests/netns, in front of a tunnel.

  --docker-forms=nft-nfqueue,legacy-nfqueue,nft-packet,legacy-packet
      the iptables that dockerd uses, and causeway too; and the tunnel's capture back end
"""
import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "netns")]

import dockerd  # noqa: E402
import topology as network  # noqa: E402
from dockerd import BRIDGE, POOL, Docker  # noqa: E402
from fixtures import (daemons_outlive_the_test, direction, lent, narrow_path,  # noqa: E402,F401
                      pytest_runtest_makereport, version, workshop)
from names import DownloadServer, NameServer  # noqa: E402
from paths import PORTS  # noqa: E402
from system import IS_KERNEL, Tunnel  # noqa: E402
from topology import INTERNET  # noqa: E402

ALL_FORMS = "nft-nfqueue,legacy-nfqueue,nft-packet,legacy-packet"
MANY = [f"10.7.{number // 250}.{number % 250}" for number in range(100)]
LONG_TEXT = bytes(range(32, 127)) * 60
NAMES = {"web.example.test": [INTERNET[4], INTERNET[6]], "many.example.test": MANY,
         "text.example.test": [LONG_TEXT]}
NETWORK6 = "fd00:d0c:1::/64"  # lies in POOL[6], as network() makes them


def pytest_addoption(parser):
    parser.addoption("--docker-forms", default=ALL_FORMS, help="forms, comma-separated")


def pytest_configure(config):
    config.addinivalue_line("markers", "daemons: needs the daemons; the kernel cannot stand in")


def pytest_collection_modifyitems(items):
    lack = dockerd.missing()
    for item in items:
        if lack:
            item.add_marker(pytest.mark.skip(reason=lack))
        elif IS_KERNEL and item.get_closest_marker("daemons"):
            item.add_marker(pytest.mark.skip(reason="the kernel stands in for the daemons"))


def pytest_sessionstart():
    if os.geteuid() != 0:
        pytest.exit("the Docker tests need root", returncode=3)
    network.sweep()
    dockerd.sweep()


def pytest_generate_tests(metafunc):
    if "form" in metafunc.fixturenames:
        names = metafunc.config.getoption("--docker-forms").split(",")
        if IS_KERNEL:
            names = sorted({name.split("-")[0] + "-kernel" for name in names})
        # Interned: pytest 7.2 keeps a fixture's value only for the identical parameter object.
        metafunc.parametrize("form", [sys.intern(name) for name in names], indirect=True,
                             scope="module")


class Form:
    """One combination of back ends."""

    def __init__(self, name):
        self.backend, self.capture = name.split("-")
        tool = {"nft": "iptables", "legacy": "iptables-legacy"}[self.backend]
        self.arguments = ["--firewall", tool]
        for prefix in (*BRIDGE.values(), *POOL.values()):
            self.arguments += ["--inside", prefix]

    def tunnel_options(self, **more):
        options = {"capture": self.capture, "lanes": 2, "enclave_arguments": self.arguments}
        options.update(more)
        return options


@pytest.fixture(scope="module")
def form(request):
    return Form(request.param)


@pytest.fixture(scope="module")
def topology(form):  # pylint: disable=unused-argument
    """A network for each form: a dockerd leaves its rules and bridges where it ran."""
    made = network.Topology()
    yield made
    made.remove()


def options_of(module):
    """What a test file changes in daemon.json: its DAEMON."""
    return {"dns": [INTERNET[4]], **getattr(module, "DAEMON", {})}


@pytest.fixture(scope="module")
def docker(request, topology, form):
    """dockerd, there before the tunnel is."""
    made = Docker(topology.enclave, form.backend, **options_of(request.module))
    yield made
    made.close()


@pytest.fixture(scope="module")
def tunnel(topology, form, docker):
    yield from lent(Tunnel(topology, **form.tunnel_options()))


@pytest.fixture(scope="module")
def inner_network(docker):
    return docker.network("inner", version6=NETWORK6)


@pytest.fixture(scope="module")
def boxes(docker, inner_network):
    """Two containers with published ports: on the default bridge, on a user-defined network."""
    return {place: docker.box(f"box-{place}", *options, publish=ranges(place))
            for place, options in (("bridge", ()), ("network", ("--network", inner_network)))}


def ranges(place):
    first = PORTS[f"box-{place}"]
    return [f"{first}-{first + 9}:{first}-{first + 9}/{kind}" for kind in ("tcp", "udp")]


@pytest.fixture(params=["bridge", "network"])
def box(request, boxes):
    return boxes[request.param]


@pytest.fixture(scope="module")
def name_server(topology):
    made = NameServer(topology.internet, NAMES)
    yield made
    made.close()


@pytest.fixture(scope="module")
def downloads(topology):
    made = DownloadServer(topology.internet, 8000)
    yield made
    made.close()
