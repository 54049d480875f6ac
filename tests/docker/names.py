# SPDX-License-Identifier: Apache-2.0
"""A small DNS server and a server of large downloads, for the internet of the tests."""
import contextlib
import hashlib
import socket
import struct
import threading

from netns import wildcard
from traffic import MEGABYTE, receive_exactly

FAMILIES = {1: socket.AF_INET, 28: socket.AF_INET6}  # A, AAAA
TXT = 16
PLAIN_LIMIT = 512  # RFC 1035 4.2.1: a longer answer is cut short over UDP


class NameServer:
    """Answers A, AAAA and TXT from a table on UDP and TCP, in both families; remembers who asked.

    table: {name: [address or text as bytes, ...]}. asked: (name, transport, the asker's address)."""

    def __init__(self, namespace, table, port=53):
        self.table, self.asked = table, []
        self._sockets = []
        for version in (4, 6):
            server = namespace.socket(socket.AF_INET if version == 4 else socket.AF_INET6,
                                      socket.SOCK_DGRAM)
            if version == 6:
                server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            server.bind((wildcard(version), port))
            self._serve(server, self._datagrams)
            self._serve(namespace.listen(version, port), self._streams)

    def _serve(self, server, function):
        server.settimeout(None)
        self._sockets.append(server)
        threading.Thread(target=self._run, args=(function, server), daemon=True).start()

    @staticmethod
    def _run(function, server):
        with contextlib.suppress(OSError):  # closed
            function(server)

    def close(self):
        for server in self._sockets:
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            server.close()

    def _datagrams(self, server):
        while True:
            query, peer = server.recvfrom(4096)
            if peer is None:  # shut down
                return
            answer = self._answer(query, "udp", peer[0])
            if len(answer) > PLAIN_LIMIT:
                flags = struct.unpack_from("!H", answer, 2)[0] | 0x0200  # TC
                end = question(query)[2]
                answer = query[:2] + struct.pack("!HHHHH", flags, 1, 0, 0, 0) + query[12:end]
            server.sendto(answer, peer)

    def _streams(self, server):
        while True:
            stream, peer = server.accept()
            threading.Thread(target=self._stream, args=(stream, peer[0]), daemon=True).start()

    def _stream(self, stream, peer):
        with stream, contextlib.suppress(OSError, AssertionError):
            while True:
                query = receive_exactly(stream, *struct.unpack("!H", receive_exactly(stream, 2)))
                answer = self._answer(query, "tcp", peer)
                stream.sendall(struct.pack("!H", len(answer)) + answer)

    def _answer(self, query, transport, peer):
        name, kind, end = question(query)
        self.asked.append((name, transport, peer))
        known = self.table.get(name)
        found = [data for data in (rdata(entry, kind) for entry in known or ()) if data]
        code = 0 if known is not None else 3  # NXDOMAIN
        answer = query[:2] + struct.pack("!HHHHH", 0x8580 | code, 1, len(found), 0, 0)
        answer += query[12:end]
        for data in found:
            answer += struct.pack("!HHHIH", 0xc00c, kind, 1, 60, len(data)) + data
        return answer


def rdata(entry, kind):
    """A table's entry as a record of this type; or nothing."""
    if isinstance(entry, bytes):
        pieces = [entry[at:at + 255] for at in range(0, len(entry), 255)]
        return b"".join(bytes([len(piece)]) + piece for piece in pieces) if kind == TXT else None
    family = socket.AF_INET6 if ":" in entry else socket.AF_INET
    return socket.inet_pton(family, entry) if FAMILIES.get(kind) == family else None


def question(message):
    """Name, type and end of the one question of a query."""
    labels, position = [], 12
    while message[position]:
        length = message[position]
        labels.append(message[position + 1:position + 1 + length].decode())
        position += 1 + length
    kind, = struct.unpack_from("!H", message, position + 1)
    return ".".join(labels).lower(), kind, position + 5


def query(name, kind=1, number=0x1234):
    encoded = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!HHHHHH", number, 0x0100, 1, 0, 0, 0) + encoded + b"\0" + \
        struct.pack("!HH", kind, 1)


# ---- downloads


def blocks(count):
    """`count` different megabytes, the same every time."""
    return (number.to_bytes(8, "big") * (MEGABYTE // 8) for number in range(count))


def digest_of(count):
    digest = hashlib.sha256()
    for block in blocks(count):
        digest.update(block)
    return digest.hexdigest()


class DownloadServer:
    """HTTP: GET /N streams N megabytes, GET /whoami names the client."""

    def __init__(self, namespace, port):
        self.port = port
        self._sockets = [namespace.listen(version, port) for version in (4, 6)]
        for server in self._sockets:
            server.settimeout(None)
            threading.Thread(target=self._accept, args=(server,), daemon=True).start()

    def close(self):
        for server in self._sockets:
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            server.close()

    def _accept(self, server):
        with contextlib.suppress(OSError):
            while True:
                stream, peer = server.accept()
                stream.settimeout(120)
                threading.Thread(target=self._answer, args=(stream, peer[0]), daemon=True).start()

    @staticmethod
    def _answer(stream, peer):
        with stream, contextlib.suppress(OSError):
            request = b""
            while b"\r\n\r\n" not in request:
                part = stream.recv(4096)
                if not part:
                    return
                request += part
            what = request.split()[1].decode().lstrip("/")
            body = [peer.encode()] if what == "whoami" else blocks(int(what))
            length = len(peer) if what == "whoami" else int(what) * MEGABYTE
            stream.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % length)
            for part in body:
                stream.sendall(part)
