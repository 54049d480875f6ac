# SPDX-License-Identifier: Apache-2.0
"""The enclave's server of test_balanced_proofs.py: proof_server.py NAME PORT RELEASE

  /health   what load balancers ask for
  /who      NAME and the client's address
  /prove    an answer that takes as long as a test wants: it begins at once, and ends when the file
            RELEASE is there
"""
import http.server
import itertools
import os
import socket
import sys
import time

NAME, PORT, RELEASE = sys.argv[1:]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/health":
            self.reply([f"{NAME} is well\n"])
        elif self.path == "/who":
            self.reply([f"{NAME} {self.client_address[0].removeprefix('::ffff:')}\n"])
        elif self.path == "/prove":
            self.reply(self.proof())
        else:
            self.send_error(404)

    @staticmethod
    def proof():
        yield f"{NAME} proves\n"
        while not os.path.exists(RELEASE):
            time.sleep(0.02)
        yield "proof " + "01" * 500_000 + "\n"

    def reply(self, parts):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for part in itertools.chain(parts, [""]):
            self.wfile.write(f"{len(part):x}\r\n{part}\r\n".encode())


class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6  # and IPv4 by mapped addresses
    daemon_threads = True
    request_queue_size = 128


Server(("::", int(PORT)), Handler).serve_forever()
