# SPDX-License-Identifier: Apache-2.0
"""Fixtures: a network per test file, the tunnel in each of its forms, and a workshop for tests that
start daemons of their own.

  --forms=nfqueue-1,nfqueue-4,packet-1,packet-4    capture back end and number of lanes
"""
import hashlib
import os
import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from system import BUILD, IS_KERNEL, Tunnel  # noqa: E402
from topology import Topology, sweep  # noqa: E402

SANITIZER = re.compile(r"(Address|Leak|Thread)Sanitizer|runtime error:")
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
def topology():
    made = Topology()
    yield made
    made.remove()


@pytest.fixture(scope="module")
def tunnel(request, topology):
    """A tunnel in one of its forms, up and carrying both families."""
    capture, _, lanes = request.param.partition("-")
    made = Tunnel(topology, capture=capture, lanes=int(lanes or 1))
    yield made
    try:
        assert set(made.stop().values()) <= {0}, made.logs()
    finally:
        made.discard()


@pytest.fixture(autouse=True)
def daemons_outlive_the_test(request):
    """No test of traffic may end a daemon."""
    yield
    if "tunnel" in request.fixturenames:
        tunnel_ = request.getfixturevalue("tunnel")
        assert tunnel_.alive(), "a daemon ended\n" + tunnel_.logs()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Shows the daemons' logs beside a failure."""
    outcome = yield
    report = outcome.get_result()
    if report.when == "call" and report.failed:
        for name in ("tunnel", "workshop"):
            thing = getattr(item, "funcargs", {}).get(name)
            if thing is not None:
                report.sections.append(("daemons", thing.logs()[-6000:]))


class Workshop:
    """Makes tunnels with options of a test's own and sees them gone afterwards."""

    is_kernel = IS_KERNEL

    def __init__(self, topology):
        self.topology = topology
        self.made = []

    def tunnel(self, **options):
        made = Tunnel(self.topology, **options)
        self.made.append(made)
        return made

    def logs(self):
        return "\n".join(made.logs() for made in self.made)

    def clear(self):
        sick = [made.logs() for made in self.made if SANITIZER.search(made.logs())]
        while self.made:
            self.made.pop().discard()
        assert not sick, sick[0]


@pytest.fixture
def workshop(topology):
    made = Workshop(topology)
    yield made
    made.clear()


@pytest.fixture(params=[4, 6], ids=["v4", "v6"])
def version(request):
    return request.param


@pytest.fixture(params=["out", "in"])
def direction(request):
    """out: the client is in the enclave. in: on the internet, through a published port."""
    return request.param


@pytest.fixture
def narrow_path(topology):
    """The path between parent and internet has an MTU of 1300 while the test runs."""
    topology.narrow(True)
    yield
    topology.narrow(False)


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
