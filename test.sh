#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds causeway and runs its tests. The last line counts them all: "N passed, N failed, N skipped".
# `./test.sh --help` lists the switches; docs/testing.md says more, tests/runner/ does the work.
cd "$(dirname "$(readlink -f "$0")")" || exit 1
if [[ ! -x /usr/bin/python3 && $EUID -eq 0 ]]; then
    tests/install-packages.sh
fi
exec /usr/bin/python3 tests/runner/main.py "$@"
