# SPDX-License-Identifier: Apache-2.0
"""Runs jobs side by side: most of them wait most of the time.

There are so many places. A job takes as many as its weight, starts when the jobs that it needs have
ended, and the longest starts first. Its output is kept and shown whole when it has ended.
"""
import os
import signal
import subprocess
import sys
import time

from jobs import environment_of
from results import Outcome

# A job that takes longer hangs. Several times what the longest takes, the first build of a kernel
# included; the tests have limits of their own, and say what did not come.
LIMIT_SECONDS = 90 * 60
GRACE_SECONDS = 60  # for a job that was told to end


class Running:
    """A job's process, in a process group of its own."""

    def __init__(self, job, run):
        self.job = job
        self.log_path = run.directory / f"{job.name}.log"
        self.began = time.monotonic()
        self.is_late = False
        self.processor = 0.0
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                job.command(run), cwd=run.root, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=environment_of(job, run), start_new_session=True)

    def signal(self, number):
        """To the group: pytest ends its tests in order at SIGINT."""
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass

    def has_ended(self):
        """Reaps it, and notes what it has cost."""
        if self.process.returncode is None:
            pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
            if pid:
                self.process.returncode = os.waitstatus_to_exitcode(status)
                self.processor = usage.ru_utime + usage.ru_stime
        return self.process.returncode is not None

    def check_limit(self):
        if not self.is_late and time.monotonic() - self.began > LIMIT_SECONDS:
            self.is_late = True
            self.signal(signal.SIGKILL)

    def outcome(self, run):
        output = self.log_path.read_text(errors="replace")
        try:
            made = self.job.judge(run, self.process.returncode, output)
        except (OSError, ValueError, KeyError) as problem:
            made = Outcome(broken=f"its results cannot be read: {problem}", output=output)
        made.seconds, made.processor = time.monotonic() - self.began, self.processor
        if self.is_late:
            made.broken = f"ended after {LIMIT_SECONDS // 60} minutes"
        return made


class Schedule:
    """One run of a list of jobs."""

    def __init__(self, run, jobs, places):
        self.run, self.places = run, places
        self.waiting = sorted(jobs, key=lambda job: job.length(run.memory),
                              reverse=True)
        self.running = []
        self.outcomes = {}
        self.interrupted = None  # when

    def go(self):
        """Until nothing is left. {job name: Outcome}"""
        previous = {number: signal.signal(number, self._interrupt)
                    for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            while self.waiting or self.running:
                self._drop_hopeless()
                self._start()
                self._collect()
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
        return self.outcomes

    def _interrupt(self, _number, _frame):
        self.interrupted = self.interrupted or time.monotonic()
        self.waiting.clear()
        for running in self.running:
            running.signal(signal.SIGINT)

    def _drop_hopeless(self):
        """A job whose needs broke is not run; what broke is counted there."""
        for job in list(self.waiting):
            failed = [need for need in job.needs
                      if need in self.outcomes and self.outcomes[need].broken]
            if failed:
                self.waiting.remove(job)
                self.outcomes[job.name] = Outcome()
                print(f"\n==== {job.title()}\nnot run: {failed[0]} failed", flush=True)

    def _start(self):
        for job in list(self.waiting):
            used = sum(running.job.weight for running in self.running)
            if not all(need in self.outcomes for need in job.needs):
                continue
            if used + min(job.weight, self.places) > self.places:
                break  # it gets the next places: small ones behind it would never let it in
            self.waiting.remove(job)
            nothing = job.prepare(self.run)
            if nothing:
                self.outcomes[job.name] = Outcome()
            else:
                self.running.append(Running(job, self.run))

    def _collect(self):
        time.sleep(0.05)
        for running in list(self.running):
            running.check_limit()
            if self.interrupted and time.monotonic() > self.interrupted + GRACE_SECONDS:
                running.signal(signal.SIGKILL)
            if running.has_ended():
                self.running.remove(running)
                if not self.run.keep:
                    running.signal(signal.SIGKILL)  # what a job leaves that died
                self._finish(running)

    def _finish(self, running):
        job, outcome = running.job, running.outcome(self.run)
        if self.interrupted:
            outcome.broken = outcome.broken or "interrupted"
        self.outcomes[job.name] = outcome
        failing, names = job.still_failing(self.run, outcome)
        whole = None if self.run.only or self.run.failed else outcome.seconds
        self.run.memory.note(job.name, failing, names, whole)
        if outcome.output.strip() or outcome.broken:
            print(f"\n==== {job.title()} ({outcome.seconds:.0f} s, "
                  f"processor {outcome.processor:.0f} s)")
            print(outcome.output.strip())
            if outcome.broken:
                print(f"FAILED {outcome.broken}")
            sys.stdout.flush()
