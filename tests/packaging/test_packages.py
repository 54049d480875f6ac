# SPDX-License-Identifier: Apache-2.0
"""Debian packages and the bundle: complete, and working where nothing else is."""
import os
import subprocess
import tarfile

import pytest
from system import ROOT

PROGRAMS = {"causeway-dns", "causeway-enclave", "causewayctl"}  # of the bundle


def package(kind, directory):
    done = subprocess.run([ROOT / "package.sh", kind, directory], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return directory


@pytest.fixture(scope="module")
def debs(tmp_path_factory):
    return package("deb", tmp_path_factory.mktemp("deb"))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """The bundle alone, unpacked: a root directory for chroot."""
    directory = package("bundle", tmp_path_factory.mktemp("bundle"))
    root = directory / "root"
    with tarfile.open(directory / "causeway-bundle.tar.gz") as archive:
        archive.extractall(root)
    return root


def files_of(deb):
    listing = subprocess.run(["dpkg-deb", "--fsys-tarfile", deb], capture_output=True, check=True)
    names = subprocess.run(["tar", "-tf", "-"], input=listing.stdout, capture_output=True,
                           check=True).stdout.decode().split()
    return {name.lstrip(".") for name in names if not name.endswith("/")}


@pytest.mark.parametrize("name, wanted", [
    ("causeway-enclave", ["/usr/sbin/causeway-enclave",
                          "/usr/share/man/man8/causeway-enclave.8.gz",
                          "/usr/lib/systemd/system/causeway-enclave.service"]),
    ("causeway-parent", ["/usr/sbin/causeway-parent", "/usr/sbin/causeway-launch-parent",
                         "/usr/share/man/man8/causeway-launch-parent.8.gz",
                         "/usr/share/man/man8/causeway-parent.8.gz",
                         "/usr/lib/systemd/system/causeway-parent.service"]),
    ("causeway-common", ["/usr/bin/causewayctl", "/usr/sbin/causeway-dns",
                         "/usr/share/causeway/kernel-config/check",
                         "/usr/share/causeway/kernel-config/fragments/vsock.config",
                         "/usr/share/doc/causeway/deployment.md",
                         "/usr/share/man/man5/causeway.conf.5.gz",
                         "/usr/share/man/man8/causeway-dns.8.gz",
                         "/usr/share/man/man8/causeway-kernel-config.8.gz",
                         "/usr/share/man/man8/causewayctl.8.gz",
                         "/usr/share/doc/causeway/examples/image/Dockerfile",
                         "/usr/share/causeway/supervisor/causeway-dns.conf",
                         "/usr/share/causeway/supervisor/causeway-enclave.conf"]),
])
def test_package_holds(debs, name, wanted):
    (deb,) = debs.glob(f"{name}_*.deb")
    assert set(wanted) <= files_of(deb)


def test_packages_install_together(debs, tmp_path):
    """dpkg accepts the three of them, and what they install runs."""
    found = [deb for deb in debs.glob("*.deb") if "dbgsym" not in deb.name]
    assert len(found) == 3
    for deb in found:
        subprocess.run(["dpkg-deb", "-x", deb, tmp_path], check=True)
    for program in ("sbin/causeway-dns", "sbin/causeway-enclave", "sbin/causeway-parent",
                    "bin/causewayctl"):
        done = subprocess.run([tmp_path / "usr" / program, "--version"], capture_output=True,
                              text=True, check=True)
        assert done.stdout.startswith(f"{program.split('/')[1]} ")
    # It finds the daemons of the same installation, although those are in another folder.
    done = subprocess.run([tmp_path / "usr/bin/causewayctl", "check"], capture_output=True,
                          text=True, check=False, env={"PATH": "/nowhere"})
    assert "causeway-parent\n" in done.stdout and "causeway-enclave\n" in done.stdout, done.stderr
    listed = subprocess.run([tmp_path / "usr/share/causeway/kernel-config/merge", "--list"],
                            capture_output=True, text=True, check=True)
    assert "vsock " in listed.stdout


def test_bundle_needs_nothing_else(bundle):
    found = {path.name for path in (bundle / "opt/causeway").glob("*bin/*")}
    assert found == PROGRAMS
    for program in (bundle / "opt/causeway").glob("*bin/*"):
        inside = "/" + str(program.relative_to(bundle))
        done = subprocess.run(["chroot", bundle, inside, "--version"], capture_output=True,
                              text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), inside
        assert done.stdout.startswith(program.name)


def test_bundle_carries_packets(bundle, workshop):
    """The enclave's daemon out of the bundle, in a root directory without any other program."""
    tunnel = workshop.tunnel(start=False, capture="packet")
    daemon = tunnel.enclave.daemon
    shared = ["proc", "sys", "dev", tunnel.directory.lstrip("/")]
    for name in shared:
        os.makedirs(bundle / name, exist_ok=True)
    mounts = " && ".join(f"mount --rbind /{name} {bundle}/{name}" for name in shared)
    daemon.command = ["unshare", "--mount", "--propagation", "private", "sh", "-c",
                      f"{mounts} && exec chroot {bundle} /opt/causeway/sbin/causeway-enclave \"$@\"",
                      "sh", *daemon.command[1:]]
    tunnel.start()
    tunnel.wait_ready()


@pytest.mark.parametrize("argument", ["rpm", "--fast"])
def test_unknown_kind_is_named(argument):
    done = subprocess.run([ROOT / "package.sh", argument], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 2
    assert f"'{argument}'" in done.stderr
