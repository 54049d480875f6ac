# SPDX-License-Identifier: Apache-2.0
"""The tests that are to run in guests become tests here.

  CAUSEWAY_BUILD      the build directory that the daemons are taken from (default: build)
  CAUSEWAY_VM_KEEP    a directory to keep consoles and images in
"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from checks import listed, short  # noqa: E402


def pytest_generate_tests(metafunc):
    if "name" in metafunc.fixturenames:
        names = listed(metafunc.module.SELECTION)
        metafunc.parametrize("name", names, ids=[short(name) for name in names])
