# SPDX-License-Identifier: Apache-2.0
"""The enclave image's entry point, in namespaces of its own."""
import subprocess

from system import ROOT

ENTRYPOINT = ROOT / "enclave/image/entrypoint.sh"
# /etc/resolv.conf and the pid file of chrony are written: on copies.
ISOLATED = ["unshare", "--net", "--mount", "--propagation", "private", "sh", "-c",
            "mount -t tmpfs none /run && exec \"$@\"", "sh"]


def run(*command, **variables):
    return subprocess.run([*ISOLATED, "env", *(f"{k}={v}" for k, v in variables.items()),
                           ENTRYPOINT, *command], capture_output=True, text=True, check=False)


def test_loopback_is_up():
    done = run("ip", "-br", "link", "show", "lo")
    assert done.returncode == 0, done.stderr
    assert "LOOPBACK,UP" in done.stdout


def test_says_what_it_found():
    done = run("true")
    assert done.returncode == 0, done.stderr
    assert "random source: " in done.stderr
    assert "/etc/causeway/enclave.conf is missing" in done.stderr


def test_another_random_source_ends_the_image():
    done = run("echo", "started", RANDOM_SOURCE="nsm-hwrng")
    assert done.returncode == 1
    assert "expected nsm-hwrng: not going on" in done.stderr
    assert "started" not in done.stdout
