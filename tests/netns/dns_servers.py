# SPDX-License-Identifier: Apache-2.0
"""A scripted upstream: a DNS server over TCP whose every answer is a test's own decision.

What it answers is a function of the query, which returns what happens next:

  bytes            this answer
  [bytes, ...]     these answers, one after the other
  HOLD             nothing, until the test calls release() with a function for what was held
  RESET            the connection is reset
  Last(bytes)      this answer, then the connection is closed, whatever else was asked over it

zone() makes such a function for well-behaved answers.
"""
import ipaddress
import socket
import struct
import threading

import dns_wire as wire
from netns import wait_for

HOLD, RESET = object(), object()


class Last(bytes):
    """An answer behind which the server hangs up."""


def address_record(text, ttl=300, owner=None):
    address = ipaddress.ip_address(text)
    return wire.record(owner, wire.A if address.version == 4 else wire.AAAA, ttl, address.packed)


def zone(names, ttl=300, minimum=60):
    """Answers from {"name": ["192.0.2.1", "2001:db8::1", ...]}; other names do not exist."""
    def answer(data):
        asked = wire.Message(data)
        addresses = names.get(asked.name.lower().rstrip("."))
        authority = [wire.soa("example", ttl, minimum)]
        if addresses is None:
            return wire.response(data, authority=authority, rcode=wire.NXDOMAIN)
        found = [address_record(text, ttl) for text in addresses
                 if (":" in text) == (asked.kind == wire.AAAA)]
        if asked.kind not in (wire.A, wire.AAAA) or not found:
            return wire.response(data, authority=authority)
        return wire.response(data, found)
    return answer


class Upstream:
    """Listens in a namespace; queries are kept in the order they came, as bytes."""

    def __init__(self, namespace, answer, address="127.0.0.2", port=5300, unix=None):
        self.answer = answer
        self.queries = []
        self.held = []  # (connection, query)
        self.connections = []
        if unix:
            self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.listener.bind(unix)
            self.listener.listen(16)
            self.url = f"unix:{unix}"
        else:
            self.listener = namespace.listen(6 if ":" in address else 4, port, address)
            self.url = f"tcp://[{address}]:{port}" if ":" in address else f"tcp://{address}:{port}"
        self.listener.settimeout(None)
        self.lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                made, _ = self.listener.accept()
            except OSError:
                return
            self.connections.append(made)
            threading.Thread(target=self._serve, args=(made,), daemon=True).start()

    def _serve(self, stream):
        buffer = b""
        while True:
            try:
                got = stream.recv(65536)
            except OSError:
                return
            if not got:
                return
            buffer += got
            while len(buffer) >= 2 and len(buffer) >= 2 + struct.unpack_from("!H", buffer)[0]:
                length = struct.unpack_from("!H", buffer)[0]
                if not self._take(stream, buffer[2:2 + length]):
                    return
                buffer = buffer[2 + length:]

    def _take(self, stream, data):
        """False: the connection is closed now."""
        with self.lock:
            self.queries.append(data)
            what = self.answer(data)
            if what is HOLD:
                self.held.append((stream, data))
            elif what is RESET:
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                stream.close()
            else:
                self.send(stream, what)
                if isinstance(what, Last):
                    stream.close()
        return what is not RESET and not isinstance(what, Last)

    @staticmethod
    def send(stream, what):
        for data in what if isinstance(what, list) else [what]:
            stream.sendall(struct.pack("!H", len(data)) + data)

    def release(self, answer):
        """Answers what was held."""
        with self.lock:
            held, self.held = self.held, []
            for stream, data in held:
                try:
                    self.send(stream, answer(data))
                except OSError:
                    pass  # who asked has hung up, which a server has to live with

    def wait_held(self, count):
        wait_for(lambda: len(self.held) >= count, f"{count} questions at the upstream")

    def asked(self, name=None):
        """The messages that came, for one name."""
        return [message for message in map(wire.Message, list(self.queries))
                if name is None or message.name.lower() == name.lower()]

    def close(self):
        for stream in [self.listener, *self.connections]:
            try:
                stream.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            stream.close()
