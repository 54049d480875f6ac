# SPDX-License-Identifier: Apache-2.0
"""Docker applications in the enclave, a database and a web application that uses it. Replaces:
enclaved.

There, source ports are shared out by hand between the enclave and its containers, packets of
containers take a way of their own by marks and a second pass, and names go to a DNS-over-HTTPS proxy
because UDP stays behind.

Here: `causeway-enclave --inside` for each of Docker's networks, `causeway-parent --publish` for each
port that Docker publishes, enclave/docker/daemon.json. Images and `docker run` are as anywhere.

The images are made from this machine's programs, since no registry can be reached.
"""
import os
import re
import shutil
import subprocess

import dockerd
import pytest
from dockerd import BRIDGE, POOL, Docker
from fixtures import lent
from netns import wait_for
from system import Tunnel
from topology import INTERNET, PARENT
from traffic import Background
from world import need

DATABASE, WEB = 6379, 8080
IMAGE = "application:test"
PROGRAMS = ("/usr/bin/redis-server", "/usr/bin/redis-cli")
LINKS = {"bin/sh": "busybox", "bin/httpd": "busybox", "bin/sleep": "busybox", "bin/cat": "busybox"}
PAGE = r"""#!/bin/sh
printf 'Content-Type: text/plain\r\n\r\n'
printf 'visit %s of %s\n' "$(redis-cli -h db incr visits)" "$REMOTE_ADDR"
"""

pytestmark = [need("redis-server", "redis-cli", "curl"),
              pytest.mark.skipif(bool(dockerd.missing()), reason=dockerd.missing())]


def libraries(program):
    """What the loader brings in for a program, its own file among it."""
    listed = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    return set(re.findall(r"(/\S+) \(0x", listed))


def import_image(docker):
    """redis, and busybox's HTTP server with a page that counts its visits in redis."""
    root = docker.directory / "application"
    for folder in ("bin", "tmp", "etc", "proc", "sys", "dev", "data", "www/cgi-bin"):
        (root / folder).mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin")
    for name, target in LINKS.items():
        (root / name).symlink_to(target)
    for program in PROGRAMS:
        shutil.copy(program, root / "bin")  # what a link points at
    for library in set().union(*map(libraries, PROGRAMS)):
        target = root / library.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, target)
    page = root / "www/cgi-bin/visit"
    page.write_text(PAGE)
    page.chmod(0o755)
    archive = docker.directory / "application.tar"
    subprocess.run(["tar", "-C", root, "-cf", archive, "."], check=True)
    docker.docker("import", "--change", "ENV PATH=/bin", archive, IMAGE)
    archive.unlink()


@pytest.fixture(scope="module")
def docker(topology):
    made = Docker(topology.enclave, "legacy")  # as in an enclave with AWS's kernel
    try:
        import_image(made)
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def tunnel(topology, docker):
    inside = [word for prefix in (*BRIDGE.values(), *POOL.values())
              for word in ("--inside", prefix)]
    made = Tunnel(topology, lanes=2, enclave_arguments=["--firewall", "iptables-legacy", *inside],
                  publish=(f"{DATABASE}:{DATABASE}/tcp", f"80:{WEB}/tcp"))
    yield from lent(made)


@pytest.fixture(scope="module")
def application(tunnel, docker):
    """The database with its volume, and the web application, on a network of their own."""
    docker.docker("network", "create", "--ipv6", "--subnet", "fd00:d0c:1::/64", "shop")
    docker.docker("volume", "create", "rows")
    docker.docker("run", "--detach", "--name", "db", "--network", "shop", "--volume", "rows:/data",
                  "--restart", "unless-stopped", "-p", f"{DATABASE}:{DATABASE}", IMAGE,
                  "redis-server", "--dir", "/data", "--appendonly", "yes", "--appendfsync", "always",
                  "--protected-mode", "no")
    docker.docker("run", "--detach", "--name", "web", "--network", "shop", "--restart",
                  "unless-stopped", "-p", f"{WEB}:80", IMAGE, "httpd", "-f", "-p", "80", "-h", "/www")
    made = Application(tunnel, docker)
    wait_for(lambda: made.redis("ping", check=False).stdout == "PONG\n", "the database")
    wait_for(lambda: made.get("cgi-bin/visit", check=False).returncode == 0, "the application")
    return made


