# SPDX-License-Identifier: Apache-2.0
"""Which jobs a run has."""
from jobs import ROOT, Build, Program, Pytest, Unit

# About how long these take on two busy processors: the longest start first. What is not here takes
# less than half a minute; a run that follows another goes by what the last one took.
SECONDS = {
    "tests/vm/test_pair.py": 400,
    "tests/vm/test_loopback.py": 300,
}
GUESTS = {
    "vm": ("test_eif", "test_loopback", "test_pair"),
    "vm-kernel": ("test_kernel",),
    "vm-nitro": ("test_nitro",),
}
# In every run: each firewall tool and each way of capturing once.
DOCKER_FORMS = "legacy-nfqueue,nft-packet"
GUEST_WEIGHT = 2  # a guest computes all the time, and never waits
# What the sanitizers look at beyond the unit tests: whatever reads what others have written.
HOSTILE = ("test_clients", "test_datagrams", "test_hostile", "test_dns_answers", "test_dns_control",
           "test_dns_hostile")
# ThreadSanitizer: whatever crosses from one thread to another.
THREADS = ("test_capture", "test_clients", "test_control", "test_lanes", "test_streams")
# The sandbox would forbid what the run time of these builds needs; its own tests run without them.
NO_SANDBOX = {"CAUSEWAY_TEST_ARGUMENTS": "--no-sandbox"}


def paths(folder, names=None):
    """Test files of a folder, or some of them."""
    found = sorted((ROOT / "tests" / folder).glob("test_*.py"))
    return [str(path.relative_to(ROOT)) for path in found if names is None or path.stem in names]


def name_of(path, suffix=""):
    """tests/netns/test_clients.py: netns-clients"""
    _, folder, file = path.split("/")
    return f"{folder}-{file.removeprefix('test_').removesuffix('.py')}{suffix}"


def pytests(section, folder, names=None, suffix="", **options):
    return [Pytest(name=name_of(path, suffix), section=section, path=path,
                   seconds=SECONDS.get(path, 20), **options)
            for path in paths(folder, names)]


def gcc(run):
    """The build that everything else takes its programs from."""
    return [Build(name="build", section="gcc", directory=run.build, weight=2, seconds=1000)]


def unit(run):
    return [Unit(name="unit", section="gcc", needs=("build",), directory=run.build, weight=2,
                 seconds=200)]


def instrumented(section, name, arguments, environment, names, forms):
    """A build of its own, its unit tests (no lint) and some namespace tests with it."""
    made = f"build-{name}"
    return [Build(name=made, section=section, directory=made, arguments=arguments, weight=2,
                  seconds=900, environment=environment),
            Unit(name=f"unit-{name}", section=section, needs=(made,), directory=made, weight=2,
                 suites=("unit", "fuzz"), seconds=200, environment=environment),
            *pytests(f"namespace tests, {section}", "netns", names, suffix=f"-{name}",
                     needs=(made,), build=made, arguments=(f"--forms={forms}",),
                     environment={**environment, **NO_SANDBOX})]


def sanitizers(_):
    return instrumented("clang with AddressSanitizer and UndefinedBehaviorSanitizer", "asan",
                        ("--buildtype=debugoptimized", "-Db_sanitize=address,undefined",
                         "-Db_lundef=false"),
                        {"CC": "clang", "UBSAN_OPTIONS": "halt_on_error=1"},
                        HOSTILE, "nfqueue-4,packet-1")


def threads(_):
    return instrumented("clang with ThreadSanitizer", "tsan",
                        ("--buildtype=debugoptimized", "-Db_sanitize=thread", "-Db_lundef=false"),
                        {"CC": "clang", "TSAN_OPTIONS": "halt_on_error=1"},
                        THREADS, "nfqueue-4,packet-4")


def coverage(_):
    """The report counts what has run since the last one."""
    jobs = instrumented("coverage", "coverage", ("--buildtype=debug", "-Db_coverage=true"), {},
                        None, "nfqueue-4,packet-1")
    report = Program(name="report", section="coverage: lines",
                     needs=tuple(job.name for job in jobs), seconds=0,
                     words=("tests/runner/coverage.sh", "build-coverage"))
    return [*jobs, report]


def guests(run, depths):
    return [job for depth in depths
            for job in pytests(f"--{depth}", "vm", GUESTS[depth], build=run.build, needs=("build",),
                               weight=GUEST_WEIGHT)]


def namespaces(run):
    """Everything that runs in namespaces or in processes of this machine, with the gcc build."""
    common = {"needs": ("build",), "build": run.build}
    quick = run.quick
    jobs = [
        *pytests("namespace tests", "netns", arguments=("--forms=nfqueue-4",) if quick else (),
                 **common),
        *containers(run, "legacy-nfqueue" if quick else DOCKER_FORMS),
        *pytests("supervision", "supervise", **common),
        *pytests("scenarios: the systems that causeway replaces", "scenarios", **common),
        # The kernel's own olddefconfig needs its source, 140 MB the first time.
        *pytests("kernel configuration", "kernel_config", {"test_check", "test_merge"} if quick
                 else None),
    ]
    if not quick:
        jobs += pytests("packages", "packaging", weight=2, **common)
    return jobs


def containers(run, forms=None):
    """Without forms: each firewall tool with each way of capturing, which takes twice as long."""
    return pytests("containers: dockerd in the enclave", "docker", needs=("build",), build=run.build,
                   arguments=(f"--docker-forms={forms}",) if forms else ())


def booted(run):
    """Packages and units in systems with systemd as their first process: a switch of its own, since
    the first run makes a root file system, and each boots several times."""
    return pytests("booted systems: units, packages", "systemd", weight=2, needs=("build",),
                   build=run.build)


def benchmark(run):
    """Alone, when everything else has ended."""
    return [Program(name="bench", section="benchmark (quick; asserts nothing)", weight=10 ** 6,
                    needs=("build",), seconds=-1,
                    words=("bench/run", "--quick", "--build", run.build))]


def everything(run):
    return [*gcc(run), *unit(run), *namespaces(run), *sanitizers(run), *guests(run, ["vm"])]


def plan(run):
    """The jobs of a run: parts that were asked for, or everything."""
    chosen = []
    if run.unit:
        chosen += gcc(run) + unit(run)
    if run.quick:
        chosen += gcc(run) + unit(run) + namespaces(run)
    if run.guests:
        chosen += gcc(run) + guests(run, run.guests)
    if run.docker:
        chosen += gcc(run) + containers(run)
    if run.systemd:
        chosen += gcc(run) + booted(run)
    if run.coverage:
        chosen += coverage(run)
    if run.tsan:
        chosen += threads(run)
    chosen = chosen or everything(run)
    if run.failed:
        return only_failed(run, chosen)
    if run.bench:
        chosen += benchmark(run)
    return list({job.name: job for job in chosen}.values())


def only_failed(run, jobs):
    """Those that failed, and the builds that they need."""
    jobs = {job.name: job for job in jobs}
    chosen = {name for name in jobs if run.memory.has_failed(name)}
    needed = {need for name in chosen for need in jobs[name].needs}
    return [job for name, job in jobs.items() if name in chosen | needed]
