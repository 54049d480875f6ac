# SPDX-License-Identifier: Apache-2.0
"""Jobs: a build, the unit tests of a build, one file of pytest. Each knows its command and how to
read what came of it."""
import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from results import Outcome, meson_skips, read_junit

ROOT = Path(__file__).resolve().parents[2]
PYTHON = "/usr/bin/python3"  # Debian's: its pytest is the one in packages.txt
NO_TESTS = 5                 # pytest's exit status
JUNIT = "meson-logs/testlog.junit.xml"


@dataclass
class Job:
    """needs: names of jobs that come before. weight: how many places it takes (schedule.py). seconds:
    about how long it takes, where no run has shown it."""
    name: str
    section: str
    needs: tuple = ()
    weight: int = 1
    seconds: float = 20.0
    environment: dict = field(default_factory=dict)

    def length(self, memory):
        """How long it takes: the longest starts first."""
        return memory.seconds(self.name) or self.seconds

    def prepare(self, run):
        """Before the command. Returns a sentence if there is nothing to run."""

    def command(self, run):
        raise NotImplementedError

    def judge(self, run, status, output):
        """An Outcome of the exit status (negative: a signal) and the output."""
        raise NotImplementedError

    def still_failing(self, run, outcome):
        """After this run: has something failed that has not passed since, and the names, if the
        next run needs to be told."""
        return not outcome.is_good(), []

    def title(self):
        return self.section


@dataclass
class Build(Job):
    """Warnings are errors, and a test that cannot be built is one too. A directory that is there
    already (demo.sh makes one without tests) is brought into the same state."""
    directory: str = "build"
    arguments: tuple = ()

    def length(self, memory):
        """Others wait for it, however little there was to do last time."""
        return self.seconds

    def command(self, run):
        again = ["--reconfigure"] if (ROOT / self.directory / "build.ninja").exists() else []
        setup = ["meson", "setup", self.directory, *again, "--werror", "-Dtests=enabled",
                 *self.arguments]
        return ["sh", "-e", "-c", '"$@" && exec ninja -C "$0"', self.directory, *setup]

    def judge(self, run, status, output):
        if status == 0:
            return Outcome(output=output.splitlines()[-1] if output else "")
        lines = output.splitlines()
        first = next((number for number, line in enumerate(lines)
                      if line.startswith("FAILED") or "ERROR" in line), max(0, len(lines) - 30))
        return Outcome(broken=f"{self.directory} could not be built",
                       output="\n".join(lines[first:first + 60]))

    def title(self):
        return f"{self.section}: build"


@dataclass
class Unit(Job):
    """Unit tests, fuzz corpora and lint of one build."""
    directory: str = "build"
    suites: tuple = ()

    def _listed(self):
        """Names, from meson's own description: what `meson test --list` prints changes."""
        listing = subprocess.run(["meson", "introspect", "--tests", self.directory], cwd=ROOT,
                                 check=True, capture_output=True, text=True).stdout
        return sorted({test["name"] for test in json.loads(listing)
                       if not self.suites or
                       set(self.suites) & {suite.rpartition(":")[2] for suite in test["suite"]}})

    def prepare(self, run):
        self.names = self._listed()
        if run.only:
            self.names = [name for name in self.names if run.only in name]
        if run.failed:
            before = run.memory.failed_names(self.name)
            self.names = [name for name in self.names if not before or name in before]
        (ROOT / self.directory / JUNIT).unlink(missing_ok=True)
        return None if self.names else f"no test here matches '{run.only}'"

    def command(self, run):
        return ["meson", "test", "-C", self.directory, "--print-errorlogs", "--no-rebuild",
                *self.names]

    def judge(self, run, status, output):
        outcome = read_junit(ROOT / self.directory / JUNIT)
        if outcome is None or (status != 0 and not outcome.failed):
            outcome = outcome or Outcome()
            outcome.broken = f"meson test ended with status {status}"
        outcome.output = "\n".join([output.rstrip(), *meson_skips(ROOT / self.directory)])
        return outcome

    def still_failing(self, run, outcome):
        now = {name.rpartition(" ")[2] for name in outcome.failed}
        names = now | set(run.memory.failed_names(self.name)) - set(self.names)
        return bool(names or outcome.broken), sorted(names)

    def title(self):
        return f"{self.section}: unit tests, fuzz corpora, lint"


@dataclass
class Pytest(Job):
    """One file, in a process and in namespaces of its own."""
    path: str = ""
    build: str = "build"
    arguments: tuple = ()

    def prepare(self, run):
        self._junit(run).unlink(missing_ok=True)

    def _junit(self, run):
        return run.directory / f"{self.name}.xml"

    def _cache(self, run):
        return run.directory / "cache" / self.name

    def command(self, run):
        words = [PYTHON, "-m", "pytest", "-q", "-rs", "-o",
                 f"cache_dir={self._cache(run)}",
                 f"--junitxml={self._junit(run)}", *self.arguments]
        if run.only:
            words += ["-k", run.only]
        if run.failed:
            words += ["--last-failed", "--last-failed-no-failures=all"]
        return [*words, self.path]

    def judge(self, run, status, output):
        outcome = read_junit(self._junit(run)) or Outcome()
        chosen = run.only or run.failed
        if status not in (0, 1, NO_TESTS) and not outcome.failed:
            outcome.broken = f"{self.path}: pytest ended with status {status}"
        elif status == NO_TESTS and not chosen:
            outcome.broken = f"{self.path}: no test was found"
        elif status in (0, 1) and not self._junit(run).exists():
            outcome.broken = f"{self.path}: pytest left no results"
        lines = [line for line in output.splitlines() if "generated xml file" not in line]
        outcome.output = "" if status == NO_TESTS else "\n".join(lines)
        return outcome

    def still_failing(self, run, outcome):
        """pytest remembers the tests itself."""
        path = self._cache(run) / "v/cache/lastfailed"
        names = json.loads(path.read_text()) if path.exists() else {}
        return bool(names or outcome.broken), []

    def title(self):
        return f"{self.section}: {self.path}"


@dataclass
class Program(Job):
    """Something that succeeds or does not, and has no tests to count."""
    words: tuple = ()

    def length(self, memory):
        """A negative guess puts it last."""
        return self.seconds

    def command(self, run):
        return list(self.words)

    def judge(self, run, status, output):
        failed = "" if status == 0 else f"{self.words[0]} ended with status {status}"
        return Outcome(broken=failed, output=output)


def environment_of(job, run):
    """What a job's command gets."""
    given = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **job.environment}
    if isinstance(job, Pytest):
        given["CAUSEWAY_BUILD"] = job.build
    if run.keep:
        given["CAUSEWAY_TEST_KEEP"] = "1"
    return given
