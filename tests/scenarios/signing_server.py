# SPDX-License-Identifier: Apache-2.0
"""The signing service of test_wallet.py: signing_server.py SOCKET SECRET

Each request is a line, each answer the HMAC-SHA256 of that line in hexadecimal.
"""
import hashlib
import hmac
import socketserver
import sys


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            signature = hmac.new(sys.argv[2].encode(), line.strip(), hashlib.sha256).hexdigest()
            self.wfile.write(signature.encode() + b"\n")


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


Server(sys.argv[1], Handler).serve_forever()
