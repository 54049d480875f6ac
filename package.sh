#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Makes something to install out of this tree.
#
#   ./package.sh deb [DIRECTORY]      Debian packages: causeway-common, -enclave, -parent
#   ./package.sh bundle [DIRECTORY]   causeway-bundle.tar.gz: the enclave's programs with every library
#                                     they need, the C library included, below /opt/causeway. For images that
#                                     have nothing else: unpack it at /.
#
# DIRECTORY (default: packages) gets the result. Packages that the build needs are installed first.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")"

prefix=/opt/causeway
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

usage() {
    sed -n '3,/^set/{s/^# \{0,1\}//;/^set/d;p}' "$0"
}

# What belongs to the source: tracked files where git knows, else all but build directories.
copy_source() {
    mkdir "$work/source"
    { git ls-files -z --cached --others --exclude-standard 2>/dev/null || find . -path './build*' -prune -o -path ./packages -prune -o -type f -print0; } |
        tar --null --files-from=- -cf - | tar -C "$work/source" -xf -
}

# debhelper hides the home directory. A compiler cache stays the caller's, and does not mind that the
# source lies in another directory each time.
keep_compiler_cache() {
    export CCACHE_DIR=${CCACHE_DIR:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/ccache}
    export CCACHE_BASEDIR=$work CCACHE_NOHASHDIR=yes
}

# The copies below have no git to ask.
commit=$(git describe --always --abbrev=12 --exclude='*' 2>/dev/null || echo unknown)

make_deb() {
    copy_source
    export CAUSEWAY_COMMIT=$commit
    keep_compiler_cache
    (cd "$work/source" && dpkg-buildpackage -us -uc -b) >"$work/log" 2>&1 || { tail -30 "$work/log" >&2; exit 1; }
    mv "$work"/*.deb "$1"
    ls "$1"/*.deb
}

# The programs look for the loader and the libraries below the prefix and nowhere else.
make_bundle() {
    local root=$work/root interpreter program
    # Compiled like the packages.
    eval "$(DEB_BUILD_MAINT_OPTIONS=hardening=+all dpkg-buildflags --export=sh)"
    { meson setup "$work/build" --prefix "$prefix" --sysconfdir /etc --strip -Dtests=disabled &&
        DESTDIR=$root meson install -C "$work/build"; } >"$work/log" 2>&1 || { tail -30 "$work/log" >&2; exit 1; }
    rm -rf "${root:?}$prefix"/{share,lib} "$root$prefix"/sbin/causeway-{parent,launch-parent} \
        "$root$prefix"/bin/causeway-kernel-config
    mkdir "$root$prefix/lib"
    for program in "$root$prefix"/*bin/*; do
        ldd "$program" | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p'
    done | sort -u | xargs cp -L -t "$root$prefix/lib"
    interpreter=$(patchelf --print-interpreter "$root$prefix/sbin/causeway-enclave")
    cp -L "$interpreter" "$root$prefix/lib"
    # RPATH, not RUNPATH: it counts for the libraries of libraries as well.
    patchelf --set-interpreter "$prefix/lib/${interpreter##*/}" --force-rpath --set-rpath "$prefix/lib" \
        "$root$prefix"/*bin/*
    tar -C "$root" --owner=0 --group=0 -czf "$1/causeway-bundle.tar.gz" .
    ls "$1/causeway-bundle.tar.gz"
}

output=${2:-packages}
case ${1:-} in
deb | bundle)
    tests/install-packages.sh package
    mkdir -p "$output"
    "make_$1" "$(readlink -f "$output")"
    ;;
--help | help | '') usage ;;
*)
    echo "package.sh: unknown argument '$1': deb or bundle" >&2
    exit 2
    ;;
esac
