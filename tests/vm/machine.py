# SPDX-License-Identifier: Apache-2.0
"""A QEMU guest in software emulation: serial lines, at most a vsock device, no network card, no
disk.

  console (ttyS0)   what the kernel and the tests print
  reports (ttyS1)   one JSON object a line, read while the guest runs (not on every board)
"""
import json
import subprocess
import threading
import time
from pathlib import Path
from typing import NamedTuple

QEMU = "qemu-system-x86_64"
# One thread for all processors of the guest. With a thread each, QEMU 7.2 was seen to run a guest
# processor for minutes over the breakpoint that Linux sets while it patches a jump label, in a
# translation that should have been gone: a soft lockup that no real machine has.
ACCELERATOR = "tcg,thread=single"
# A kernel that hangs or faults says where (loglevel 5: warnings, and the stacks in them) and ends.
COMMAND_LINE = ("console=ttyS0 loglevel=5 panic=-1 reboot=t oops=panic softlockup_panic=1 "
                "softlockup_all_cpu_backtrace=1 hung_task_panic=1")
# QEMU shares the guest's memory with the vsock switch.
MEMORY = ["-object", "memory-backend-memfd,id=memory,size={memory},share=on"]
MEMORY_OPTION = ",memory-backend=memory"


class Board(NamedTuple):
    """A kind of machine."""
    machine: str             # -M; {id} is the enclave's name
    vsock: tuple = ()        # arguments for a vsock device that is plugged into the switch
    shares_memory: bool = False  # the machine makes its memory shareable by itself
    is_image: bool = False   # kernel, command line and initramfs are one file
    options: tuple = ()
    has_reports: bool = True
    qemu: str = QEMU

    def arguments(self, memory, kernel, initramfs, command_line, socket):
        machine, arguments = self.machine, []
        if socket:
            if not self.shares_memory:
                machine += MEMORY_OPTION
                arguments += [word.format(memory=memory) for word in MEMORY]
            arguments += ["-chardev", f"socket,id=vsock,path={socket}", *self.vsock]
        if self.is_image:
            arguments += ["-kernel", str(kernel)]
        else:
            arguments += ["-kernel", str(kernel), "-initrd", str(initramfs),
                          "-append", command_line]
        return [self.qemu, "-M", machine, *self.options, *arguments]


Q35 = Board("q35", ("-device", "vhost-user-vsock-pci,chardev=vsock"))
# Firecracker's kind of machine, which a Nitro enclave is: no PCI, devices are memory-mapped, one
# serial line. The kernel is told of the devices on its command line. Debian's would find them in
# ACPI's tables only, and with ACPI no kernel gets past the calibration of its clocks here.
MICROVM_WITHOUT_ACPI = Board("microvm,acpi=off",
                             ("-device", "vhost-user-vsock-device,chardev=vsock"),
                             has_reports=False)


class Machine:
    def __init__(self, board, kernel, initramfs, directory, name="guest", memory="1536M",
                 processors=2, socket=None, command_line=COMMAND_LINE):
        self.name = name
        self.console_path = Path(directory) / f"{name}.console"
        self.messages = []
        self.complaints = ""
        command = [*board.arguments(memory, kernel, initramfs, command_line, socket),
                   "-accel", ACCELERATOR, "-cpu", "max", "-smp", str(processors), "-m", memory,
                   "-display", "none", "-nodefaults", "-no-reboot",
                   "-chardev", f"file,id=console,path={self.console_path}",
                   "-serial", "chardev:console"]
        if board.has_reports:
            command += ["-chardev", "stdio,id=reports,signal=off", "-serial", "chardev:reports"]
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
