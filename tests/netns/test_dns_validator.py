# SPDX-License-Identifier: Apache-2.0
"""unbound as a validator in front of causeway-dns, configured as docs/dns.md says."""
from pathlib import Path

import pytest
from dns_real import BOGUS, ZONE, Servers

pytestmark = pytest.mark.daemons

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "dns.md"


def documented(anchors):
    """The example's two files; the root's key is the tests' own zones', there is no root here."""
    block = DOCUMENT.read_text().split("# /etc/unbound/unbound.conf\n")[1].split("```")[0]
    unbound, causeway = block.split("# /etc/causeway/dns.conf\n")
    line = '    auto-trust-anchor-file: "/var/lib/unbound/root.key"\n'
    assert line in unbound
    return unbound.replace(line, anchors), causeway


def test_unbound_validates_in_front(dns):
    servers = Servers(dns)
    upstream = servers.knot()
    anchors = "".join(f'    trust-anchor: "{zone}. DNSKEY {servers.key}"\n' for zone in (ZONE, BOGUS))
    unbound, causeway = documented(anchors)
    words = [word for line in causeway.strip().splitlines() if not line.startswith("upstream")
             for word in ("--" + line.split(" = ")[0], line.split(" = ")[1])]
    # The zone's server knows no recursion and signs two zones with keys of which one is believed.
    dns.daemon(*words, "--upstream", upstream)
    config = Path(dns.path("validator.conf"))
    config.write_text(unbound + f"""server:
    do-daemonize: no
    chroot: ""
    username: ""
    directory: {dns.directory}
    pidfile: ""
    use-syslog: no
    logfile: ""
""")
    process = servers._run("validator", "unbound", "-d", "-c", config)
    servers._wait("validator", process, "127.0.0.1", 53, ZONE)
    good = dns.run("kdig", "@127.0.0.1", "+dnssec", "+noall", "+header", "+answer", f"www.{ZONE}", "A")
    assert "192.0.2.80" in good and " ad;" in good
    forged = dns.run("kdig", "@127.0.0.1", "+noall", "+header", "+answer", f"www.{BOGUS}", "A")
    assert "SERVFAIL" in forged and "192.0.2.80" not in forged
