# SPDX-License-Identifier: Apache-2.0
"""A QEMU guest in software emulation: two serial lines, no network card, no disk.

  console (ttyS0)   what the kernel and the tests print
  reports (ttyS1)   one JSON object a line, read while the guest runs
"""
import json
import subprocess
import threading
import time
from pathlib import Path

QEMU = "qemu-system-x86_64"
# One thread for all processors of the guest. With a thread each, QEMU 7.2 was seen to run a guest
# processor for minutes over the breakpoint that Linux sets while it patches a jump label, in a
# translation that should have been gone: a soft lockup that no real machine has.
ACCELERATOR = "tcg,thread=single"
# A kernel that hangs or faults says where (loglevel 5: warnings, and the stacks in them) and ends.
COMMAND_LINE = ("console=ttyS0 loglevel=5 panic=-1 reboot=t oops=panic softlockup_panic=1 "
                "softlockup_all_cpu_backtrace=1 hung_task_panic=1")


class Machine:
    def __init__(self, kernel, initramfs, directory, memory="1536M", processors=2, arguments=()):
        self.directory = Path(directory)
        self.console_path = self.directory / "console"
        self.messages = []
        self.complaints = ""
        command = [QEMU, "-M", "q35", "-accel", ACCELERATOR, "-cpu", "max",
                   "-smp", str(processors), "-m", memory, "-display", "none", "-nodefaults",
                   "-no-reboot", "-kernel", str(kernel), "-initrd", str(initramfs),
                   "-append", COMMAND_LINE,
                   "-chardev", f"file,id=console,path={self.console_path}",
                   "-serial", "chardev:console",
                   "-chardev", "stdio,id=reports,signal=off", "-serial", "chardev:reports",
                   *arguments]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        errors="replace")
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            try:
                self.messages.append(json.loads(line))
            except json.JSONDecodeError:
                self.messages.append({"noise": line})

    def wait(self, patience):
        """Waits until the guest says that it is done, or has ended; False: it did not."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if self.said("done"):
                return True
            try:
                self.process.wait(0.1)
                self._reader.join(10)
                return self.said("done")
            except subprocess.TimeoutExpired:
                pass
        return False

    def said(self, word):
        return any(word in message for message in self.messages)

    def console(self):
        if not self.console_path.exists():
            return ""
        return self.console_path.read_text(errors="replace").replace("\r", "")

    def end(self):
        """Ends the guest."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.complaints = self.process.stderr.read().strip()
