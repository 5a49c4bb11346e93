"""Two hosts on one machine: network namespaces, a cable between them, and a stand-in for ssh."""

import contextlib
import os
import shutil
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

ADDRESSES = ("10.77.0.1", "10.77.0.2")
# MPICH's UCX would use the memory that both share; the cable has one name at both ends.
UCX = "-genv UCX_TLS tcp,self -genv UCX_NET_DEVICES eth0"

SSH = """#!/bin/sh
# ssh [flags] host command...: runs the command in the namespace of the host.
while [ "${1#-}" != "$1" ]; do shift; done
case $1 in
    10.77.0.1) name=@0 ;;
    10.77.0.2) name=@1 ;;
    *) echo "no host $1" >&2; exit 255 ;;
esac
shift
ip netns exec $name sh -c "$*"  # and not exec: the client stays on its host
"""


def ip(*words):
    run = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if run.returncode:
        raise OSError(run.stderr.strip())


class Hosts:
    """Two namespaces that are wired."""

    def __init__(self, folder):
        stem = f"sscaffe-{uuid.uuid4().hex[:8]}"
        self.names = (f"{stem}-0", f"{stem}-1")
        self.ssh = folder / "ssh.sh"
        text = SSH.replace("@0", self.names[0]).replace("@1", self.names[1])
        self.ssh.write_text(text)
        self.ssh.chmod(0o755)

    def wire(self):
        for name in self.names:
            ip("netns", "add", name)
        first, second = self.names
        ip("link", "add", "eth0", "netns", first, "type", "veth", "peer", "eth0", "netns", second)
        for name, address in zip(self.names, ADDRESSES, strict=True):
            ip("-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "link", "set", "eth0", "up")
        while any("state UP" not in self.link(host) for host in (0, 1)):
            time.sleep(0.01)

    def link(self, host):
        """Return what a host says of its end of the cable."""
        words = ["ip", "-n", self.names[host], "link", "show", "eth0"]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout

    def cut(self):
        """Pull the plug of the first host."""
        ip("-n", self.names[0], "link", "set", "eth0", "down")

    def sent(self):
        """Return the bytes that the first host has sent."""
        counter = "/sys/class/net/eth0/statistics/tx_bytes"
        run = subprocess.run(
            ["ip", "netns", "exec", self.names[0], "cat", counter], capture_output=True, check=True
        )
        return int(run.stdout)

    def processes(self, host):
        """Return the processes that run on a host."""
        words = ["ip", "netns", "pids", self.names[host]]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()

    def remove(self):
        for host, name in enumerate(self.names):
            with contextlib.suppress(OSError, subprocess.CalledProcessError):
                for pid in self.processes(host):
                    os.kill(int(pid), 9)
            with contextlib.suppress(OSError):
                ip("netns", "del", name)

    @property
    def prefix(self):
        """What runs a command on the first host."""
        return ["ip", "netns", "exec", self.names[0]]

    @property
    def mpiexec(self):
        """The mpiexec that reaches both."""
        beside = Path(sys.executable).with_name("mpiexec")
        path = beside if beside.exists() else shutil.which("mpiexec")
        flags = f"-launcher ssh -launcher-exec {self.ssh} -localhost {ADDRESSES[0]}"
        return f"{path} {flags} {UCX}"


@contextlib.contextmanager
def two_hosts(folder):
    """Make two hosts; skip the test where that cannot be done."""
    if os.geteuid() or not shutil.which("ip"):
        pytest.skip("two hosts on one machine need root and the command ip")
    hosts = Hosts(folder)
    try:
        try:
            hosts.wire()
        except OSError as error:
            pytest.skip(f"this machine makes no network namespaces: {error}")
        yield hosts
    finally:
        hosts.remove()
