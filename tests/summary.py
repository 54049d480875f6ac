#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Counts the tests in JUnit files and prints the closing line.

summary.py BROKEN FILE...      BROKEN: steps that failed without a test to show for it
"""
import sys
import xml.etree.ElementTree as ElementTree


def outcome(case):
    for child in case:
        if child.tag in ("failure", "error"):
            return "failed"
        if child.tag == "skipped":
            return "skipped"
    return "passed"


def main(broken, files):
    counts = {"passed": 0, "failed": broken, "skipped": 0}
    for name in files:
        for case in ElementTree.parse(name).iter("testcase"):
            result = outcome(case)
            counts[result] += 1
            if result == "failed":
                print(f"FAILED {case.get('classname')} {case.get('name')}")
    if broken:
        print(f"FAILED {broken} step(s) that are no test: see above")
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**counts))
    return 1 if counts["failed"] or not counts["passed"] else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
