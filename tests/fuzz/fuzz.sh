#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# fuzz.sh [SECONDS [CORES [TARGET...]]]: builds the fuzz targets with clang, AddressSanitizer and
# UndefinedBehaviorSanitizer in build-fuzz, and runs each for so many seconds (20), on so many cores
# at once (all). New corpus entries stay in build-fuzz/corpus/TARGET for the next time, what broke a
# target in build-fuzz/broken/TARGET-*. With MERGE=1, entries that reach code that no committed one
# reaches are then copied to tests/fuzz/corpus. Prints a line for each target; fails if one broke.
set -eu
cd "$(dirname "$0")/../.."
seconds=${1:-20}
cores=${2:-$(nproc)}
shift $(($# < 2 ? $# : 2))
export BUILD=$PWD/build-fuzz SECONDS_EACH=$seconds MERGE=${MERGE:-0}

[ -e "$BUILD/build.ninja" ] || CC=clang meson setup "$BUILD" -Dfuzzing=true > /dev/null
all=$(cd tests/fuzz/corpus && echo *)
targets=${*:-$all}
for target in $targets; do
    printf 'tests/fuzz/fuzz_%s\n' "$target"
done | xargs ninja -C "$BUILD" -j "$cores" > /dev/null
mkdir -p "$BUILD/broken" "$BUILD/fuzz-logs"

run_target()
{
    local target=$1 log=$BUILD/fuzz-logs/$1 new=$BUILD/corpus/$1 result=good executions
    mkdir -p "$new"
    "$BUILD/tests/fuzz/fuzz_$target" -max_total_time="$SECONDS_EACH" -print_final_stats=1 \
        -timeout=10 -artifact_prefix="$BUILD/broken/$target-" "$new" "tests/fuzz/corpus/$target" \
        > "$log" 2>&1 < /dev/null || result="BROKEN, see $log"
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    if [ "$MERGE" = 1 ] && [ "$result" = good ]; then
        "$BUILD/tests/fuzz/fuzz_$target" -merge=1 "tests/fuzz/corpus/$target" "$new" \
            >> "$log" 2>&1 < /dev/null || result="not merged, see $log"
    fi
    printf '%-16s %12s  %s\n' "$target" "${executions:-?}" "$result"
    [ "$result" = good ]
}
export -f run_target
# shellcheck disable=SC2086
printf '%s\n' $targets | xargs -P "$cores" -I{} bash -c 'run_target {}'
