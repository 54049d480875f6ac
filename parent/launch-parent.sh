#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Starts causeway's daemons on a parent under systemd or supervisord, shows them, stops them.
#
#   launch-parent.sh start [--manager systemd|supervisord|auto] [--resolver LINK] [OPTION]...
#   launch-parent.sh status | stop | help
#
# start:  checks the host first, then starts causeway-parent with every OPTION, which are those of
#         causeway-parent(8): --enclave vsock:16:5005 --publish 443:443 --allow 10.0.0.0/16 ...
#         --resolver LINK also starts causeway-dns, which answers enclaves' queries on LINK
#         (vsock:any:5353 or unix:PATH) from this host's own resolvers.
# status: shows both; exit status 0 when all that was started runs, 3 when not.
# stop:   stops them and leaves the host as it was.
#
# Everything it writes is below /run/causeway/launch and /run/systemd/system: a reboot forgets it.
# For a permanent installation enable the systemd units instead.
set -uo pipefail

run=${CAUSEWAY_LAUNCH_DIR:-/run/causeway/launch}
units=/run/systemd/system
here=$(dirname "$(readlink -f "$0")")

usage() {
    sed -n '3,/^set/{s/^# \{0,1\}//;/^set/d;p}' "$0"
}

fail() {
    echo "launch-parent.sh: $1" >&2
    exit "${2:-1}"
}

# Programs: next to this script's installation, in a build directory ($CAUSEWAY_BUILD), or on PATH.
find_program() {
    local candidate
    for candidate in "${CAUSEWAY_BUILD:+$CAUSEWAY_BUILD/parent/$1}" "${CAUSEWAY_BUILD:+$CAUSEWAY_BUILD/dns/$1}" \
        "$here/$1" "$here/../../sbin/$1" "$here/../../bin/$1"; do
        if [[ -n $candidate && -x $candidate ]]; then
            readlink -f "$candidate"
            return
        fi
    done
    command -v "$1"
}

# Which manager this start uses, and every later call finds.
chosen_manager() {
    cat "$run/manager" 2>/dev/null
}

pick_manager() {
    case $1 in
    auto)
        if [[ -d $units && -d /run/systemd/private || -S /run/systemd/private ]]; then
            echo systemd
        elif command -v supervisord >/dev/null; then
            echo supervisord
        else
            fail "neither a running systemd nor supervisord is here: install the package supervisor"
        fi
        ;;
    systemd)
        [[ -S /run/systemd/private ]] || fail "systemd does not run here: use --manager supervisord"
        echo systemd
        ;;
    supervisord)
        command -v supervisord >/dev/null || fail "supervisord is not installed (Debian: package supervisor)"
        echo supervisord
        ;;
    *) fail "--manager '$1': systemd, supervisord or auto" 2 ;;
    esac
}

# ---- systemd ----

unit_drop_in() {
    mkdir -p "$units/$1.service.d"
    printf '[Service]\nExecStart=\nExecStart=%s --config %s\n' "$2" "$3" >"$units/$1.service.d/launch.conf"
}

# The permanent service has a configuration of its own, which "start" must not replace and "stop" not end.
refuse_running_units() {
    local name
    for name in "$@"; do
        if systemctl is-active --quiet "$name.service"; then
            fail "$name.service runs already, with a configuration of its own: change that one, or stop it first (systemctl stop $name)"
        fi
    done
}

systemd_start() {
    local name
    refuse_running_units "$@"
    for name in "$@"; do
        if ! systemctl cat "$name.service" >/dev/null 2>&1; then
            fail "systemd does not know $name.service: install it first (meson install, or the Debian package)"
        fi
        unit_drop_in "$name" "$(find_program "$name")" "$run/$name.conf"
    done
    systemctl daemon-reload && systemctl start "${@/%/.service}"
}

systemd_running() {
    systemctl is-active --quiet "$1.service"
}

systemd_show() {
    systemctl --no-pager --lines=5 status "$1.service"
}

# Why a start failed: the last words of this attempt alone.
systemd_reason() {
    journalctl --no-pager --output=cat --lines=20 --since="@$began" --unit="$1.service"
}

systemd_stop() {
    local name
    systemctl stop "${@/%/.service}"
    for name in "$@"; do
        rm -rf "$units/$name.service.d/launch.conf"
        rmdir "$units/$name.service.d" 2>/dev/null
    done
    systemctl daemon-reload
}

# ---- supervisord, one of our own: whatever another one on this host does is not touched ----

supervisor_program() {
    cat <<PROGRAM

[program:$1]
command=$2 --config $3
autorestart=true
startsecs=1
startretries=100
stopsignal=TERM
stopwaitsecs=30
redirect_stderr=true
stdout_logfile=$run/$1.log
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=2
PROGRAM
}

supervisor_config() {
    cat <<CONFIG
[supervisord]
logfile=$run/supervisord.log
pidfile=$run/supervisord.pid
childlogdir=$run

[unix_http_server]
file=$run/supervisor.sock
chmod=0600

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl=unix://$run/supervisor.sock
CONFIG
}

