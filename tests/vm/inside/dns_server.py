# SPDX-License-Identifier: Apache-2.0
"""A DNS server for tests: one zone, UDP and TCP, each answer made from the question alone.

  NAME.test. A       203.0.113.1 followed by the length of NAME in the last byte's place
  big.test. TXT      4,000 bytes, truncated over UDP
"""
import contextlib
import socket
import struct
import threading

HEADER = struct.Struct("!HHHHHH")
TYPE_A, TYPE_TXT = 1, 16
TRUNCATED, ANSWER = 0x0200, 0x8580
TXT_STRING, TXT_STRINGS = b"x" * 250, 16


def address_of(name):
    return f"203.0.113.{100 + len(name)}"


def answer(query, may_be_long):
    """The response to a query of one question."""
    number = HEADER.unpack_from(query)[0]
    end = HEADER.size
    label = query[end + 1:end + 1 + query[end]].decode("ascii", "replace")
    while query[end]:
        end += 1 + query[end]
    question = query[HEADER.size:end + 5]
    kind, = struct.unpack_from("!H", query, end + 1)
    data = b""
    if kind == TYPE_A:
        data = socket.inet_aton(address_of(label))
    elif kind == TYPE_TXT:
        data = (bytes([len(TXT_STRING)]) + TXT_STRING) * TXT_STRINGS
    if len(data) > 400 and not may_be_long:
        return HEADER.pack(number, ANSWER | TRUNCATED, 1, 0, 0, 0) + question
    record = struct.pack("!HHHIH", 0xc00c, kind, 1, 60, len(data)) + data if data else b""
    return HEADER.pack(number, ANSWER, 1, bool(data), 0, 0) + question + record


def _serve_datagrams(server):
    with contextlib.suppress(OSError):
        while True:
            query, client = server.recvfrom(4096)
            if client is None:  # shut down
                return
            server.sendto(answer(query, False), client)


def _serve_stream(stream):
    with contextlib.suppress(OSError, struct.error), stream, stream.makefile("rb") as reader:
        while True:
            length, = struct.unpack("!H", reader.read(2))
            response = answer(reader.read(length), True)
            stream.sendall(struct.pack("!H", len(response)) + response)


def _accept(listener):
    with contextlib.suppress(OSError):
        while True:
            stream, _ = listener.accept()
            threading.Thread(target=_serve_stream, args=(stream,), daemon=True).start()


@contextlib.contextmanager
def dns_server(namespace, version, address):
    """Serves at an address of a namespace, port 53."""
    datagrams = namespace.datagram(version, address, 53)
    listener = namespace.listen(version, 53, address)
    for each in (datagrams, listener):
        each.settimeout(None)
    for function, each in ((_serve_datagrams, datagrams), (_accept, listener)):
        threading.Thread(target=function, args=(each,), daemon=True).start()
    try:
        yield
    finally:
        for each in (datagrams, listener):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
