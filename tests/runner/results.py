# SPDX-License-Identifier: Apache-2.0
"""What the jobs of a run came to: counted from their JUnit files, and remembered for --failed.

A job that ends in any other way than its tests can explain is a failure of its own, so that nothing
is lost from the count when a program dies before it could write its results.
"""
import json
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field

REASON_LINES, REASON_WIDTH = 6, 200


@dataclass
class Outcome:
    """One job's tests."""
    passed: int = 0
    failed: list = field(default_factory=list)  # names
    reasons: dict = field(default_factory=dict)  # {name: the first lines of what it said}
    skipped: int = 0
    broken: str = ""      # why the job itself failed, where no test shows it
    output: str = ""
    seconds: float = 0.0
    processor: float = 0.0  # seconds of it, all its processes that have been waited for

    def is_good(self):
        return not self.failed and not self.broken


def reason(case):
    """What a test case's failure said: it stands beside its name at the end of the run, since the
    middle of a long output is what gets lost."""
    said = next((child.get("message") or "" for child in case if child.tag in ("failure", "error")), "")
    return "\n".join(line[:REASON_WIDTH] for line in said.splitlines()[:REASON_LINES])


def read_junit(path):
    """An Outcome, or nothing where there is no complete file."""
    try:
        root = ElementTree.parse(path)
    except (OSError, ElementTree.ParseError):
        return None
    found = Outcome()
    for case in root.iter("testcase"):
        kinds = {child.tag for child in case}
        if kinds & {"failure", "error"}:
            name = f"{case.get('classname')} {case.get('name')}"
            found.failed.append(name)
            found.reasons[name] = reason(case)
        elif "skipped" in kinds:
            found.skipped += 1
        else:
            found.passed += 1
    return found


def meson_skips(directory):
    """Meson tells that a program was skipped; the program has said why."""
    lines, log = [], directory / "meson-logs/testlog.json"
    for text in log.read_text().splitlines() if log.exists() else []:
        test = json.loads(text)
        if test["result"] == "SKIP":
            said = (test.get("stdout") or test.get("stderr") or "").splitlines()
            reasons = [line for line in said if line.strip() and not line.startswith("[")]
            name = test["name"].rpartition(" / ")[2]
            lines.append(f"SKIPPED {name}: {reasons[-1] if reasons else 'no reason given'}")
    return lines


class Memory:
    """What failed last, and how long each job took: {job: {"failed": bool, "seconds": number}}."""

    def __init__(self, path):
        self.path = path
        try:
            self.jobs = json.loads(path.read_text())
        except (OSError, ValueError):
            self.jobs = {}

    def has_failed(self, job):
        return self.jobs.get(job, {}).get("failed", False)

    def failed_names(self, job):
        """Of a job whose runner does not remember them itself."""
        return self.jobs.get(job, {}).get("names", [])

    def seconds(self, job):
        return self.jobs.get(job, {}).get("seconds")

    def note(self, job, failed, names, seconds):
        """seconds: None for a run that was only a part of the job."""
        entry = self.jobs.setdefault(job, {})
        entry.update(failed=failed, names=names)
        if seconds is not None:
            entry["seconds"] = round(seconds, 1)
        self.path.write_text(json.dumps(self.jobs, indent=1, sort_keys=True) + "\n")


def closing_line(outcomes):
    """The last line of a run, and its exit status."""
    passed = sum(outcome.passed for outcome in outcomes)
    failed = sum(len(outcome.failed) + bool(outcome.broken) for outcome in outcomes)
    skipped = sum(outcome.skipped for outcome in outcomes)
    return f"{passed} passed, {failed} failed, {skipped} skipped", int(failed > 0 or passed == 0)
