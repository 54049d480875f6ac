# SPDX-License-Identifier: Apache-2.0
"""An HTTPS server in the enclave that asks an API for every request. Replaces: nitriding.

There, a TCP stack in user space on the parent ends every connection and dials it again: IPv4 alone,
clients' addresses end at the parent, and each port is forwarded by a call to that program.

Here: `causeway-parent --enclave vsock:16:5005 --publish 443:443`, `causeway-enclave --link
vsock:3:5005`, and `causeway-dns` for names. nginx and what it calls are configured as on any host.
"""
import hashlib
import json
import os
import re

import pytest
from netns import wait_for
from topology import INTERNET, PARENT
from traffic import listens, program
from world import API, SERVICE, Handler, WebServer, need

TUNNEL = {"publish": ("443:443/tcp",)}
PORT = 443
MEGABYTES = 32
BOTH = pytest.mark.parametrize("protocol", ["--http1.1", "--http2"])

pytestmark = need("nginx", "curl", "openssl")

NGINX = """
user root;
worker_processes 1;
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections 1024; }}
http {{
  log_format plain "$remote_addr $server_protocol $connection $connection_requests $uri $status";
  access_log {directory}/access.log plain;
  client_body_temp_path {directory}/tmp;
  proxy_temp_path {directory}/tmp;
  fastcgi_temp_path {directory}/tmp;
  uwsgi_temp_path {directory}/tmp;
  scgi_temp_path {directory}/tmp;
  client_max_body_size 0;
  resolver 127.0.0.1;
  server {{
    listen {port} ssl http2;
    listen [::]:{port} ssl http2;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    root {directory}/www;
    location /api/ {{
      set $api {api};
      proxy_pass https://$api;
      proxy_http_version 1.1;
      proxy_request_buffering off;
      proxy_set_header Host $api;
      proxy_set_header X-Client $remote_addr;
      proxy_ssl_server_name on;
      proxy_ssl_name $api;
      proxy_ssl_verify on;
      proxy_ssl_trusted_certificate {authority};
    }}
  }}
}}
"""


class Api(Handler):
    """Tells who asked and for whom, and for an upload what came."""

    calls = []

    def do_GET(self):
        self.calls.append(self.path)
        self.reply(json.dumps({"caller": self.client_address[0], "path": self.path,
                               "client": self.headers["X-Client"]}).encode())

    def do_PUT(self):
        digest, left = hashlib.sha256(), int(self.headers["Content-Length"])
        while left:
            part = self.rfile.read(min(left, 1 << 20))
            if not part:
                return
            digest.update(part)
            left -= len(part)
        self.reply(digest.hexdigest().encode())


@pytest.fixture(scope="module")
def api(topology, authority):
    made = WebServer(topology.internet, Api, 443, INTERNET, authority.context(API))
    yield Api
    made.close()


@pytest.fixture(scope="module")
def service(tunnel, resolver, api, authority, tmp_path_factory):
    """nginx in the enclave; its directory."""
    directory = tmp_path_factory.mktemp("service")
    for name in ("www", "tmp"):
        (directory / name).mkdir()
    certificate, key = authority.issue(SERVICE)
    config = directory / "nginx.conf"
    config.write_text(NGINX.format(directory=directory, port=PORT, certificate=certificate, key=key,
                                   api=API, authority=authority.certificate))
    namespace = tunnel.enclave.namespace
    with program(namespace, ["/usr/sbin/nginx", "-c", config, "-e", directory / "error.log"],
                 listens(namespace, PORT, 6)):
        yield directory


@pytest.fixture(scope="module")
def big_file(service):
    """A file that the service offers, and its SHA-256."""
    path = service / "www" / "big"
    path.write_bytes(os.urandom(MEGABYTES << 20))
    path.chmod(0o644)
    yield path, hashlib.sha256(path.read_bytes()).hexdigest()
    path.unlink()


@pytest.fixture
def curl(tunnel, service, authority, version):
    """curl on the internet; it knows the service's name and trusts the authority."""
    host = f"[{PARENT[version]}]" if version == 6 else PARENT[version]

    def run(*arguments):
        return tunnel.topology.internet.run(
            ["curl", "-sS", "--fail", "--max-time", "240", "--cacert", authority.certificate,
             "--resolve", f"{SERVICE}:{PORT}:{host}", *arguments])
    return run


def url(path):
    return f"https://{SERVICE}/{path}"


def requests(service, path, count):
    """What nginx logged about `count` requests for a path: (client, protocol, connection, request's
    number in it). It logs a request a moment after the client has its answer."""
    def logged():
        found = re.findall(r"^(\S+) (\S+) (\d+) (\d+) (\S+) 200$",
                           (service / "access.log").read_text(), re.M)
        return [words[:4] for words in found if words[4] == f"/{path}"]
    wait_for(lambda: len(logged()) >= count, f"{count} requests in the log")
    return logged()


@BOTH
def test_each_request_calls_the_api(curl, service, api, protocol, version):
    """Three requests are three calls, made by name over verified TLS from the parent's address; the
    server's log has the client's own address."""
    path = f"api/quote{protocol}{version}"
    for _ in range(3):
        told = json.loads(curl(protocol, url(path)))
        assert told["client"] == INTERNET[version]
        assert told["caller"] in PARENT.values()
    assert api.calls.count(f"/{path}") == 3
    seen = {"--http1.1": "HTTP/1.1", "--http2": "HTTP/2.0"}[protocol]
    assert [words[:2] for words in requests(service, path, 3)] == [(INTERNET[version], seen)] * 3


@BOTH
def test_connections_are_kept(curl, service, protocol, version):
    """Ten requests of one client are one connection."""
    path = f"api/kept{protocol}{version}"
    curl(protocol, *[url(path)] * 10)
    logged = requests(service, path, 10)
    assert len({connection for _, _, connection, _ in logged}) == 1
    assert [int(number) for *_, number in logged] == list(range(1, 11))


@BOTH
def test_download(curl, big_file, protocol, tmp_path, version):
    curl(protocol, "-o", tmp_path / "got", url("big"))
    assert hashlib.sha256((tmp_path / "got").read_bytes()).hexdigest() == big_file[1]
    (tmp_path / "got").unlink()


@BOTH
def test_upload(curl, big_file, protocol, version):
    """Into the enclave, and out again to the API while it still comes."""
    assert curl(protocol, "-T", big_file[0], url("api/digest")) == big_file[1]


@BOTH
def test_clients_at_once(curl, api, service, protocol, version):
    """Forty requests, thirty at a time; with HTTP/1.1 each of the thirty on its own connection."""
    path = f"api/crowd{protocol}{version}"
    answers = curl(protocol, "--parallel", "--parallel-max", "30", "--parallel-immediate",
                   "-w", "\n%{http_code}\n", *[url(path)] * 40)
    assert answers.count("\n200\n") == 40 and api.calls.count(f"/{path}") == 40
    logged = requests(service, path, 40)
    assert len(logged) == 40 and {words[0] for words in logged} == {INTERNET[version]}


def test_tls_ends_in_the_enclave(curl, authority):
    """The certificate that clients are shown is the one in the enclave."""
    shown = curl("-w", "%{certs}", "-o", "/dev/null", url("api/tls"))
    assert authority.issue(SERVICE)[0].read_text().strip() in shown
