#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# First program of an enclave image: what AWS's init leaves to its image, then supervisord.
#
# Each step says what it found. A step that fails ends the image only where going on would be unsafe:
# an enclave without a good random source must not make keys.
set -eu

say() {
    echo "entrypoint: $*" >&2
}

# Nitro's init mounts /proc, /sys and /dev and brings nothing up: without lo, not even 127.0.0.53.
loopback() {
    ip link set lo up
}

# The hypervisor's clock does not stop or step as the TSC may; chrony disciplines against the host's.
clock() {
    source=/sys/devices/system/clocksource/clocksource0
    if grep -qw kvm-clock "$source/available_clocksource" 2>/dev/null; then
        echo kvm-clock >"$source/current_clocksource" || say "kvm-clock cannot be chosen"
    fi
    if [ -e /dev/ptp0 ] && command -v chronyd >/dev/null; then
        chronyd -f "${CHRONY_CONF:-/etc/chrony/chrony.conf}" || say "chronyd did not start: the clock will drift"
    else
        say "no /dev/ptp0 or no chronyd: the clock will drift"
    fi
}

# On Nitro the security module is the source; elsewhere virtio-rng or the CPU's. RANDOM_SOURCE pins it.
random() {
    current=$(cat /sys/devices/virtual/misc/hw_random/rng_current 2>/dev/null || echo none)
    say "random source: $current"
    if [ -n "${RANDOM_SOURCE:-}" ] && [ "$current" != "$RANDOM_SOURCE" ]; then
        say "expected $RANDOM_SOURCE: not going on"
        exit 1
    fi
}

# Until causeway-dns has started nothing answers; afterwards it does, on this address.
resolver() {
    [ -s /etc/resolv.conf ] || echo "nameserver 127.0.0.1" >/etc/resolv.conf
}

loopback
clock
random
resolver
# Without a configuration for it there is nothing to start: say which file is missed.
[ -r /etc/causeway/enclave.conf ] || say "/etc/causeway/enclave.conf is missing"
if [ $# -gt 0 ]; then
    exec "$@"
fi
exec supervisord -n -c /etc/supervisor/supervisord.conf
