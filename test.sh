#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds causeway and runs its tests. The last line counts them all: "N passed, N failed, N skipped".
#
#   --quick          one build, unit tests, fuzz corpora and one form of the tunnel
#   --vm             nothing but the guests: Debian's kernel in QEMU, real vsock (a part of every
#                    run that is not --quick)
#   --vm-kernel      nothing but the guests, the enclave's with the kernel that kernel-config/ makes and
#                    a real dockerd in it; the first time that kernel is built
#   --vm-nitro       nothing but the enclave image on QEMU's nitro-enclave machine; the first time
#                    that QEMU and a kernel are built
#   --only PATTERN   only tests whose name contains PATTERN (pytest -k syntax for namespace tests)
#   --no-install     do not install missing packages
#   --bench          also run the quick benchmark; it asserts nothing
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")" || exit 1

quick='' only='' install=yes bench='' guests=()
while [[ $# -gt 0 ]]; do
    case $1 in
    --quick) quick=yes ;;
    --only) only=${2:?--only needs a pattern} && shift ;;
    --no-install) install='' ;;
    --bench) bench=yes ;;
    --vm | --vm-kernel | --vm-nitro) guests+=("${1#--}") ;;
    --help) sed -n '3,/^set/{s/^# \{0,1\}//;/^set/d;p}' "$0" && exit 0 ;;
    *) echo "test.sh: unknown option '$1' (see --help)" >&2 && exit 2 ;;
    esac
    shift
done

[[ $EUID -eq 0 ]] || { echo "test.sh: namespaces and firewall rules need root: sudo ./test.sh" >&2; exit 1; }
if [[ $install ]]; then
    tests/install-packages.sh test ${guests[@]+"${guests[@]}"} || { echo "test.sh: packages could not be installed" >&2; exit 1; }
fi

results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
broken=0

section() {
    printf '\n==== %s\n' "$*"
}

# build DIRECTORY [MESON-ARGUMENTS]: warnings are errors, and a test that cannot be built is one too. A directory
# that is there already (demo.sh makes one without tests) is brought into the same state.
build() {
    local directory=$1 again=''
    shift
    [[ -f $directory/build.ninja ]] && again=--reconfigure
    meson setup "$directory" $again --werror -Dtests=enabled "$@" >"$results/setup.log" 2>&1 ||
        { tail -20 "$results/setup.log"; broken=1; return 1; }
    ninja -C "$directory" >"$results/ninja.log" 2>&1 ||
        { grep -A12 -E 'error|FAILED' "$results/ninja.log" | head -60; broken=1; return 1; }
}

# unit DIRECTORY: unit tests, fuzz corpora and lint of one build.
unit() {
    local directory=$1 names=()
    if [[ $only ]]; then
        mapfile -t names < <(meson test -C "$directory" --list 2>/dev/null | sed 's/.* \/ //' | grep -- "$only")
        [[ ${#names[@]} -gt 0 ]] || return 0
    fi
    meson test -C "$directory" --print-errorlogs --no-rebuild ${names[@]+"${names[@]}"} || true
    cp "$directory"/meson-logs/testlog.junit.xml "$results/$(basename "$directory").xml"
}

# netns NAME BUILD-DIRECTORY [PYTEST-ARGUMENTS] PATH...
netns() {
    local name=$1 directory=$2 status=0
    shift 2
    CAUSEWAY_BUILD=$directory /usr/bin/python3 -m pytest -q -rs -p no:cacheprovider \
        --junitxml="$results/$name.xml" ${only:+-k "$only"} "$@" || status=$?
    # 5: the pattern matches no test here.
    [[ $status -le 1 || $status -eq 5 ]] || broken=1
}

# guest DEPTH: the tests of one depth of virtual machines (docs/testing.md).
guest() {
    section "--$1: guests in QEMU"
    case $1 in
    vm) netns "$1" build tests/vm/test_eif.py tests/vm/test_loopback.py tests/vm/test_pair.py ;;
    vm-kernel) netns "$1" build tests/vm/test_kernel.py ;;
    vm-nitro) netns "$1" build tests/vm/test_nitro.py ;;
    esac
}

everything() {
    section "gcc: build, unit tests, fuzz corpora, lint"
    build build && unit build

    if [[ ! $quick ]]; then
        section "clang with AddressSanitizer and UndefinedBehaviorSanitizer: build, unit tests, fuzz corpora"
        # The sandbox would forbid what the sanitizers' run time needs; the sandbox's own test runs above.
        CC=clang build build-asan --buildtype=debugoptimized -Db_sanitize=address,undefined \
            -Db_lundef=false && unit build-asan
        section "namespace tests, sanitizer build, a part of them"
        CAUSEWAY_TEST_ARGUMENTS=--no-sandbox UBSAN_OPTIONS=halt_on_error=1 \
            netns netns-asan build-asan --forms=nfqueue-4,packet-1 \
            tests/netns/test_clients.py tests/netns/test_datagrams.py tests/netns/test_hostile.py \
            tests/netns/test_dns_answers.py tests/netns/test_dns_control.py tests/netns/test_dns_hostile.py
    fi

    section "kernel configuration"
    # The kernel's own olddefconfig needs its source, 140 MB the first time: not when it shall be quick.
    netns kernel_config build tests/kernel_config ${quick:+--ignore=tests/kernel_config/test_olddefconfig.py}

    section "namespace tests"
    netns netns build ${quick:+--forms=nfqueue-4} tests/netns
    section "containers: dockerd in the enclave"
    netns docker build ${quick:+--docker-forms=legacy-nfqueue} tests/docker
    section "supervision: service managers, the launch script, the enclave image's entry point"
    netns supervise build tests/supervise
    section "scenarios: the systems that causeway replaces"
    netns scenarios build tests/scenarios
    if [[ ! $quick ]]; then
        section "packages: Debian's, and the bundle for images that have nothing else"
        netns packaging build tests/packaging
    fi

    if [[ $bench ]]; then
        section "benchmark (quick; asserts nothing)"
        bench/run --quick --build build
    fi
}

if [[ ${#guests[@]} -eq 0 ]]; then
    everything
    [[ $quick ]] || guests=(vm)
else
    section "gcc: build"
    build build
fi
for depth in ${guests[@]+"${guests[@]}"}; do
    guest "$depth"
done

section "result"
tests/summary.py "$broken" "$results"/*.xml
