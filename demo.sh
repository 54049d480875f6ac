#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Shows causeway at work: three network namespaces, two daemons, real clients. About a minute.
#
#   enclave ns                      parent ns                        internet ns
#   (no link but the tunnel)        198.51.100.2 == eth0 ========== 198.51.100.1, 2001:db8:100::1
#   cw0 100.127.0.2  ---tunnel---   cwin2 100.127.0.1               web server, iperf3, clients
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")" || exit 1
[[ $EUID -eq 0 ]] || { echo "demo.sh: namespaces need root: sudo ./demo.sh" >&2; exit 1; }

work=$(mktemp -d)
tag=cwdemo$$
enclave=$tag-enclave parent=$tag-parent internet=$tag-internet
children=()
failures=0

cleanup() {
    local pid ns
    for pid in ${children[@]+"${children[@]}"}; do kill "$pid" 2>/dev/null; done
    for pid in ${children[@]+"${children[@]}"}; do wait "$pid" 2>/dev/null; done
    for ns in "$enclave" "$parent" "$internet"; do ip netns del "$ns" 2>/dev/null; done
    rm -rf "$work" "/etc/netns/$enclave"
    rmdir /etc/netns 2>/dev/null
}
trap cleanup EXIT
trap 'exit 130' INT TERM

bold='' plain=''
[[ -t 1 ]] && bold=$(tput bold 2>/dev/null) plain=$(tput sgr0 2>/dev/null)

title() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
# show WHERE COMMAND...: prints and runs a command in a namespace, output indented.
show() {
    local where=$1
    shift
    printf '  %s$ %s\n' "${where#"$tag"-}" "${*//"$work/"/}"
    ip netns exec "$where" "$@" 2>&1 | sed 's/^/      /'
    local status=${PIPESTATUS[0]}
    [[ $status -eq 0 ]] || { failures=$((failures + 1)); printf '      FAILED with status %s\n' "$status"; }
}
# start WHERE LOG COMMAND...: a process that lives until the end of the demo.
start() {
    local where=$1 log=$2
    shift 2
    ip netns exec "$where" "$@" >"$log" 2>&1 &
    children+=($!)
}
# until_ok COMMAND...: waits up to ten seconds for a condition.
until_ok() {
    local tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [[ $tries -lt 100 ]] || { echo "demo.sh: gave up waiting for: $*" >&2; tail -n 5 "$work"/*.log >&2; exit 1; }
        sleep 0.1
    done
}

title "Building"
tests/install-packages.sh || exit 1
{ [[ -f build/build.ninja ]] || meson setup build -Dtests=disabled; } >"$work/build.log" 2>&1 &&
    ninja -C build enclave/causeway-enclave parent/causeway-parent dns/causeway-dns >>"$work/build.log" 2>&1 ||
    { tail -30 "$work/build.log"; exit 1; }
ls -l build/enclave/causeway-enclave build/parent/causeway-parent build/dns/causeway-dns | sed 's/^/  /'

title "Three namespaces; the enclave has no link"
for ns in "$enclave" "$parent" "$internet"; do
    ip netns add "$ns" && ip -n "$ns" link set lo up || exit 1
done
ip -n "$parent" link add eth0 type veth peer name eth0 netns "$internet"
ip -n "$parent" addr add 198.51.100.2/24 dev eth0
ip -n "$parent" addr add 2001:db8:100::2/64 dev eth0 nodad
ip -n "$internet" addr add 198.51.100.1/24 dev eth0
ip -n "$internet" addr add 2001:db8:100::1/64 dev eth0 nodad
ip -n "$parent" link set eth0 up && ip -n "$internet" link set eth0 up
ip -n "$parent" route add default via 198.51.100.1
ip -n "$parent" -6 route add default via 2001:db8:100::1
show "$enclave" ip -br link

title "The daemons"
echo "  parent\$ causeway-parent --enclave unix:link --publish 8080:80 --allow 198.51.100.0/24 --allow 2001:db8:100::/64"
start "$parent" "$work/parent.log" build/parent/causeway-parent --enclave "unix:$work/link" --publish 8080:80 \
    --allow 198.51.100.0/24 --allow 2001:db8:100::/64  # this internet is a neighbour
echo "  enclave\$ causeway-enclave --link unix:link --lanes 2"
start "$enclave" "$work/enclave.log" build/enclave/causeway-enclave --link "unix:$work/link" --lanes 2
until_ok grep -q ready "$work/enclave.log"
grep -h ready "$work/parent.log" "$work/enclave.log" | sed "s|$work/||; s/^/      /"
show "$enclave" ip -br addr show cw0
show "$enclave" ip route

title "A web server on the internet, curl in the enclave, IPv4 and IPv6"
mkdir "$work/www"
echo "Hello, enclave." >"$work/www/hello"
head -c 300M /dev/urandom >"$work/www/large"
cat >"$work/server.py" <<'PY'
import http.server, socket, sys
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()
class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        if self.path != "/who":
            return super().do_GET()
        text = f"You are {self.client_address[0]}\n".replace("::ffff:", "").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
Server(("::", int(sys.argv[1])), Handler).serve_forever()
PY
start "$internet" "$work/web.log" python3 -c "import os; os.chdir('$work/www'); exec(open('$work/server.py').read())" 80
until_ok ip netns exec "$internet" curl -s http://127.0.0.1/hello
show "$enclave" curl -sS http://198.51.100.1/hello
show "$enclave" curl -sS "http://[2001:db8:100::1]/hello"
echo "  The server sees the parent's address, for the parent's kernel translates:"
show "$enclave" curl -sS http://198.51.100.1/who

title "Names: causeway-dns in the enclave asks a server on the internet, over TCP"
start "$internet" "$work/dnsmasq.log" dnsmasq --keep-in-foreground --conf-file=/dev/null --pid-file= --user=root \
    --no-resolv --no-hosts --bind-interfaces --listen-address=198.51.100.1 --local-ttl=60 \
    --host-record=hello.example,198.51.100.1,2001:db8:100::1
# ip netns exec puts this file in the place of /etc/resolv.conf.
mkdir -p "/etc/netns/$enclave" && echo "search example" >"/etc/netns/$enclave/resolv.conf"
until_ok ip netns exec "$internet" sh -c 'ss -tlnH sport = 53 | grep -q .'
echo "  enclave\$ causeway-dns --upstream tcp://198.51.100.1 --resolv-conf /etc/resolv.conf"
start "$enclave" "$work/dns.log" build/dns/causeway-dns --upstream tcp://198.51.100.1 \
    --resolv-conf /etc/resolv.conf
resolver=${children[-1]}
until_ok grep -q ': ready' "$work/dns.log"
show "$enclave" cat /etc/resolv.conf
show "$enclave" getent ahosts hello.example
show "$enclave" curl -sS http://hello.example/hello
show "$enclave" curl -sS -6 http://hello/hello
kill -USR1 "$resolver"
until_ok grep -q 'stats upstream' "$work/dns.log"
grep -E 'stats (server|upstream)' "$work/dns.log" | fold -s -w 100 | sed 's/^/      /'

title "ping"
show "$enclave" ping -q -c 3 -i 0.2 198.51.100.1
show "$enclave" ping -q -c 3 -i 0.2 2001:db8:100::1

title "A download of 300 MB, with progress, and its checksum"
printf '  enclave$ curl -# -o large http://198.51.100.1/large\n'
ip netns exec "$enclave" curl -# -o "$work/large" http://198.51.100.1/large 2>&1 |
    tr '\r' '\n' | grep '%' | awk 'NR % 6 == 1 || /100[.,]0%/ {last = $0; print "      " $0}' | uniq
if cmp -s "$work/large" "$work/www/large"; then
    echo "      sha256 $(sha256sum <"$work/large" | cut -c1-32)... matches"
else
    echo "      FAILED: the file differs"
    failures=$((failures + 1))
fi

title "A UDP exchange"
start "$internet" "$work/udp.log" python3 -c "
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('0.0.0.0', 5300))
while True:
    data, peer = s.recvfrom(65535)
    s.sendto(b'%d bytes from %s: %s' % (len(data), peer[0].encode(), data[:20]), peer)"
until_ok ip netns exec "$internet" sh -c 'ss -ulnH sport = 5300 | grep -q .'
cat >"$work/ask.py" <<'PY'
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(3)
for data in (b"a question", b"x" * 9000):
    s.sendto(data, ("198.51.100.1", 5300))
    print(s.recv(65535).decode())
PY
show "$enclave" python3 "$work/ask.py"

title "iperf3, up and down"
start "$internet" "$work/iperf.log" iperf3 -s
until_ok ip netns exec "$internet" sh -c 'ss -tlnH sport = 5201 | grep -q .'
for way in "" -R; do
    printf '  enclave$ iperf3 -c 198.51.100.1 -t 4 %s\n' "$way"
    # shellcheck disable=SC2086 # no argument when empty
    if ! ip netns exec "$enclave" iperf3 -c 198.51.100.1 -t 4 $way >"$work/iperf.txt" 2>&1; then
        failures=$((failures + 1))
        tail -3 "$work/iperf.txt"
    fi
    grep -E 'receiver' "$work/iperf.txt" | sed 's/^/      /'
done

title "A server in the enclave, published on the parent as port 8080"
start "$enclave" "$work/inside.log" python3 "$work/server.py" 80
until_ok ip netns exec "$enclave" sh -c 'ss -tlnH sport = 80 | grep -q .'
echo "  The server in the enclave sees the client's real address:"
show "$internet" curl -sS http://198.51.100.2:8080/who
show "$internet" curl -sS "http://[2001:db8:100::2]:8080/who"

title "What the enclave may not reach: the parent itself, the metadata service"
for closed in http://198.51.100.2/ http://169.254.169.254/; do
    printf '  enclave$ curl --max-time 1 %s\n' "$closed"
    if ip netns exec "$enclave" curl -sS --max-time 1 "$closed" 2>&1 | sed 's/^/      /'; [[ ${PIPESTATUS[0]} -eq 0 ]]; then
        failures=$((failures + 1))
    fi
done

title "Counters of the parent (kill -USR1)"
kill -USR1 "${children[0]}"
until_ok grep -q 'stats peer' "$work/parent.log"
grep 'stats peer' "$work/parent.log" | sed "s|$work/||" | fold -s -w 100 | sed 's/^/      /'

title "The end"
if [[ $failures -eq 0 ]]; then
    echo "  Everything worked. Cleaning up."
else
    echo "  $failures step(s) failed."
fi
exit "$((failures > 0))"
