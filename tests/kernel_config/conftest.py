# SPDX-License-Identifier: Apache-2.0
"""Running the two tools, and configurations small enough to read."""
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / "kernel-config"
# The kernel's source is shared with the tests that boot what is built from it.
sys.path.insert(0, str(ROOT / "tests/vm"))


class Result:
    def __init__(self, done):
        self.status, self.out, self.err = done.returncode, done.stdout, done.stderr

    def complaint(self):
        """The one sentence that bad input gets, and nothing else."""
        assert self.status == 2, (self.status, self.out, self.err)
        assert self.out == "" and self.err.count("\n") == 1, (self.out, self.err)
        assert all(" " <= letter <= "~" for letter in self.err.rstrip("\n")), ascii(self.err)
        return self.err


@pytest.fixture(scope="session")
def tool():
    def run(name, *arguments, shell=()):
        command = [*shell, str(TOOLS / name), *map(str, arguments)]
        return Result(subprocess.run(command, capture_output=True, text=True, check=False))
    return run


@pytest.fixture
def write(tmp_path):
    """Writes a file of these lines; returns its path."""
    def make(lines, name="base"):
        path = tmp_path / name
        path.write_text("".join(line + "\n" for line in lines))
        return path
    return make


def settings(text):
    """{"NAME": "y"} of a configuration's or a fragment's lines."""
    return dict(line.removeprefix("CONFIG_").split("=", 1) for line in text.splitlines()
                if line.startswith("CONFIG_"))
