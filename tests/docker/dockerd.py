# SPDX-License-Identifier: Apache-2.0
"""A real dockerd in a network namespace, and its containers as places for traffic.

  test process
    `- unshare (network namespace of the enclave; new mount and PID namespaces)
         `- docker-init, PID 1 in there: reaps, and ends when its child ends
              |- cat, reading from a pipe that the test process holds
              `- dockerd -> containerd -> shims -> containers

The pipe is the life line. When the test process closes it, or dies, cat ends, PID 1 ends, and the
kernel ends everything in the PID namespace; the mounts (overlays, network namespaces) go with the
mount namespace. What is left is a directory and empty cgroups, which sweep() finds by the process
number in their names.

dockerd itself can be killed and started again in there, while its containers live on.
"""
import atexit
import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from netns import Namespace, wait_for
from system import ROOT

CLIENT = "/usr/bin/docker"  # Debian's, whatever else the machine has
PROGRAMS = ("/usr/sbin/dockerd", "/usr/bin/docker-init", CLIENT, "/bin/busybox")
IMAGE = "busybox:test"
PREFIX = "cwdocker"
IP6TABLES_LEGACY = ROOT / "enclave" / "docker" / "ip6tables"

# The daemon.json that operators are offered; tests change what they must.
EXAMPLE = json.loads((ROOT / "enclave" / "docker" / "daemon.json").read_text())
BRIDGE = {4: "172.17.0.0/16", 6: EXAMPLE["fixed-cidr-v6"]}
BRIDGE_GATEWAY = {4: EXAMPLE["bip"].split("/")[0], 6: "fd00:d0c::1"}
POOL = {4: EXAMPLE["default-address-pools"][0]["base"], 6: "fd00:d0c:1::/48"}

_count = 0
_running = []


def missing():
    """What of Docker this machine lacks, as a reason to skip; or nothing."""
    absent = [program for program in PROGRAMS if not os.path.exists(program)]
    return f"not installed: {', '.join(absent)}" if absent else ""


def _remove_cgroups(name):
    for top in Path("/sys/fs/cgroup").glob(f"**/{name}") if Path("/sys/fs/cgroup").is_dir() else ():
        for folder, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(folder)


