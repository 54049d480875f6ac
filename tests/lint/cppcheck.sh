#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# cppcheck.sh SOURCE-ROOT GENERATED-HEADERS
cd "$1" || exit 1
exec cppcheck --quiet --error-exitcode=1 --enable=warning,performance,portability --inline-suppr \
    --std=c11 -D_GNU_SOURCE --include=tests/lint/cppcheck.h -I. -I"$2" packet runtime dns ctl \
    enclave parent