class Application:
    """The application as its users on the internet have it: through the parent's ports."""

    def __init__(self, tunnel, docker):
        self.tunnel, self.docker = tunnel, docker
        self.outside = tunnel.topology.internet

    def redis(self, *words, check=True, version=4):
        """redis-cli on the internet."""
        return self.outside.run(["redis-cli", "-h", PARENT[version], "-p", DATABASE, *words],
                                check=check)

    def get(self, path, check=True, version=4):
        host = f"[{PARENT[version]}]" if version == 6 else PARENT[version]
        return self.outside.run(["curl", "-sS", "--fail", "--max-time", "60",
                                 f"http://{host}/{path}"], check=check)

    def visit(self, version=4):
        """The number of this visit, and who the application thinks came."""
        return re.fullmatch(r"visit (\d+) of (\S+)\n",
                            self.get("cgi-bin/visit", version=version)).groups()


class Customer:
    """Counts in the database over one connection, from the internet, until told to stop. Every answer
    is checked against the number of the question, so a row that is lost or doubled shows."""

    def __init__(self, application, version):
        self.key = f"customer{version}"
        self.done, self._stop = 0, False
        self._stream = application.outside.connect(version, PARENT[version], DATABASE, patience=120)
        self._worker = Background(self._run)

    def _run(self):
        with self._stream, self._stream.makefile("rb") as answers:
            while not self._stop:
                self._stream.sendall(b"INCR %s\r\n" % self.key.encode())
                assert answers.readline() == b":%d\r\n" % (self.done + 1)
                self.done += 1

    def progress(self, rows=20):
        goal = self.done + rows
        wait_for(lambda: self.done >= goal, f"more rows than {self.done}", patience=90)

    def finish(self):
        self._stop = True
        self._worker.result()
        return self.done


def test_application_and_database(application, version):
    """Visitors see the count go up, and the application their own addresses; the database, whose
    name is Docker's business, is one network away from it."""
    first, visitor = application.visit(version)
    assert visitor.strip("[]").removeprefix("::ffff:") == INTERNET[version]
    for expected in range(int(first) + 1, int(first) + 6):
        assert application.visit(version)[0] == str(expected)
    assert int(application.redis("get", "visits", version=version)) == int(first) + 5


def test_database_sees_its_client(application, version):
    with application.outside.connect(version, PARENT[version], DATABASE) as stream:
        stream.sendall(b"CLIENT INFO\r\n")
        told = stream.recv(4096).decode()
    assert re.search(r" addr=\[?([^ \]]+)\]?:\d+ ", told).group(1) == INTERNET[version]


def test_large_values(application, tmp_path):
    """Eight megabytes into the database from the internet, and out again."""
    value = os.urandom(4 << 20).hex()
    (tmp_path / "value").write_text(value)
    with open(tmp_path / "value", "rb") as file:
        application.outside.run(["redis-cli", "-h", PARENT[4], "-p", DATABASE, "-x", "set", "large"],
                                stdin=file)
    assert application.redis("get", "large").strip() == value
    application.redis("del", "large")


@pytest.mark.daemons
@pytest.mark.parametrize("victim", ["enclave", "parent", "dockerd"])
def test_daemon_killed_in_use(application, tunnel, docker, victim):
    """Customers' connections to the database go on, with no row lost and none doubled; then the
    application is there for new ones."""
    application.redis("del", "customer4", "customer6")
    customers = [Customer(application, version) for version in (4, 6)]
    for customer in customers:
        customer.progress()
    if victim == "dockerd":
        docker.kill()
        docker.start()
    else:
        daemon = tunnel.parent if victim == "parent" else tunnel.enclave.daemon
        daemon.kill()
        daemon.start()
    for customer in customers:
        customer.progress()
    for customer in customers:
        assert customer.finish() == int(application.redis("get", customer.key))
    assert int(application.visit()[0]) + 1 == int(application.visit(6)[0])


def test_data_survives_the_container(application, docker):
    """The database's container is replaced; its volume, its name and its port stay."""
    application.redis("set", "rows", "17")
    visits = int(application.visit()[0])
    docker.docker("restart", "db")
    wait_for(lambda: application.redis("ping", check=False).stdout == "PONG\n", "the database")
    assert application.redis("get", "rows") == "17\n"
    assert int(application.visit()[0]) == visits + 1
