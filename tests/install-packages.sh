#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian packages of tests/packages.txt that are missing.
#   install-packages.sh [MARK...]      also those with a mark: "test" for what only tests need; what the
#                                      others are for stands in packages.txt
set -euo pipefail
list=$(dirname "$(readlink -f "$0")")/packages.txt

missing=()
while read -r package mark; do
    case $package in '' | '#'*) continue ;; esac
    [[ -z $mark || " $* " == *" $mark "* ]] || continue
    dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed ||
        missing+=("$package")
done <"$list"

[[ ${#missing[@]} -gt 0 ]] || exit 0
echo "installing: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
# Packages must not start services on the machine of whoever runs this.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 755 $policy
    trap 'rm -f $policy' EXIT
fi
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
