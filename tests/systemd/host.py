# SPDX-License-Identifier: Apache-2.0
"""Two booted systems joined by a Unix stream: a parent, and an enclave that has no other link."""
import base64
import contextlib
import os
from pathlib import Path

from booted import Machine
from made import made
from netns import differences, snapshot, wait_for
from system import Enclave
from topology import Topology
from traffic import Background, SlowSender, progress, receive_all
from traffic import Path as Way

LINK = "unix:/run/guest/v.sock_5000"
PARENT_CONF = f"""
enclave = {LINK},name=web
publish = web=7000-7099:7000-7099/tcp
allow = 203.0.113.0/24
"""
ENCLAVE_CONF = f"link = {LINK}\n"


def packages():
    """The Debian packages: name -> file. Symbols for debuggers are not among them."""
    return {path.name.split("_")[0]: path for path in made("deb").glob("*.deb")
            if "dbgsym" not in path.name}


def shared_directory(factory):
    """A directory with room for one of each machine, and one that both have as /run/guest."""
    directory = factory.mktemp("systemd")
    for name in ("parent", "enclave", "guest"):
        (directory / name).mkdir()
    os.chmod(directory / "guest", 0o755)
    return directory


def copy_in(machine, files):
    """Copies files to /root/packages of the machine and returns their names there."""
    names = []
    for file in files:
        names.append(f"/root/packages/{Path(file).name}")
        machine.sh(f"mkdir -p /root/packages && base64 -d >{names[-1]}",
                   text=base64.b64encode(Path(file).read_bytes()).decode())
    return names


def install(machine, files):
    """What a user types: apt with the names of the files. There is no network to help."""
    return machine.run("apt-get", "install", "--yes", "--no-install-recommends",
                       *copy_in(machine, files))


# All files but those of the kernel, the package manager's and systemd's own books, and logs; of /etc
# with a checksum.
FILES = """
find / -xdev ! -path '/run/*' ! -path '/var/lib/dpkg*' ! -path '/var/lib/apt*' ! -path '/var/log/*' \
    ! -path '/var/cache/*' ! -path '/root/packages*' ! -path '/var/lib/systemd/*' ! -path '/tmp/*' \
    ! -path '/etc/*-' ! -name .pwd.lock ! -type d -printf '%p %M %u %g %l\\n'
find / -xdev -type d ! -path '/var/lib/dpkg*' ! -path '/root/packages*' ! -path '/tmp/*' \
    ! -path '/var/cache/*' ! -path '/var/lib/systemd/*' ! -path '/var/lib/apt*' -printf '%p %M %u %g\\n'
find /etc -type f ! -name '*-' ! -name .pwd.lock ! -name ld.so.cache -exec md5sum {} +
find /run -path '*causeway*' ! -path '*/journal/*'
"""


class Pair:
    """Quacks like a Tunnel for traffic.Path."""

    def __init__(self, root, directory):
        self.topology = Topology()
        self.enclave = Enclave(self.topology.enclave, 2)
        self.hosts, self.fresh, self._files, self._network = {}, {}, {}, {}
        try:
            for side in ("parent", "enclave"):
                self.hosts[side] = Machine(root, self._namespace(side), directory / side,
                                           {directory / "guest": "/run/guest"})
                # Somebody for the option "user".
                self.hosts[side].run("useradd", "--system", "--no-create-home", "probe")
                self._files[side] = self._list_files(side)
                self._network[side] = snapshot(self._namespace(side))
        except BaseException:
            self.stop()
            raise
        self.parent_host, self.enclave_host = self.hosts["parent"], self.hosts["enclave"]

    def _namespace(self, side):
        return getattr(self.topology, side)

    def _list_files(self, side):
        return set(self.hosts[side].sh(FILES).splitlines())

    def file_changes(self, side):
        return sorted(self._files[side] ^ self._list_files(side))

    def network_changes(self, side):
        return differences(self._network[side], snapshot(self._namespace(side)))

    def install(self, debs):
        for side, machine in self.hosts.items():
            unit = f"causeway-{side}"
            install(machine, [debs["causeway-common"], debs[unit]])
            self.fresh[side] = machine.show(unit, "ActiveState", "UnitFileState", "UnitFilePreset")

    def start(self, parent=PARENT_CONF, enclave=ENCLAVE_CONF):
        self.parent_host.write("/etc/causeway/parent.conf", parent)
        self.enclave_host.write("/etc/causeway/enclave.conf", enclave)
        self.parent_host.run("systemctl", "enable", "--now", "causeway-parent")
        self.enclave_host.run("systemctl", "enable", "--now", "causeway-enclave")
        self.wait_up()

    def wait_up(self):
        wait_for(lambda: self.enclave.namespace.addresses("cw0", 4), "the enclave's address")

    def connection(self, direction, version=4):
        return Way(self, direction, version).pair()

    def logs(self):
        return "\n".join(machine.run("journalctl", "--no-pager", "--output=short-monotonic",
                                     "--unit=causeway-*", check=False).stdout for machine in self.hosts.values())

    def stop(self):
        for machine in self.hosts.values():
            machine.stop()
        self.topology.remove()


@contextlib.contextmanager
def connections(pair):
    """One TCP connection each way that has to go on, whatever is done within; all must arrive."""
    senders, receivers = [], []
    for direction in ("out", "in"):
        client, server = pair.connection(direction)
        client.settimeout(90)
        server.settimeout(90)
        senders.append(SlowSender(client))
        receivers.append(Background(receive_all, server))
    for sender in senders:
        progress(sender)
    yield
    for sender in senders:
        progress(sender)
    sent = [sender.finish() for sender in senders]
    assert [receiver.result() for receiver in receivers] == sent


def sides(pair, side):
    """The machine and the unit of a side."""
    return pair.hosts[side], f"causeway-{side}"
