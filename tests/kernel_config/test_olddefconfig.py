# SPDX-License-Identifier: Apache-2.0
"""The kernel's own `make olddefconfig` keeps every line that merge puts in, for both architectures.

The source is Debian's linux-source-6.1, unpacked into the cache outside the tree. No compiler for the
other architecture is needed: Kconfig asks the host's.
"""
import pytest
from conftest import TOOLS
from enclave_kernel import AWS_FILE, aws_config
from kernel import Unavailable
from source import configure, kernel_source

GUEST = str(TOOLS / "base/guest-x86_64.config")
LINUX = {"x86_64": "x86_64", "aarch64": "arm64"}


@pytest.fixture(scope="session", name="outputs")
def fixture_outputs(tmp_path_factory):
    """A directory for each architecture, so that Kconfig's own program is compiled once in each."""
    return {machine: tmp_path_factory.mktemp(machine) for machine in LINUX}


@pytest.fixture(scope="session")
def source():
    try:
        return kernel_source()
    except Unavailable as problem:
        return pytest.skip(str(problem))


def settled(source, outputs, base, fragments, machine):
    """configure() fails by itself if a line is lost; this looks at the result, too."""
    try:
        text = configure(source, outputs[machine], base, fragments, LINUX[machine]).read_text()
    except Unavailable as problem:
        pytest.skip(str(problem))
    assert f"\n# Linux/{LINUX[machine]} 6.1." in text
    assert "\nCONFIG_NETFILTER_NETLINK_QUEUE=y\n" in text
    return text


@pytest.mark.parametrize("fragments", ["default", "all"])
@pytest.mark.parametrize("machine", LINUX)
def test_on_aws_configuration(source, tool, outputs, machine, fragments):
    base = aws_config(machine)
    if base is None:
        pytest.skip(f"{AWS_FILE.format(machine)} is not at hand: set CAUSEWAY_AWS_CONFIG to its directory")
    settled(source, outputs, base, [fragments], machine)
    need = "all" if fragments == "all" else "nfqueue,tc-mark,ipv6,nitro,docker,diagnosis"
    checked = tool("check", "--need", need, outputs[machine] / ".config")
    assert checked.status == 0, checked.out


@pytest.mark.parametrize("machine, base", [("x86_64", "defconfig"), ("aarch64", "defconfig"),
                                           ("x86_64", "tinyconfig")])
def test_on_the_kernels_own_configuration(source, tool, outputs, machine, base):
    fragments = ["all", GUEST] if base == "tinyconfig" else ["all"]
    settled(source, outputs, base, fragments, machine)
    checked = tool("check", "--need", "all", outputs[machine] / ".config")
    assert checked.status == 0, checked.out


@pytest.mark.parametrize("name", sorted(path.stem for path in TOOLS.glob("fragments/*.config")))
def test_each_fragment_stands_alone(source, outputs, name):
    """A fragment brings what its own lines depend on."""
    configure(source, outputs["x86_64"], "defconfig", [name])
