# SPDX-License-Identifier: Apache-2.0
"""Pieces that the scenarios are made of: a certificate authority, HTTP servers of the outside world,
names as an enclave resolves them, and server programs that can be killed and started again."""
import contextlib
import http.server
import shutil
import ssl
import subprocess
import threading
from pathlib import Path

import pytest
from dns_system import DnsDaemon
from netns import Namespace, wait_for
from topology import INTERNET

# The outside world's hosts.
API, KMS = "api.example.test", "kms.eu-central-1.example.test"
NAMES = {API: [INTERNET[4], INTERNET[6]], KMS: [INTERNET[4], INTERNET[6]]}
# The enclave's own name, as its clients know it.
SERVICE = "service.example.test"


def need(*programs):
    """A mark: skipped where one of the programs is missing."""
    missing = [name for name in programs if shutil.which(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


class Authority:
    """A certificate authority made for one test run."""

    def __init__(self, directory):
        self.directory = directory
        directory.chmod(0o755)
        self.certificate, self._key = directory / "ca.pem", directory / "ca.key"
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                      "-nodes", "-days", "2", "-subj", "/CN=Authority of the tests",
                      "-keyout", self._key, "-out", self.certificate)

    @staticmethod
    def _openssl(*arguments):
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)

    def issue(self, name):
        """Certificate and key of a host, as paths."""
        certificate, key = self.directory / f"{name}.pem", self.directory / f"{name}.key"
        if not certificate.exists():
            request, extensions = self.directory / "request", self.directory / "extensions"
            extensions.write_text(f"subjectAltName=DNS:{name}\n")
            self._openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                          "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", request)
            self._openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey",
                          self._key, "-CAcreateserial", "-days", "2", "-extfile", extensions,
                          "-out", certificate)
        return certificate, key

    def context(self, name):
        """What a TLS server of that name needs."""
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(*self.issue(name))
        return made


class Handler(http.server.BaseHTTPRequestHandler):
    """What the handlers of the tests' servers begin with."""

    protocol_version = "HTTP/1.1"
    timeout = 60

    def log_message(self, format, *args):  # pylint: disable=redefined-builtin
        """Not on the test's standard error."""

    def reply(self, body, status=200):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))


class Listener(http.server.ThreadingHTTPServer):
    """An HTTP server on a socket of a namespace."""

    daemon_threads = True

    def __init__(self, stream, handler, context=None):
        super().__init__(stream.getsockname(), handler, bind_and_activate=False)
        self.socket.close()
        # The handshake is the handler's thread's: a slow client holds up nobody else.
        self.socket = stream if context is None else context.wrap_socket(
            stream, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, request, client_address):
        """A client that goes away is no news."""


class WebServer:
    """HTTP, or with a TLS context HTTPS, at addresses of a namespace: {version: address}."""

    def __init__(self, namespace, handler, port, addresses, context=None):
        self._listeners = [Listener(namespace.listen(version, port, address), handler, context)
                           for version, address in addresses.items()]
        for listener in self._listeners:
            threading.Thread(target=listener.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        for listener in self._listeners:
            listener.shutdown()
            listener.server_close()


class Resolver:
    """causeway-dns in an enclave, and programs there whose resolv.conf names it."""

    def __init__(self, namespace, directory):
        self.namespace = namespace
        directory.chmod(0o755)
        self._resolv_conf = directory / "resolv.conf"
        self._resolv_conf.write_text("")
        self.daemon = DnsDaemon(namespace, ["--upstream", f"tcp://{INTERNET[4]}", "--resolv-conf",
                                            str(self._resolv_conf)], str(directory), "dns")
        self.daemon.start()
        try:
            self.daemon.wait_ready()
        except BaseException:
            self.close()
            raise

    def run(self, command, **options):
        """A program with the enclave's resolv.conf; its standard output."""
        script = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
        return self.namespace.run(["unshare", "--mount", "sh", "-c", script, self._resolv_conf,
                                   *command], **options)

    def close(self):
        assert self.daemon.stop() == 0, self.daemon.log()


class Service:
    """A server program in a namespace. A restart appends to the same log."""

    def __init__(self, namespace: Namespace, command, log, ready):
        self.namespace, self.command, self.ready = namespace, command, ready
        self.log_path = Path(log)
        self.process = None

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = self.namespace.popen(self.command, stdin=subprocess.DEVNULL, stdout=log,
                                                stderr=log)
        wait_for(self._is_ready, f"{self.command[0]} to be ready")

    def _is_ready(self):
        assert self.process.poll() is None, f"{self.command[0]} ended\n{self.log()}"
        return self.ready()

    def log(self):
        return self.log_path.read_text(errors="replace")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def running(*services):
    """Starts services and sees them gone."""
    with contextlib.ExitStack() as stack:
        for service in services:
            service.start()
            stack.callback(service.stop)
        yield
