# SPDX-License-Identifier: Apache-2.0
"""Fixtures that every folder of namespace tests shares; its conftest.py imports the names."""
import re

import keep
import pytest
from system import IS_KERNEL, Tunnel
from topology import Topology

SANITIZER = re.compile(r"(Address|Leak|Thread)Sanitizer|runtime error:")


@pytest.fixture(scope="module")
def topology():
    made = Topology()
    yield made
    made.remove()


def lent(made):
    """For a fixture that yields a tunnel: it ends in order, or the test file fails, and is gone."""
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
    """Shows the daemons' logs beside a failure, and keeps everything if that is wanted."""
    outcome = yield
    report = outcome.get_result()
    if not report.failed:
        return
    lent_to = getattr(item, "funcargs", {})
    things = [lent_to[name] for name in ("tunnel", "workshop", "host", "dns") if lent_to.get(name)]
    if report.when == "call":
        for thing in things:
            report.sections.append(("daemons", thing.logs()[-6000:]))
    if keep.IS_WANTED:
        keep.leave(item, report, things)


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
