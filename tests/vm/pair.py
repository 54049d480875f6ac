# SPDX-License-Identifier: Apache-2.0
"""Two guests with vsock addresses of their own, as on a Nitro host: the parent has CID 3, the
enclave 16, and nothing else joins them.

    QEMU: parent, CID 3                      QEMU: enclave, CID 16
      pytest, causeway-parent,                 agent.py, causeway-enclave,
      "internet" in namespaces                 "containers" in namespaces
          |  vhost-user-vsock                      |  vhost-user-vsock
          +------------- vsock_switch -------------+        (tests/vm/switch)

The same tests (inside/test_pair.py) run whatever kernel and machine the enclave has.
"""
import contextlib
import subprocess
import tempfile
import time
from typing import NamedTuple

import image
from checks import BUILD, Run, remove_images
from machine import COMMAND_LINE, Q35, Board, Machine

PARENT_CID, ENCLAVE_CID = 3, 16
TRANSPORT = ("virtio_pci", "virtio_mmio", "vmw_vsock_virtio_transport")
SWITCH = BUILD / "tests/vm/switch/vsock_switch"
PROGRAMS = ("dig",)  # in the enclave
PATIENCE = 900  # seconds until both must have ended; never a measurement


def selection(forms, is_image=False):
    """What runs in the parent guest. Only an enclave image has a heartbeat."""
    tests = f"{image.TESTS}/test_pair.py"
    without = [] if is_image else [f"--deselect={tests}::test_heartbeat"]
    return [f"--forms={forms}", *without, tests]


class Enclave(NamedTuple):
    """How the enclave guest is made."""
    board: Board
    kernel: object               # image, add_modules()
    memory: str = "768M"
    command_line: str = COMMAND_LINE
    environment: dict = {}       # of the agent
    additions: tuple = ()        # image.Content
    pack: object = None          # (kernel, command line, initramfs, path): makes a bootable image


@contextlib.contextmanager
def switched(directory):
    """The switch, and each guest's socket."""
    sockets = {cid: directory / f"{cid}.socket" for cid in (PARENT_CID, ENCLAVE_CID)}
    arguments = [word for cid, path in sockets.items() for word in ("--guest", f"{cid}={path}")]
    log = directory / "switch.log"
    with open(log, "wb") as out:
        process = subprocess.Popen([SWITCH, *arguments], stdin=subprocess.DEVNULL, stdout=out,
                                   stderr=out)
    try:
        deadline = time.monotonic() + 30
        while "ready" not in log.read_text():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the switch did not start: {log.read_text()}")
            time.sleep(0.01)
        yield sockets, log
    finally:
        process.terminate()
        process.wait(30)


def run(directory, parent_kernel, enclave, tests):
    """Starts both guests and waits for the end of the parent's tests (arguments of pytest)."""
    images = [directory / name for name in ("parent.initramfs", "enclave.initramfs", "enclave.eif")]
    agent = image.Content(["/usr/bin/python3", "-m", "agent"], TRANSPORT, enclave.environment,
                          programs=PROGRAMS, additions=enclave.additions)
    try:
        with tempfile.TemporaryDirectory() as staged:
            image.stage(staged)
            image.make(images[0], parent_kernel, BUILD, staged,
                       image.pytest_content(TRANSPORT, tests))
            image.make(images[1], enclave.kernel, BUILD, staged, agent)
        boot = enclave.kernel.image
        if enclave.pack:
            boot = images[2]
            enclave.pack(enclave.kernel.image, enclave.command_line, images[1], boot)
        return _run(directory, parent_kernel, enclave, boot, images)
    finally:
        remove_images(*images)


def _run(directory, parent_kernel, enclave, boot, images):
    with switched(directory) as (sockets, log), contextlib.ExitStack() as cleaning:
        machines = [Machine(Q35, parent_kernel.image, images[0], directory, "parent", processors=1,
                            socket=sockets[PARENT_CID])]
        cleaning.callback(machines[0].end)
        machines.append(Machine(enclave.board, boot, images[1], directory, "enclave",
                                enclave.memory, 1, sockets[ENCLAVE_CID], enclave.command_line))
        cleaning.callback(machines[1].end)
        machines[0].wait(PATIENCE)
    return Run(machines, notes=log.read_text())
