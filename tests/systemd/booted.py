# SPDX-License-Identifier: Apache-2.0
"""A Debian with systemd as PID 1, in a container of systemd-nspawn: a host as its owner has it.

Its network is a namespace of tests/netns, so the clients and servers there reach it; its disk is an
overlay in memory over a root file system that is never written to. Nothing of it is known to the
machine's own systemd, and it ends with the process that booted it.
"""
import os
import signal
import subprocess

from netns import PATIENCE, wait_for

# A mount namespace of its own holds the overlay, and the directory that nspawn keeps its state in.
# The last line replaces the shell: the process that was started is nspawn.
BOOT = """
set -e
root=$1 work=$2 name=$3
shift 3
mkdir -p /run/systemd
mount -t tmpfs none /run/systemd
mount -t tmpfs none "$work"
mkdir "$work/upper" "$work/work" "$work/root"
mount -t overlay none -o "lowerdir=$root,upperdir=$work/upper,workdir=$work/work" "$work/root"
rm -f "$work/root/etc/resolv.conf"
echo nameserver 192.0.2.53 >"$work/root/etc/resolv.conf"
exec setpriv --pdeathsig KILL systemd-nspawn --quiet --boot --directory="$work/root" --machine="$name" \
    --register=no --keep-unit --console=pipe --capability=all --resolv-conf=off --timezone=off \
    --link-journal=no "$@"
"""
# Without these /proc/sys/net is read-only, there are two trees of cgroups, and nspawn forbids bpf().
ENVIRONMENT = {"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1", "SYSTEMD_SECCOMP": "0",
               "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network"}
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Refused(AssertionError):
    """A command in the machine failed; done has its output."""

    def __init__(self, command, done):
        super().__init__(f"{' '.join(map(str, command))}: status {done.returncode}\n"
                         f"{done.stdout}{done.stderr}")
        self.done = done


class Machine:
    """One booted system. binds: host directory -> place in the machine."""

    def __init__(self, root, namespace, directory, binds=()):
        self.namespace, self.directory = namespace, directory
        self.console = directory / "console"
        work = directory / "disk"
        work.mkdir()
        arguments = [f"--network-namespace-path={namespace.path}"]
        arguments += [f"--bind={here}:{there}" for here, there in dict(binds).items()]
        with open(self.console, "wb") as console:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "--propagation", "private", "sh", "-c", BOOT, "sh",
                 str(root), str(work), namespace.name, *arguments],
                stdin=subprocess.DEVNULL, stdout=console, stderr=console,
                env={**os.environ, **ENVIRONMENT})
        try:
            wait_for(self._is_up, "systemd to have started everything", PATIENCE * 4)
        except BaseException:
            self.stop()
            raise

    def _init(self):
        """The machine's PID 1, as seen from here, once it is systemd."""
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as children:
            for pid in children.read().split():
                with open(f"/proc/{pid}/comm") as comm:
                    if comm.read() == "systemd\n":
                        return pid
        return None

    def _is_up(self):
        assert self.process.poll() is None, self.console.read_text(errors="replace")
        if self._init() is None:
            return False
        state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
        assert state != "degraded", self.run("systemctl", "--failed", check=False).stdout
        return state == "running"

    # ---- commands

    def command(self, *words):
        return ["nsenter", "--target", self._init(), "--mount", "--uts", "--ipc", "--net", "--pid",
                "--cgroup", "--root", "--wd", "env", "-i", f"PATH={PATH}", "LANG=C.UTF-8",
                "HOME=/root", "DEBIAN_FRONTEND=noninteractive", *map(str, words)]

    def run(self, *words, check=True, text=None, patience=PATIENCE * 4):
        done = subprocess.run(self.command(*words), input=text, capture_output=True, text=True,
                              check=False, timeout=patience)
        if check and done.returncode != 0:
            raise Refused(words, done)
        return done

    def sh(self, script, check=True, **options):
        """A shell's script; returns its standard output."""
        done = self.run("bash", "-e", "-c", script, check=check, **options)
        return done.stdout if check else done

    def write(self, path, text):
        self.run("sh", "-c", 'mkdir -p "$(dirname "$1")" && cat >"$1"', "sh", path, text=text)

    # ---- units

    def show(self, unit, *properties):
        """Properties of a unit: a dict."""
        listing = self.run("systemctl", "show", unit, *(f"--property={name}" for name in properties))
        return dict(line.split("=", 1) for line in listing.stdout.splitlines() if "=" in line)

    def main_pid(self, unit):
        """The unit's main process, as the machine counts; 0: none."""
        return int(self.show(unit, "MainPID")["MainPID"])

    def is_active(self, unit):
        return self.show(unit, "ActiveState")["ActiveState"] == "active"

    def wait_active(self, unit):
        wait_for(lambda: self.is_active(unit), f"{unit} to be active")

    def wait_restarted(self, unit, old):
        """Waits until another process than `old` is up and ready."""
        wait_for(lambda: self.main_pid(unit) not in (0, old) and self.is_active(unit),
                 f"{unit} to come back")

    def drop_in(self, unit, text, name="test"):
        self.write(f"/etc/systemd/system/{unit}.service.d/{name}.conf", text)
        self.run("systemctl", "daemon-reload")

    def remove_drop_in(self, unit):
        self.run("rm", "-r", f"/etc/systemd/system/{unit}.service.d")
        self.run("systemctl", "daemon-reload")

    def journal(self, unit, *arguments):
        return self.run("journalctl", "--no-pager", "--output=cat", f"--unit={unit}",
                        *arguments).stdout

    # ---- the end

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)  # its child ends with it
        self.process.wait(PATIENCE)