control_supervisor() {
    supervisorctl -c "$run/supervisord.conf" "$@"
}

supervisord_start() {
    local name
    supervisor_config >"$run/supervisord.conf"
    for name in "$@"; do
        supervisor_program "$name" "$(find_program "$name")" "$run/$name.conf" >>"$run/supervisord.conf"
    done
    supervisord -c "$run/supervisord.conf" || return
    for name in "$@"; do
        wait_until_settled "$name"
    done
}

# Ready is what says so in its log; with a log level that hides it, what has run for ten seconds.
wait_until_settled() {
    local state='' tries
    for ((tries = 0; tries < 100; tries++)); do
        state=$(control_supervisor status "$1" 2>/dev/null | awk '{print $2}')
        # One that fails after a second is started again at once: no look need ever see it stopped.
        ! grep -qF "exited: $1 (" "$run/supervisord.log" || return 1
        case $state in
        BACKOFF | FATAL | EXITED) return 1 ;;
        RUNNING) grep -q ': ready' "$run/$1.log" && return 0 ;;
        esac
        sleep 0.1
    done
    [[ $state == RUNNING ]]
}

supervisord_running() {
    [[ $(control_supervisor status "$1" 2>/dev/null | awk '{print $2}') == RUNNING ]]
}

supervisord_show() {
    control_supervisor status "$1"
    tail -n 5 "$run/$1.log" 2>/dev/null
}

supervisord_reason() {
    supervisord_show "$1"
}

supervisord_stop() {
    local pid
    pid=$(cat "$run/supervisord.pid" 2>/dev/null) || return 0
    # It stops its programs, each with its stopwaitsecs, before it ends itself.
    kill -TERM "$pid" 2>/dev/null || return 0
    while kill -0 "$pid" 2>/dev/null; do
        sleep 0.1
    done
}

# ---- commands ----

# The options become a file in the daemon's own canonical form; it refuses what is wrong with a sentence.
write_config() {
    local program
    program=$(find_program causeway-parent) || fail "causeway-parent is not installed"
    "$program" "$@" --print-config >"$run/causeway-parent.conf" || exit 2
    "$program" --config "$run/causeway-parent.conf" --check || fail "this host is not ready, see above"
}

write_resolver_config() {
    local program
    program=$(find_program causeway-dns) || fail "causeway-dns is not installed"
    "$program" --listen "$1" --upstream resolv-conf --print-config >"$run/causeway-dns.conf" || exit 2
}

start() {
    local manager=auto resolver='' programs=(causeway-parent)
    while [[ $# -gt 0 ]]; do
        case $1 in
        --manager | --resolver)
            [[ $# -ge 2 ]] || fail "$1 needs a value" 2
            if [[ $1 == --manager ]]; then manager=$2; else resolver=$2; fi
            shift 2
            ;;
        *) break ;;
        esac
    done
    [[ $EUID -eq 0 ]] || fail "devices and firewall rules need root: sudo $0 start ..."
    [[ -z $(chosen_manager) ]] || fail "already started: see '$0 status', or stop it first"
    manager=$(pick_manager "$manager") || exit
    mkdir -p "${run%/*}" && mkdir -m 0700 "$run"
    [[ -d $run ]] || fail "cannot make $run"
    trap 'rm -rf "$run"' EXIT # until something runs there is nothing to keep
    write_config "$@"
    if [[ $resolver ]]; then
        write_resolver_config "$resolver"
        programs+=(causeway-dns)
    fi
    printf '%s\n' "${programs[@]}" >"$run/programs"
    began=$(date +%s)
    if ! "${manager}_start" "${programs[@]}"; then
        for_all "${manager}_reason" >&2
        "${manager}_stop" "${programs[@]}"
        fail "not started: the reason is above"
    fi
    echo "$manager" >"$run/manager"
    trap - EXIT
    for_all "${manager}_show"
}

# for_all COMMAND: with each program that was started.
for_all() {
    local name
    while read -r name; do
        "$1" "$name"
    done <"$run/programs"
}

status() {
    local manager name all=0
    manager=$(chosen_manager) || { echo "not started"; exit 3; }
    for_all "${manager}_show"
    while read -r name; do
        "${manager}_running" "$name" || all=3
    done <"$run/programs"
    exit "$all"
}

# What the daemons would have left behind had they not been able to clean up.
report_remains() {
    local remains
    remains=$(ip -o link show 2>/dev/null | grep -oE '\bcw(in|out)[0-9]+' | sort -u)
    [[ -z $remains ]] || fail "still there: devices $(tr '\n' ' ' <<<"$remains")"
}

stop() {
    local manager programs
    manager=$(chosen_manager) || { echo "not started"; exit 0; }
    mapfile -t programs <"$run/programs"
    "${manager}_stop" "${programs[@]}"
    rm -rf "$run"
    report_remains
    echo "stopped"
}

case ${1:-help} in
start) shift && start "$@" ;;
status) status ;;
stop) stop ;;
help | --help | -h) usage ;;
*) fail "unknown command '$1': start, status, stop or help" 2 ;;
esac
