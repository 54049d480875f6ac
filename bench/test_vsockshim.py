#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""vsockshim carries every byte and sees every write; its rates are for the benchmark to show.

test_vsockshim.py PATH-OF-VSOCKSHIM        exit 77: not possible here, with the reason
"""

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

SHIM = sys.argv.pop(1) if len(sys.argv) > 1 else ""
PATIENCE_S = 60
WRITES = [1, 100, 1500, 65536, 48832, 3, 131072, 131073, 200000, 1500, 7]


class Shim:
    """A running shim, with a listener behind it."""

    def __init__(self, profile):
        self.directory = tempfile.mkdtemp(prefix="cwbench-shim-")
        self.front, self.back = (os.path.join(self.directory, n) for n in ("front", "back"))
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.back)
        self.listener.listen(16)
        self.listener.settimeout(PATIENCE_S)
        self.process = subprocess.Popen([SHIM, self.front, self.back, "--profile", profile],
                                        stderr=subprocess.PIPE, text=True)
        self.first = self.process.stderr.readline()

    def stream(self):
        near = socket.socket(socket.AF_UNIX)
        near.settimeout(PATIENCE_S)
        near.connect(self.front)
        far, _ = self.listener.accept()
        far.settimeout(PATIENCE_S)
        return near, far

    def counters(self):
        """{direction: (bytes, writes)}"""
        self.process.send_signal(signal.SIGUSR1)
        found = {}
        while len(found) < 2:
            line = self.process.stderr.readline()
            match = re.search(r"direction=(\w+) .*sent_bytes (\d+) sent_writes (\d+)", line)
            found[match[1]] = (int(match[2]), int(match[3]))
        return found

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()
        self.listener.close()
        shutil.rmtree(self.directory)


def receive_all(sock):
    parts = []
    while part := sock.recv(1 << 18):
        parts.append(part)
    return b"".join(parts)


def sent_through(writer, reader, sizes):
    """Sends writes of these sizes and ends the stream; (what was sent, what arrived)."""
    data = [random.Random(i).randbytes(n) for i, n in enumerate(sizes)]

    def send():
        for piece in data:
            writer.sendall(piece)
        writer.shutdown(socket.SHUT_WR)
    sender = threading.Thread(target=send)
    sender.start()
    received = receive_all(reader)
    sender.join()
    return b"".join(data), received


class Carries(unittest.TestCase):
    def setUp(self):
        self.shim = Shim(self.profile)
        self.addCleanup(self.shim.close)

    profile = "c6i.2xlarge"

    def stream(self):
        ends = self.shim.stream()
        for end in ends:
            self.addCleanup(end.close)
        return ends

    def test_bytes_and_writes_both_ways(self):
        """The sender runs far ahead of the link, so writes pile up and are still told apart."""
        near, far = self.stream()
        sizes = WRITES * 20
        for writer, reader, direction in ((near, far, "up"), (far, near, "down")):
            sent, received = sent_through(writer, reader, sizes)
            self.assertEqual(sent, received)
            self.assertEqual(self.shim.counters()[direction][0], len(sent))
            # one write is a multiple of the kernel's buffer, so that the next seems part of it
            self.assertIn(len(sizes) - self.shim.counters()[direction][1],
                          (0, WRITES.count(48832) * 20))

    def test_small_writes_in_a_row(self):
        near, far = self.stream()
        sent, received = sent_through(near, far, [1500] * 2000)
        self.assertEqual(sent, received)
        self.assertEqual(self.shim.counters()["up"], (3000000, 2000))

    def test_streams_are_apart(self):
        streams = [self.stream() for _ in range(8)]
        for number, (near, far) in enumerate(streams):
            near.sendall(b"%d" % number)
            far.sendall(b"-%d" % number)
        for number, (near, far) in enumerate(streams):
            self.assertEqual((far.recv(9), near.recv(9)), (b"%d" % number, b"-%d" % number))

    def test_half_closed(self):
        near, far = self.stream()
        near.sendall(b"question")
        near.shutdown(socket.SHUT_WR)
        self.assertEqual(receive_all(far), b"question")
        far.sendall(b"answer")
        far.close()
        self.assertEqual(receive_all(near), b"answer")

    def test_nobody_listens(self):
        self.shim.listener.close()
        near = socket.socket(socket.AF_UNIX)
        self.addCleanup(near.close)
        near.settimeout(PATIENCE_S)
        near.connect(self.shim.front)
        self.assertEqual(near.recv(1), b"")

    def test_a_reader_that_goes(self):
        """ends the stream, not the shim."""
        near, far = self.stream()
        far.close()
        with self.assertRaises((BrokenPipeError, ConnectionResetError)):
            for _ in range(1000000):
                near.sendall(b"x" * 65536)
        again = self.stream()
        again[0].sendall(b"y")
        self.assertEqual(again[1].recv(1), b"y")


class CarriesAtOnce(Carries):
    profile = "none"


if __name__ == "__main__":
    if not os.access(SHIM, os.X_OK):
        sys.exit(__doc__)
    trial = Shim("none")
    trial.close()
    if "ready" not in trial.first:
        print("skipped:", trial.first)
        sys.exit(77)
    unittest.main()
