# SPDX-License-Identifier: Apache-2.0
"""A gate through which customers' traffic leaves: three network namespaces, joined by real links.

    customers (192.0.2.0/24) ── gate, which forwards ── the world, with a mail server on every port

Root and ordinary users can have it alike; it goes when its holders go, whatever happens to the
test.
"""

import contextlib
import os
import shutil
import subprocess
import sys

WORLD = "198.51.100.25"
SERVER = """
import selectors, socket, sys
ready = selectors.DefaultSelector()
for port in sys.argv[1:]:
    server = socket.create_server(("", int(port)))
    ready.register(server, selectors.EVENT_READ)
print("up", flush=True)
while True:
    for key, _ in ready.select():
        client, _ = key.fileobj.accept()
        client.sendall(b"220 mail.example\\r\\n")
        client.close()
"""
CLIENT = """
import socket, sys
source, target, port = sys.argv[1:]
try:
    with socket.create_connection((target, int(port)), 2, (source, 0)) as connection:
        sys.exit(connection.recv(4) != b"220 ")
except OSError:
    sys.exit(1)
"""


class Gate:
    """While used as a context, `nft` is the command that reaches the gate's packet filter."""

    def __init__(self, customers, ports):
        self.customers, self.ports = customers, ports
        self._parts = []

    def _start(self, *command):
        part = subprocess.Popen([*map(str, command)], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE)
        self._parts.append(part)
        assert part.stdout.readline() == b"up\n", "no network namespace can be had"
        return part

    def _namespace(self, inside=()):
        """A holder of a namespace of its own; without root, `inside` the user namespace."""
        own = [] if os.geteuid() == 0 or inside else ["--map-root-user"]
        return self._start(*inside, "unshare", "--net", *own, "sh", "-c", "echo up; cat").pid

    def _enter(self, pid):
        user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        return [shutil.which("nsenter"), "--target", str(pid), "--net", *user]

    def __enter__(self):
        gate = self._namespace()
        inside = [] if os.geteuid() == 0 else self._enter(gate)
        house, world = self._namespace(inside), self._namespace(inside)
        self._house, enter_gate = self._enter(house), self._enter(gate)
        self.nft = [*enter_gate, shutil.which("nft")]
        self._run(enter_gate, "ip", "link", "add", "house", "type", "veth", "peer", "eth0",
                  "netns", house)
        self._run(enter_gate, "ip", "link", "add", "world", "type", "veth", "peer", "eth0",
                  "netns", world)
        self._run(enter_gate, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
        for where, device, address in ((enter_gate, "house", "192.0.2.254/24"),
                                       (enter_gate, "world", "198.51.100.1/24"),
                                       (self._enter(world), "eth0", f"{WORLD}/24"),
                                       *((self._house, "eth0", f"{customer}/24")
                                         for customer in self.customers)):
            self._run(where, "ip", "address", "add", address, "dev", device)
            self._run(where, "ip", "link", "set", device, "up")
        self._run(self._house, "ip", "route", "add", "default", "via", "192.0.2.254")
        self._run(self._enter(world), "ip", "route", "add", "default", "via", "198.51.100.1")
        self._start(*self._enter(world), sys.executable, "-c", SERVER, *self.ports)
        return self

    @staticmethod
    def _run(enter, *command):
        subprocess.run([*enter, *map(str, command)], check=True)

    def open_ports(self, customer):
        """Those of the ports on which this customer reaches the world's mail server."""
        return [port for port in self.ports if subprocess.run(
            [*self._house, sys.executable, "-c", CLIENT, customer, WORLD, str(port)],
            check=False).returncode == 0]

    def rules(self):
        """What the packet filter has, as text."""
        return subprocess.run([*self.nft, "list", "ruleset"], check=True, capture_output=True,
                              text=True).stdout

    def change(self, *command):
        """Somebody else types a command of nft."""
        subprocess.run([*self.nft, *command], check=True)

    def __exit__(self, *unused):
        for part in reversed(self._parts):
            with contextlib.suppress(BrokenPipeError):
                part.stdin.close()
            part.kill()
            part.stdout.close()
            part.wait()