def sweep():
    """Removes what test runs left that were killed: their processes are gone with their pipes."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}-*"):
        owner = path.name.split("-")[1]
        if not os.path.exists(f"/proc/{owner}"):
            _remove_cgroups("-".join(path.name.split("-")[:3]))
            shutil.rmtree(path, ignore_errors=True)


@atexit.register
def _close_all():
    while _running:
        _running[-1].close()


class Docker:
    """dockerd with an image, up and answering. options go into its daemon.json; None takes out.
    prepare is called with that file's path before dockerd reads it."""

    def __init__(self, namespace, backend, prepare=None, **options):
        global _count  # pylint: disable=global-statement
        _count += 1
        self.namespace = namespace
        self.name = f"{PREFIX}-{os.getpid()}-{_count}"
        self.directory = Path(tempfile.mkdtemp(prefix=self.name + "-"))
        self.log_path = self.directory / "log"
        self.socket = self.directory / "docker.sock"
        self._had_run = os.path.isdir("/run/docker")
        self._holder = self._dockerd = None
        _running.append(self)
        try:
            self._write_config(options)
            if prepare:
                prepare(self.directory / "daemon.json")
            self._link_firewall(backend)
            self._hold()
            self.start()
            self._import_image()
        except BaseException:
            self.close()
            raise

    # ---- making

    def _write_config(self, options):
        config = {
            **EXAMPLE,
            "data-root": str(self.directory / "data"),
            "exec-root": str(self.directory / "exec"),
            "pidfile": str(self.directory / "pid"),
            "hosts": [f"unix://{self.socket}"],
            "deprecated-key-path": str(self.directory / "key.json"),
            "exec-opts": ["native.cgroupdriver=cgroupfs"],
            "cgroup-parent": f"/{self.name}",
            **options,
        }
        config = {key: value for key, value in config.items() if value is not None}
        (self.directory / "daemon.json").write_text(json.dumps(config, indent=2))

    def _link_firewall(self, backend):
        """dockerd takes the `iptables` that its PATH finds first. ip6tables-legacy's -C is wrong in
        Debian 12, so that form uses the wrapper that operators are offered."""
        folder = self.directory / "bin"
        folder.mkdir()
        (folder / "iptables").symlink_to(f"/usr/sbin/iptables-{backend}")
        if backend == "legacy":
            shutil.copy(IP6TABLES_LEGACY, folder)
        else:
            (folder / "ip6tables").symlink_to(f"/usr/sbin/ip6tables-{backend}")

    def _hold(self):
        """Makes the mount and PID namespaces and PID 1 in them."""
        self._holder = self.namespace.popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
             "docker-init", "-s", "--", "cat"],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        children = Path(f"/proc/{self._holder.pid}/task/{self._holder.pid}/children")
        self.init = int(wait_for(lambda: children.read_text().strip(), "PID 1 of the containers"))
        # Its child is the sign that /proc is mounted.
        wait_for(Path(f"/proc/{self.init}/task/{self.init}/children").read_text, "PID 1 to be ready")

    def _inside(self, *command):
        return ["nsenter", "--target", str(self.init), "--net", "--mount", "--pid", "--", *command]

    def _import_image(self):
        root = self.directory / "rootfs"
        for folder in ("bin", "etc", "tmp", "proc", "sys", "dev"):
            (root / folder).mkdir(parents=True)
        shutil.copy("/bin/busybox", root / "bin")
        for applet in subprocess.run(["/bin/busybox", "--list"], check=True, text=True,
                                     stdout=subprocess.PIPE).stdout.split():
            if applet != "busybox":
                (root / "bin" / applet).symlink_to("busybox")
        archive = self.directory / "image.tar"
        subprocess.run(["tar", "-C", root, "-cf", archive, "."], check=True)
        self.docker("import", "--change", "ENV PATH=/bin", archive, IMAGE)

    # ---- life

    def start(self):
        environment = dict(os.environ, PATH=f"{self.directory / 'bin'}:{os.environ['PATH']}")
        with open(self.log_path, "ab") as log:
            self._dockerd = subprocess.Popen(
                self._inside("dockerd", "--config-file", str(self.directory / "daemon.json")),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        wait_for(self._answers, "dockerd to answer")

    def _answers(self):
        assert self._dockerd.poll() is None, f"dockerd ended\n{self.log()[-3000:]}"
        # _ping answers before the daemon has restored its containers; ps does not.
        return self.socket.exists() and self.docker("ps", check=False).returncode == 0

    def _signal(self, name):
        """To dockerd by its number in there: the one out here is nsenter's."""
        number = (self.directory / "pid").read_text()
        subprocess.run(self._inside("kill", f"-{name}", number), check=True)
        self._dockerd.wait(60)

    def stop(self):
        """SIGTERM; with live-restore the containers go on."""
        self._signal("TERM")

    def kill(self):
        """SIGKILL, and away with what then keeps a new one from starting."""
        self._signal("KILL")
        for leftover in ("pid", "exec/containerd/containerd.pid", "docker.sock"):
            (self.directory / leftover).unlink(missing_ok=True)

    def close(self):
        """Ends everything, whatever state it is in."""
        if self in _running:
            _running.remove(self)
        if self._holder is not None:
            self._holder.stdin.close()
            try:
                self._holder.wait(30)
            except subprocess.TimeoutExpired:
                self._holder.kill()  # its child goes with it: --kill-child
                self._holder.wait()
        if self._dockerd is not None:
            self._dockerd.wait(30)
        _remove_cgroups(self.name)
        shutil.rmtree(self.directory, ignore_errors=True)
        if not self._had_run:
            for folder in ("/run/docker/plugins", "/run/docker"):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    # ---- use

    def docker(self, *arguments, check=True, patience=120):
        """Runs the client; its output, or with check=False the finished process."""
        done = subprocess.run(
            [CLIENT, "--host", f"unix://{self.socket}", "--config", str(self.directory / "client"),
             *map(str, arguments)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=patience, check=False)
        if check and done.returncode != 0:
            raise AssertionError(f"docker {' '.join(map(str, arguments))}: status "
                                 f"{done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout.strip() if check else done

    def box(self, name, *options, publish=()):
        """A container that stays until it is removed."""
        for rule in publish:
            options += ("-p", rule)
        self.docker("run", "--detach", "--name", name, *options, IMAGE, "sleep", "1000000")
        return Box(self, name)

    def network(self, name, *options, version6=None):
        """A user-defined network; version6 is its IPv6 subnet."""
        if version6:
            options += ("--ipv6", "--subnet", version6)
        self.docker("network", "create", *options, name)
        return name


class Box(Namespace):
    """A running container: its network namespace for sockets, exec() for programs of its own.

    The tests' own sockets enter the container's network namespace alone; all that Docker did to
    the network applies to them, its resolver at 127.0.0.11 included."""

    def __init__(self, docker, name):
        super().__init__(name)
        self.docker = docker
        pid = docker.docker("inspect", "--format", "{{.State.Pid}}", name)
        self.path = f"/proc/{docker.init}/root/proc/{pid}/ns/net"

    def make(self):
        raise NotImplementedError("Docker makes it")

    def remove(self):
        self.docker.docker("rm", "--force", self.name)

    def exec(self, *command, check=True, patience=300):
        """Runs a program of the container's image in the container."""
        return self.docker.docker("exec", self.name, *command, check=check, patience=patience)

    def shell(self, line, patience=300):
        return self.exec("sh", "-c", line, patience=patience)

    def address(self, version):
        device = next(name for name in self.links() if re.match(r"eth\d", name))
        return self.addresses(device, version)[0]
