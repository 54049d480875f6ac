# SPDX-License-Identifier: Apache-2.0
"""Small clients and servers that the tests of traffic share."""
import contextlib
import hashlib
import itertools
import os
import socket
import struct
import subprocess
import threading

from netns import PATIENCE, wait_for, wildcard
from topology import INTERNET, PARENT

MEGABYTE = 1 << 20
_ports = itertools.count()


def next_port():
    """A port of the published range 7000-7099, another one every time."""
    return 7000 + next(_ports) % 100


class Path:
    """Who dials whom: the client's and the server's namespace and the address to dial. `inside` is
    where the end in the enclave is when that is not the enclave's own namespace."""

    def __init__(self, tunnel, direction, version, inside=None, port=None):
        inside, internet = inside or tunnel.enclave.namespace, tunnel.topology.internet
        self.version = version
        self.port = port or next_port()
        if direction == "out":
            self.client, self.server = inside, internet
            self.address = INTERNET[version]
        else:
            self.client, self.server = internet, inside
            self.address = PARENT[version]
        # An IPv6 socket that answers from the address that was dialled has to be bound to it.
        self.listen_address = self.address if direction == "out" else wildcard(version)

    def listen(self, options=()):
        return self.server.listen(self.version, self.port, self.listen_address, options=options)

    def connect(self, options=()):
        return self.client.connect(self.version, self.address, self.port, options=options)

    def pair(self, options=(), server_options=()):
        """A connected pair of TCP sockets: client's, server's."""
        with self.listen(server_options) as listener:
            client = self.connect(options)
            server, _ = listener.accept()
        server.settimeout(PATIENCE)
        return client, server

    def datagram_server(self):
        return self.server.datagram(self.version, self.listen_address, self.port)

    def datagram_client(self):
        made = self.client.datagram(self.version)
        made.connect((self.address, self.port))
        return made


class Background:
    """A function in a thread; the result, or its exception, comes from result()."""

    def __init__(self, function, *arguments):
        self._value, self._problem = None, None
        self._thread = threading.Thread(target=self._run, args=(function, arguments), daemon=True)
        self._thread.start()

    def _run(self, function, arguments):
        try:
            self._value = function(*arguments)
        except BaseException as problem:  # pylint: disable=broad-exception-caught
            self._problem = problem

    def result(self, patience=120):
        self._thread.join(patience)
        assert not self._thread.is_alive(), "a client or server hangs"
        if self._problem is not None:
            raise self._problem
        return self._value


def receive_exactly(stream, count):
    parts = bytearray()
    while len(parts) < count:
        part = stream.recv(min(1 << 20, count - len(parts)))
        assert part, f"the stream ended after {len(parts)} of {count} bytes"
        parts += part
    return bytes(parts)


def receive_all(stream):
    """Reads to the end: bytes and their SHA-256."""
    digest, count = hashlib.sha256(), 0
    while True:
        part = stream.recv(1 << 20)
        if not part:
            return count, digest.hexdigest()
        digest.update(part)
        count += len(part)


def send_random(stream, count):
    """Sends count random bytes and returns their SHA-256."""
    digest = hashlib.sha256()
    block = os.urandom(1 << 20)
    while count:
        part = block[:min(count, len(block))]
        stream.sendall(part)
        digest.update(part)
        count -= len(part)
        block = block[-7:] + block[:-7]  # a block in the wrong place shows
    return digest.hexdigest()


def transfer(sender, receiver, count):
    """Sends count bytes, ends that direction, and checks what came out at the other end."""
    receiving = Background(receive_all, receiver)
    sent = send_random(sender, count)
    sender.shutdown(socket.SHUT_WR)
    assert receiving.result() == (count, sent)


class SlowSender:
    """Sends numbered blocks, each when it is asked for, so that a transfer lasts as long as a test
    wants; counts what was sent and its SHA-256."""

    def __init__(self, stream):
        self.stream, self.digest, self.count = stream, hashlib.sha256(), 0
        self._stop = threading.Event()
        self._worker = Background(self._run)

    def _run(self):
        number = 0
        while not self._stop.is_set():
            block = number.to_bytes(8, "big") * 1024
            self.stream.sendall(block)
            self.digest.update(block)
            self.count += len(block)
            number += 1
            self._stop.wait(0.002)
        self.stream.shutdown(socket.SHUT_WR)

    def finish(self):
        self._stop.set()
        self._worker.result()
        return self.count, self.digest.hexdigest()


def progress(sender):
    """Waits until a megabyte more has gone out, beyond any buffer between the ends."""
    goal = sender.count + MEGABYTE
    wait_for(lambda: sender.count >= goal, "the transfer to go on", patience=60)


