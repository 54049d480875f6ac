# SPDX-License-Identifier: Apache-2.0
"""Real DNS servers from Debian in the namespace of a DnsWorld: knot signs a zone, unbound validates it
and speaks TLS, dnsmasq forwards nothing and knows one name. All in the foreground, as children."""
import subprocess
from pathlib import Path

from netns import wait_for

ZONE = "signed.example"
BOGUS = "bogus.example"
KNOT, UNBOUND, DNSMASQ = "127.0.0.3", "127.0.0.4", "127.0.0.5"
KNOT_PORT = 5301

ZONE_TEXT = """$TTL 300
@ SOA ns hostmaster 1 3600 900 86400 60
@ NS ns
ns A 127.0.0.3
www A 192.0.2.80
www AAAA 2001:db8::80
text TXT "one" "two"
alias CNAME www
srv SRV 1 2 443 www
strange TYPE65280 \\# 4 0a000001
big TXT "{big}"
"""


class Servers:
    """Starts them in dns, whose clear() ends them."""

    def __init__(self, dns):
        self.dns = dns

    def _run(self, label, *command):
        log = open(self.dns.path(f"{label}.log"), "ab")
        process = self.dns.popen(*command, stdout=log, stderr=log)
        log.close()
        return process

    def _wait(self, label, process, address, port, name):
        def answers():
            log = Path(self.dns.path(f"{label}.log")).read_text(errors="replace")
            assert process.poll() is None, f"{label} ended\n{log}"
            done = self.dns.run("kdig", f"@{address}", "-p", str(port), "+tcp", "+time=1",
                                "+retry=0", name, "SOA", check=False)
            return "status: " in done.stdout
        wait_for(answers, f"{label} to answer")

    def knot(self):
        """Authoritative for both zones, which it signs with keys of its own making."""
        for zone in (ZONE, BOGUS):
            Path(self.dns.path(f"{zone}.zone")).write_text(
                ZONE_TEXT.replace("{big}", '" "'.join(["x" * 200] * 20)))
        config = Path(self.dns.path("knot.conf"))
        config.write_text(f"""
server:
    listen: {KNOT}@{KNOT_PORT}
    rundir: {self.dns.directory}
    tcp-workers: 1
    udp-workers: 1
    background-workers: 1
database:
    storage: {self.dns.directory}
policy:
  - id: one
    algorithm: ecdsap256sha256
    single-type-signing: on
template:
  - id: default
    storage: {self.dns.directory}
    file: "%s.zone"
    zonefile-sync: -1
    dnssec-signing: on
    dnssec-policy: one
zone:
  - domain: {ZONE}
  - domain: {BOGUS}
""")
        process = self._run("knot", "knotd", "-c", config)
        self._wait("knot", process, KNOT, KNOT_PORT, ZONE)
        self.key = wait_for(lambda: self.dns.run(
            "kdig", f"@{KNOT}", "-p", KNOT_PORT, "+tcp", "+short", "DNSKEY", ZONE).strip(),
            "the zone's key")
        return f"tcp://{KNOT}:{KNOT_PORT}"

    def trust_anchor(self):
        """For delv."""
        flags, protocol, algorithm, key = self.key.split(maxsplit=3)
        path = Path(self.dns.path("anchor"))
        path.write_text(f'trust-anchors {{ {ZONE}. static-key {flags} {protocol} {algorithm} '
                        f'"{key}"; }};\n')
        return path

    def unbound(self, certificate=None, key=None):
        """Validates; believes a wrong key of the second zone, so that all of it is bogus to it."""
        tls = "" if certificate is None else f"""
    interface: {UNBOUND}@853
    tls-port: 853
    tls-service-pem: {certificate}
    tls-service-key: {key}
    log-queries: yes
"""
        config = Path(self.dns.path("unbound.conf"))
        config.write_text(f"""
server:
    do-daemonize: no
    chroot: ""
    username: ""
    directory: {self.dns.directory}
    pidfile: ""
    use-syslog: no
    logfile: ""
    num-threads: 1
    interface: {UNBOUND}@53
    access-control: 0.0.0.0/0 allow
    do-not-query-localhost: no
    do-ip6: no
    edns-tcp-keepalive: yes
    trust-anchor: "{ZONE}. DNSKEY {self.key}"
    trust-anchor: "{BOGUS}. DNSKEY {self.key}"
    local-data: "where.example. 300 A 192.0.2.4"
{tls}
stub-zone:
    name: {ZONE}
    stub-addr: {KNOT}@{KNOT_PORT}
stub-zone:
    name: {BOGUS}
    stub-addr: {KNOT}@{KNOT_PORT}
""")
        process = self._run("unbound", "unbound", "-d", "-c", config)
        self._wait("unbound", process, UNBOUND, 53, "where.example")
        return f"tcp://{UNBOUND}"

    def dnsmasq(self, address=DNSMASQ):
        process = self._run("dnsmasq" + address, "dnsmasq", "--keep-in-foreground",
                            "--conf-file=/dev/null", "--pid-file=", "--user=root", "--no-resolv",
                            "--no-hosts", "--bind-interfaces", f"--listen-address={address}",
                            f"--address=/where.example/192.0.2.{address.rsplit('.', 1)[1]}")
        self._wait("dnsmasq" + address, process, address, 53, "where.example")
        return process


class Authority:
    """A certificate authority of the test's own, by the openssl program."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.path = self.directory / "ca.pem"
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                      "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "30",
                      "-subj", "/CN=Test authority")

    def _openssl(self, *words):
        subprocess.run(["openssl", *words], cwd=self.directory, check=True, capture_output=True)

    def certificate(self, names, days=30, own=False):
        """For names like "DNS:dns.example": (certificate, key). own: self-signed."""
        self._openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                      "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=server")
        (self.directory / "extensions").write_text(f"subjectAltName={names}\n")
        signer = ["-signkey", "server.key"] if own else ["-CA", "ca.pem", "-CAkey", "ca.key",
                                                         "-CAcreateserial"]
        self._openssl("x509", "-req", "-in", "server.csr", *signer, "-out", "server.pem",
                      "-days", str(days), "-extfile", "extensions")
        return self.directory / "server.pem", self.directory / "server.key"
