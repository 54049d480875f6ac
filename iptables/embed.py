#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the given text files into a C header, one string each: embed.py OUT INPUT...

enclave.ipv4.rules becomes rule_enclave_ipv4_rules.
"""
import os
import re
import sys


def c_string(text):
    return "\n".join(
        '    "' + line.replace("\\", "\\\\").replace('"', '\\"').rstrip("\n") + '\\n"'
        for line in text.splitlines(keepends=True)
    )


def main(out, inputs):
    with open(out, "w", encoding="utf-8") as header:
        header.write("/* Made by embed.py from the files of iptables/. */\n")
        for path in inputs:
            name = "rule_" + re.sub(r"\W", "_", os.path.basename(path))
            with open(path, encoding="utf-8") as source:
                text = source.read()
            header.write(f"static const char {name}[] __attribute__((unused)) =\n{c_string(text)};\n")


main(sys.argv[1], sys.argv[2:])