def echo_datagrams(server):
    """Answers every datagram with itself until the socket is closed."""
    with contextlib.suppress(OSError):
        while True:
            data, sender = server.recvfrom(65535)
            if sender is None:  # shut down
                return
            server.sendto(data, sender)


@contextlib.contextmanager
def datagram_echo(path):
    server = path.datagram_server()
    server.settimeout(None)
    worker = threading.Thread(target=echo_datagrams, args=(server,), daemon=True)
    worker.start()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        server.close()
        worker.join(PATIENCE)


@contextlib.contextmanager
def program(namespace, command, ready=None, **options):
    """A server program, ended when the block is left. ready: condition to wait for."""
    options.setdefault("stdout", subprocess.DEVNULL)
    options.setdefault("stderr", subprocess.DEVNULL)
    options.setdefault("stdin", subprocess.DEVNULL)
    process = namespace.popen(command, **options)
    try:
        if ready is not None:
            def is_ready():
                assert process.poll() is None, f"{command[0]} ended with {process.returncode}"
                return ready()
            wait_for(is_ready, f"{command[0]} to be ready")
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def listens(namespace, port, version=4, kind="tcp"):
    """Is something bound to this port in the namespace?"""
    def check():
        table = namespace.read(f"/proc/thread-self/net/{kind}{'6' if version == 6 else ''}")
        return f":{port:04X} " in " ".join(line.split()[1] + " " for line in
                                           table.splitlines()[1:])
    return check


NGINX = """
worker_processes 1;
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections 4096; }}
http {{
  sendfile on;
  log_format plain "$remote_addr $request_method $uri $status $bytes_sent";
  access_log {directory}/access.log plain;
  client_body_temp_path {directory}/tmp;
  proxy_temp_path {directory}/tmp;
  fastcgi_temp_path {directory}/tmp;
  uwsgi_temp_path {directory}/tmp;
  scgi_temp_path {directory}/tmp;
  client_max_body_size 0;
  server {{
    listen {port};
    listen [::]:{port};
    root {directory}/www;
    location /up/ {{ dav_methods PUT; create_full_put_path on; }}
    location = /whoami {{ default_type text/plain; return 200 "$remote_addr"; }}
  }}
}}
"""


@contextlib.contextmanager
def nginx(namespace, directory, port=80, files=()):
    """nginx serving copies (links) of files; PUT /up/NAME stores, /whoami names the client."""
    directory.chmod(0o755)
    for name in ("www", "www/up", "tmp"):
        (directory / name).mkdir(exist_ok=True)
        (directory / name).chmod(0o777)
    for file in files:
        os.link(file, directory / "www" / file.name)
    config = directory / "nginx.conf"
    config.write_text("user root;\n" + NGINX.format(directory=directory, port=port))
    with program(namespace, ["/usr/sbin/nginx", "-c", config, "-e", directory / "error.log"],
                 listens(namespace, port, 6)):
        yield directory


def tcp_info(stream):
    """struct tcp_info as bytes (linux include/uapi/linux/tcp.h)."""
    return stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 512)


def tcp_send_mss(stream):
    return struct.unpack_from("=I", tcp_info(stream), 16)[0]  # tcpi_snd_mss


_closed_ports = itertools.count()


def reaches(client, server, version, address, kind="tcp", patience=PATIENCE):
    """Does a connection, or a datagram, get from one namespace to an address of another, on a port
    that is not published?"""
    port = 6000 + next(_closed_ports) % 900
    if kind == "udp":
        with server.datagram(version, address, port, patience) as listener, \
                client.datagram(version) as sender:
            try:
                sender.sendto(b"knock", (address, port))
                return listener.recv(100) == b"knock"
            except OSError:
                return False
    with server.listen(version, port, address):
        try:
            client.connect(version, address, port, patience).close()
            return True
        except OSError:
            return False


def closed_to(client, server, version, address, kind="tcp"):
    """Nothing gets there: an error, or silence for as long as a test can afford."""
    return not reaches(client, server, version, address, kind, patience=1)


def many_flows(tunnel, direction, version, count):
    """Transfers on `count` connections at once, both ways."""
    path = Path(tunnel, direction, version)
    pairs = []
    with path.listen() as listener:
        for _ in range(count):
            client = path.connect()
            pairs.append((client, listener.accept()[0]))
    work = []
    for client, server in pairs:
        server.settimeout(60)
        work.append(Background(transfer, client, server, 1 << 20))
        work.append(Background(transfer, server, client, 1 << 20))
    for each in work:
        each.result()
    for pair in pairs:
        for stream in pair:
            stream.close()
