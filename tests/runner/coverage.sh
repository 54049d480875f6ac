#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# coverage.sh BUILD: which lines of the product a build's programs have run since the last report. Prints
# a table and leaves pages in BUILD/coverage/.
set -eu
build=$1
mkdir -p "$build/coverage"
# Programs that are killed while they write leave half a file: gcovr reads the others.
exec gcovr --root . --object-directory "$build" --gcov-ignore-parse-errors \
    --exclude 'tests/' --exclude 'bench/' --exclude "$build/" --exclude-unreachable-branches \
    --print-summary --html-details "$build/coverage/index.html" --txt - --delete "$build"
