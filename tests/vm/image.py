# SPDX-License-Identifier: Apache-2.0
"""What is in the guest: programs of this machine with their libraries, Python with pytest, the
kernel's modules, the daemons and the tests."""
import shlex
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple

import cpio

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ("cat", "curl", "cut", "dash", "ip", "iperf3", "mkdir", "modprobe", "mount", "nft",
            "nginx", "ping", "python3", "ss", "stty", "sync", "uname", "xtables-legacy-multi",
            "xtables-nft-multi")
BUSYBOX = ("reboot", "kill", "ls", "ps", "dmesg", "grep", "sed", "sleep", "true", "false")
LEGACY = [f"{tool}-legacy{end}" for tool in ("iptables", "ip6tables")
          for end in ("", "-save", "-restore")]
NFT = [f"{tool}{kind}{end}" for tool in ("iptables", "ip6tables") for kind in ("", "-nft")
       for end in ("", "-save", "-restore")]
PYTHON = "python%d.%d" % sys.version_info[:2]
MULTIARCH = sysconfig.get_config_var("MULTIARCH")
PYTHON_SKIP = ("test", "tests", "idlelib", "lib2to3", "ensurepip", "tkinter", "pydoc_data",
               "distutils", "turtledemo", "sitecustomize.py",
               f"config-{PYTHON.removeprefix('python')}-{MULTIARCH}")
PYTEST = ("pytest", "_pytest", "pluggy", "iniconfig", "packaging", "attr", "attrs", "py.py")
CONFIGURATION = ("/etc/nsswitch.conf", "/etc/protocols", "/etc/services", "/etc/mime.types",
                 "/etc/iproute2", "/usr/lib/iproute2", "/etc/nginx/mime.types", "/etc/ld.so.conf",
                 "/etc/ld.so.conf.d", "/etc/ld.so.cache", "/etc/ssl/openssl.cnf")
TESTS = "tests/netns"
# Those of the project; the last two only some tests need.
PROGRAMS_BUILT = ("enclave/causeway-enclave", "parent/causeway-parent", "dns/causeway-dns",
                  "tests/tools/crowd")
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def _base(archive):
    for link in ("bin", "sbin", "lib", "lib64", "lib32"):
        if Path("/", link).is_symlink():
            archive.link(link, f"usr/{link}")
    for directory in ("proc", "sys", "dev", "run", "tmp", "root", "var/log/nginx", "var/lib/nginx",
                      "etc"):
        archive.directory(directory)
    archive.link("var/run", "/run")
    archive.device("dev/console", 5, 1)
    archive.device("dev/null", 1, 3, 0o666)
    archive.write("/etc/passwd", b"root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n")
    archive.write("/etc/group", b"root:x:0:\nnogroup:x:65534:\n")
    archive.write("/etc/hosts", b"127.0.0.1 localhost\n::1 localhost\n")


def missing_programs(*more):
    """What has to be installed here before there can be a guest."""
    return [name for name in (*PROGRAMS, "busybox", *more) if shutil.which(name, path=PATH) is None]


def _programs(archive, more):
    for name in (*PROGRAMS, *more):
        archive.program(shutil.which(name, path=PATH))
    for name, target in [(name, "xtables-legacy-multi") for name in LEGACY] + \
                        [(name, "xtables-nft-multi") for name in NFT]:
        archive.link(f"usr/sbin/{name}", target)
    # dash: busybox's shell would prefer its own ip and ping to ours.
    archive.link("usr/bin/sh", "dash")
    archive.program("/bin/busybox", "/usr/bin/busybox")
    for name in BUSYBOX:
        archive.link(f"usr/bin/{name}", "busybox")
    libraries = Path("/usr/lib", MULTIARCH)
    for plugin in sorted((libraries / "xtables").iterdir()):
        archive.program(plugin)
    for name in sorted(libraries.glob("libnss_files*")):
        archive.copy(name)
    # Loaded at run time: pthread_exit() unwinds the stack with it.
    archive.program(libraries / "libgcc_s.so.1")


def _python(archive):
    library = Path("/usr/lib", PYTHON)
    archive.tree(library, skip=PYTHON_SKIP)
    for module in library.glob("lib-dynload/*.so"):
        archive.program(module)
    for name in PYTEST:
        source = Path("/usr/lib/python3/dist-packages") / name
        if source.is_dir():
            archive.tree(source)
        elif source.exists():
            archive.copy(source)


def _configuration(archive):
    for name in CONFIGURATION:
        path = Path(name)
        if path.is_dir():
            archive.tree(path)
        elif path.exists():
            archive.copy(path.resolve(), name)


def stage(directory):
    """The guest's project without its programs: the namespace tests and ours side by side, so that
    they share fixtures. The same tree is good for asking pytest which tests there are."""
    tests = Path(directory) / TESTS
    tests.mkdir(parents=True)
    for source in (*(ROOT / "tests/netns").glob("*.py"), *(ROOT / "tests/vm/inside").glob("*.py"),
                   ROOT / "tests/docker/dockerd.py"):
        shutil.copy(source, tests)
    # What dockerd.py offers operators, and uses itself.
    shutil.copytree(ROOT / "enclave/docker", Path(directory) / "enclave/docker")


class Content(NamedTuple):
    """What is particular about one guest."""
    command: list            # run by init
    modules: tuple           # loaded by init: the vsock transport
    environment: dict = {}
    reports: str = ""        # the serial line for results
    programs: tuple = ()     # besides PROGRAMS
    additions: tuple = ()    # functions that put more into the archive


def pytest_content(modules, arguments):
    """A guest that runs tests and reports their results."""
    return Content(["/usr/bin/python3", "-m", "pytest", "-v", "--tb=short", "-p", "no:cacheprovider",
                    "-p", "guest", *arguments], modules, reports="/dev/ttyS1")


def _project(archive, build, staged, content):
    for program in PROGRAMS_BUILT:
        if (build / program).exists():
            archive.program(build / program, f"/project/build/{program}")
    archive.tree(staged, "/project", skip=("__pycache__",))
    archive.copy(ROOT / "tests/vm/inside/init", "/init")
    variables = {"CAUSEWAY_BUILD": "/project/build", "PYTHONPATH": f"/project/{TESTS}",
                 **content.environment}
    lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    lines += [f"MODULES={shlex.quote(' '.join(content.modules))}",
              f"REPORTS={shlex.quote(content.reports)}", f"set -- {shlex.join(content.command)}"]
    archive.write("/arguments", "".join(f"{line}\n" for line in lines).encode())


def make(path, kernel, build, staged, content):
    """Writes the initramfs."""
    with cpio.Archive(path) as archive:
        _base(archive)
        _programs(archive, content.programs)
        _python(archive)
        _configuration(archive)
        kernel.add_modules(archive)
        _project(archive, build, staged, content)
        for add in content.additions:
            add(archive)
