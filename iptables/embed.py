#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the given text files into a C header, one string each: embed.py OUT INPUT...

parent.nft becomes rule_parent_nft. A file of iptables' rules is the template of two families:
parent.rules becomes rule_parent_ipv4_rules and rule_parent_ipv6_rules. In it

    @           is the family's number: ${pool@} is ${pool4} and ${pool6}
    @{A|B}      is A for IPv4 and B for IPv6
    @4 LINE     is a line for IPv4 alone, @6 LINE for IPv6 alone
    @# TEXT     is for who reads the template, and goes no further

What else stands there is the language of runtime/host/rules.h.
"""
import os
import re
import sys


def c_string(text):
    return "\n".join(
        '    "' + line.replace("\\", "\\\\").replace('"', '\\"').rstrip("\n") + '\\n"'
        for line in text.splitlines(keepends=True)
    )


def of_family(text, version):
    """The template as one family has it."""
    lines = []
    for line in text.splitlines(keepends=True):
        only = re.match(r"@([46#]) ", line)
        if only and only[1] != version:
            continue
        line = line[3:] if only else line
        line = re.sub(r"@\{([^|}]*)\|([^|}]*)\}", r"\1" if version == "4" else r"\2", line)
        lines.append(line.replace("@", version))
    return "".join(lines)


def strings(path):
    """(name, text) of each string that a file becomes."""
    name, suffix = os.path.splitext(os.path.basename(path))
    with open(path, encoding="utf-8") as source:
        text = source.read()
    if suffix != ".rules":
        return [(f"rule_{name}_{suffix[1:]}", text)]
    return [(f"rule_{name}_ipv{version}_rules", of_family(text, version)) for version in "46"]


def main(out, inputs):
    with open(out, "w", encoding="utf-8") as header:
        header.write("/* Made by embed.py from the files of iptables/. */\n")
        for path in inputs:
            for name, text in strings(path):
                header.write(
                    f"static const char {name}[] __attribute__((unused)) =\n{c_string(text)};\n")


main(sys.argv[1], sys.argv[2:])
