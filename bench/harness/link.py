# SPDX-License-Identifier: Apache-2.0
"""The link between the two sides, for systems that use Unix streams: as it is, or shaped by
bench/vsockshim like Nitro's vsock (--link nitro:PROFILE)."""

import os
import re
import subprocess

KIND = "nitro:"
PROFILE_LINE = re.compile(r"^\s+(\S+)\s+one stream ([\d.]+) / ([\d.]+), "
                          r"all streams ([\d.]+) / ([\d.]+)$", re.M)


def profiles(build):
    """{name: {"up": (one stream, all streams), "down": …}} in Gbit/s, as the shim tells; {} when it
    is not built."""
    try:
        out = subprocess.run([shim(build), "--help"], capture_output=True, text=True,
                             check=False).stdout
    except OSError:
        return {}
    return parse_profiles(out)


def parse_profiles(text):
    return {name: {"up": (float(up), float(all_up)), "down": (float(down), float(all_down))}
            for name, up, down, all_up, all_down in PROFILE_LINE.findall(text)}


def shim(build):
    return os.path.join(build, "bench", "vsockshim")


def choose(text, build):
    """The profile's name of --link; ValueError with the reason."""
    known = profiles(build)
    if not known:
        raise ValueError(f"{shim(build)} is not built (package libbpf-dev)")
    name = text.removeprefix(KIND)
    if not text.startswith(KIND) or name not in known:
        raise ValueError(f"no link is called {text}; there are: "
                         + ", ".join(KIND + n for n in known))
    return name


def limit(profile, mode, streams):
    """Gbit/s that the profile lets through: {"up": …} as of profiles(), test mode, streams."""
    return profile[mode][streams > 1]


def paths(world, build, name):
    """(path where the parent's side listens, path where the enclave's side connects). The same one,
    or two with a shim between them."""
    path = os.path.join(world.directory, name)
    if world.link is None:
        return path, path
    dialled = path + ".shim"
    _, log = world.helper("vsockshim-" + name, "parent",
                          [shim(build), dialled, path, "--profile", world.link])
    world.wait(lambda: os.path.exists(dialled), f"vsockshim ({log})")
    return path, dialled
