#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Rules of this tree that no compiler knows.

lint.py CHECK      one of: layers, licence, format, shell, places, merged, errors,
                   columns, tested, code_map
Exit status 77: the tool that the check needs is not installed.
"""
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Storeys: what the files of a folder may include of ours. The longest folder that fits a file counts.
# A header that is private to its folder (*_private.h, *_internal.h) is included from there alone.
LAYERS = {
    "packet": {"packet"},
    "runtime/base": {"packet", "runtime/base"},
    "runtime/host": {"packet", "runtime/base", "runtime/host"},
    "runtime/lane": {"packet", "runtime/base", "runtime/host", "runtime/lane"},
    "dns/message": {"packet", "dns/message"},
    "dns/upstream": {"packet", "runtime/base", "dns/message", "dns/upstream"},
    "dns/resolve": {"packet", "runtime/base", "dns/message", "dns/upstream", "dns/resolve"},
    "dns/files": {"packet", "runtime/base", "dns/message", "dns/upstream", "dns/files"},
    "dns": {"packet", "runtime/base", "dns"},
    "ctl": {"packet", "runtime/base", "ctl"},
    "enclave": {"packet", "runtime", "enclave"},
    "parent": {"packet", "runtime", "parent"},
}
GENERATED = {"rule_templates.h"}
# Pure: bytes to values.
PURE = {"packet", "dns/message"}
IMPURE = re.compile(r"\b(malloc|calloc|realloc|free|printf|fprintf|open|close|read|write|send|recv|"
                    r"socket|ioctl|time|clock_gettime|getenv|exit|abort)\s*\(")
PRODUCT = {"packet", "runtime", "dns", "ctl", "enclave", "parent"}
SKIPPED_FOLDERS = {".git", "corpus"}


def git_files():
    """What git tracks or would; nothing where there is no git or no repository."""
    if not shutil.which("git"):
        return []
    return subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"],
                          cwd=ROOT, check=False, capture_output=True, text=True).stdout.split()


def files(*suffixes):
    names = git_files() or [str(p.relative_to(ROOT)) for p in ROOT.rglob("*") if p.is_file()]
    for name in names:
        path = ROOT / name
        if path.is_file() and not SKIPPED_FOLDERS & set(Path(name).parts) and \
                not name.startswith("build") and (not suffixes or path.suffix in suffixes):
            yield path


def lines(path):
    return enumerate(path.read_text(errors="replace").splitlines(), 1)


def storey(path):
    """The folder of LAYERS that a path from the root lies in, or None."""
    fitting = [folder for folder in LAYERS if path.startswith(folder + "/")]
    return max(fitting, key=len, default=None)


def wall(folder, own_folder, target):
    """Why a file of this storey may not include the target, or None."""
    if "/" not in target:
        return "includes are written with their folder"
    if not any(target.startswith(allowed + "/") for allowed in LAYERS[folder]):
        return f"{folder}/ may not include {target}"
    if re.search(r"(private|internal)\.h$", target) and own_folder != target.rpartition("/")[0]:
        return f"{target} is private to its folder"
    return None


def layers():
    """Includes are written with their folder and follow the storeys."""
    for path in files(".c", ".h"):
        name = str(path.relative_to(ROOT))
        folder = storey(name)
        for number, line in lines(path):
            found = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if found and folder and found.group(1) not in GENERATED:
                reason = wall(folder, name.rpartition("/")[0], found.group(1))
                if reason:
                    yield path, number, reason
            if folder in PURE and path.suffix == ".c" and IMPURE.search(line):
                yield path, number, f"{folder}/ is pure: " + line.strip()


def licence():
    """Every source file names its licence in its first two lines."""
    for path in files(".c", ".h", ".py", ".sh", ".build"):
        head = "\n".join(path.read_text(errors="replace").splitlines()[:2])
        if "SPDX-License-Identifier: Apache-2.0" not in head:
            yield path, 1, "no SPDX line"


def formatted():
    """C files are as clang-format leaves them."""
    if not shutil.which("clang-format"):
        print("clang-format is not installed")
        sys.exit(77)
    # One process for all of them: starting it takes longer than a file does.
    result = subprocess.run(["clang-format", "--dry-run", "-Werror", *files(".c", ".h")],
                            check=False, capture_output=True, text=True)
    found = re.findall(r"^(.*?):(\d+):\d+: error: (.*)$", result.stderr, re.M)
    for name, number, what in found:
        yield Path(name), number, what
    if result.returncode and not found:
        yield ROOT / ".clang-format", 0, result.stderr.strip()


def shell():
    """Shell scripts pass shellcheck."""
    if not shutil.which("shellcheck"):
        print("shellcheck is not installed")
        sys.exit(77)
    scripts = [path for path in files() if path.suffix == ".sh" or
               path.read_bytes()[:11] == b"#!/bin/bash" or path.read_bytes()[:9] == b"#!/bin/sh"]
    for path in scripts:
        result = subprocess.run(["shellcheck", "-S", "warning", "-f", "gcc", str(path)], check=False,
                                capture_output=True, text=True)
        for line in result.stdout.splitlines():
            yield path, 0, line


def places():
    """Nothing depends on where one developer keeps things."""
    pattern = re.compile(r"(^|[\s\"'=(:])/(wo" r"rk|home)/|\.\./sha" r"red")
    for path in files():
        if path == Path(__file__).resolve() or b"\0" in path.read_bytes()[:4096]:
            continue
        for number, line in lines(path):
            if pattern.search(line):
                yield path, number, line.strip()


def merged():
    """No file has what git writes into it where two changes meet."""
    for path in files():
        for number, line in lines(path):
            if re.match(r"(<{7}|>{7}) ", line):
                yield path, number, "not merged: " + line.strip()


def columns():
    """Documents are wrapped at 100 columns; tables, code and links alone on a line are not."""
    for path in files(".md"):
        in_code = False
        for number, line in lines(path):
            if line.lstrip().startswith("```"):
                in_code = not in_code
            elif not in_code and len(line) > 100 and line.lstrip()[0] != "|" and " " in line.strip():
                yield path, number, f"{len(line)} columns"


def operators():
    """sizeof(x), with parentheses: CONTRIBUTING.md."""
    for path in files(".c", ".h"):
        for number, line in lines(path):
            if re.search(r"\bsizeof\s+[\w*]", re.sub(r"/\*.*|^ \*.*|\".*?\"", "", line)):
                yield path, number, "sizeof without parentheses"


def errors():
    """A function that says why it failed returns a bool, or a pointer: CONTRIBUTING.md."""
    pattern = re.compile(r"^(?:static |inline )*(?:int|unsigned|long|ssize_t|size_t) \w+\("
                         r"[^;{}]*?struct failure \*", re.M)
    for path in files(".c", ".h"):
        if path.relative_to(ROOT).parts[0] in PRODUCT:
            text = path.read_text()
            for found in pattern.finditer(text):
                yield path, text.count("\n", 0, found.start()) + 1, \
                    "with a struct failure a function returns bool"


def unit_programs(name):
    """What a unit test program of a product file may be called, best one first."""
    top, *folders, file = name.removesuffix(".c").split("/")
    plain = file if top == "runtime" else f"{top}_{file}"
    return [f"tests/unit/{plain}.c", f"tests/unit/{'_'.join([top, *folders, file])}.c"]


def tested():
    """Every product file has a unit test program, or stands in tests/unit/elsewhere.txt."""
    table = ROOT / "tests/unit/elsewhere.txt"
    elsewhere = [line.split() for _, line in lines(table) if not line.startswith("#")]
    for path in files(".c"):
        name = str(path.relative_to(ROOT))
        tests = unit_programs(name) + [test for start, test in elsewhere if name.startswith(start)]
        if name.split("/")[0] in PRODUCT and not any((ROOT / test).is_file() for test in tests):
            yield path, 1, f"needs {tests[0]}, or a line in {table.relative_to(ROOT)}"


def code_map():
    """docs/code-map.md names every file of the products once, and no other."""
    page = ROOT / "docs/code-map.md"
    there = {str(path.relative_to(ROOT).with_suffix("")) for path in files(".c", ".h")
             if path.relative_to(ROOT).parts[0] in PRODUCT}
    named = set()
    for number, line in lines(page):
        for name in re.findall(r"^\| `([\w/]+)` \|", line):
            if name in named:
                yield page, number, f"named twice: {name}"
            elif name not in there:
                yield page, number, f"no such file: {name}"
            named.add(name)
    for name in sorted(there - named):
        yield page, 0, f"not named, and needs a line there: {name}"


CHECKS = {"layers": layers, "licence": licence, "format": formatted, "shell": shell, "places": places,
          "merged": merged, "operators": operators, "errors": errors, "columns": columns, "tested": tested,
          "code_map": code_map}


def main():
    check = CHECKS.get(sys.argv[1] if len(sys.argv) == 2 else "")
    if check is None:
        sys.exit(__doc__)
    failures = 0
    for path, number, what in check():
        print(f"{path.relative_to(ROOT)}:{number}: {what}")
        failures += 1
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
