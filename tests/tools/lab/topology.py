# SPDX-License-Identifier: Apache-2.0
"""Namespaces, links and routes: customer hosts - router - internet, and the collector aside.

    host ══c0══╗
    host ══c1══╬═ router ══uplink══ internet ══closed══ closed (has addresses, runs no server)
    host ══c2══╝     ║
                    noc══ collector

The internet is one namespace that owns every address of its prefixes (`ip route add local`), so
that one process can be all mail servers of the world.
"""

import os
import subprocess

import namespace

UPLINK = "uplink"


class TopologyError(Exception):
    """The kernel or `ip` refused; the text says which command."""


class Node(namespace.Namespace):
    """A namespace with a queue of `ip` commands, run in one go."""

    def __init__(self, name):
        super().__init__(name)
        self.commands = ["link set lo up"]
        with self:
            for knob, value in (
                ("ipv4/conf/all/rp_filter", "0"),
                ("ipv4/conf/default/rp_filter", "0"),
                ("ipv6/conf/default/accept_dad", "0"),
                ("ipv6/conf/default/accept_ra", "0"),
            ):
                _set(knob, value)

    def ip(self, *commands):
        self.commands += commands

    def apply(self):
        with self:
            result = subprocess.run(
                ["ip", "-batch", "-"],
                input="\n".join(self.commands) + "\n",
                text=True,
                capture_output=True,
                check=False,
            )
        if result.returncode != 0:
            raise TopologyError(f"in {self.name}: ip: {result.stderr.strip()}")
        self.commands = []


def _set(knob, value):
    with open(f"/proc/sys/net/{knob}", "w", encoding="ascii") as file:
        file.write(value)


def _join(left, left_name, right, right_name="eth0"):
    """A veth pair between two nodes. One packet a frame: no offload may glue segments together,
    or the exporters would count packets that no wire ever carried."""
    path = f"/proc/{os.getpid()}/fd/{right.fd}"
    left.ip(f"link add {left_name} type veth peer name {right_name} netns {path}")
    left.apply()
    left.ip(f"link set dev {left_name} up gso_max_segs 1")
    right.ip(f"link set dev {right_name} up gso_max_segs 1")


class Topology:
    """All nodes of a scenario, joined and up. Lives as long as the object and its processes."""

    def __init__(self, scenario):
        self.net = scenario.net
        self.router = Node("router")
        self.internet = Node("internet")
        self.closed = Node("closed")
        self.collector = Node("collector")
        self.hosts = {host.name: Node(host.name) for host in scenario.hosts}
        with self.router:
            _set("ipv4/ip_forward", "1")
            _set("ipv6/conf/all/forwarding", "1")
        with self.internet:
            _set("ipv4/ip_forward", "1")
        self._join_customers(scenario)
        self._join_internet(scenario)
        self._join_collector(scenario)
        for node in (self.router, self.internet, self.closed, self.collector, *self.hosts.values()):
            node.apply()

    def _join_customers(self, scenario):
        self.router.ip(f"address add {self.net['router']}/32 dev lo")
        for number, host in enumerate(scenario.hosts):
            node, link = self.hosts[host.name], f"c{number}"
            _join(self.router, link, node)
            if host.address.version == 4:
                gateway = self.net["router"]
                self.router.ip(f"route add {host.address}/32 dev {link}")
                node.ip(
                    f"address add {host.address}/32 dev eth0",
                    f"route add {gateway} dev eth0",
                    f"route add default via {gateway} src {host.address}",
                )
            else:
                self.router.ip(
                    f"address add fe80::1/64 dev {link} nodad",
                    f"route add {host.address}/128 dev {link}",
                )
                node.ip(
                    f"address add {host.address}/128 dev eth0 nodad",
                    f"route add default via fe80::1 dev eth0 src {host.address}",
                )

    def _join_internet(self, scenario):
        net, internet = self.net, self.internet
        _join(self.router, UPLINK, internet)
        _join(internet, "closed", self.closed)
        self.router.ip(
            f"address add {net['uplink_router']}/30 dev {UPLINK}",
            f"address add fe80::1/64 dev {UPLINK} nodad",
            f"route add {net['internet4']} via {net['uplink_internet']}",
            f"route add {net['internet6']} via fe80::2 dev {UPLINK}",
        )
        internet.ip(
            f"address add {net['uplink_internet']}/30 dev eth0",
            "address add fe80::2/64 dev eth0 nodad",
            f"address add {net['closed_internet']}/30 dev closed",
            f"route add {net['customers4']} via {net['uplink_router']}",
            f"route add {net['customers6']} via fe80::1 dev eth0",
            f"route add local {net['internet4']} dev lo",
            f"route add local {net['internet6']} dev lo",
            # In the table `local` as well: there the longest prefix wins.
            f"route add unicast {scenario.manners['refuse']} dev closed table local",
            f"route add blackhole {scenario.manners['silent']} table local",
        )
        self.closed.ip(
            f"address add {net['closed_host']}/30 dev eth0",
            f"route add default via {net['closed_internet']}",
            f"route add local {scenario.manners['refuse']} dev lo",
        )

    def _join_collector(self, scenario):
        _join(self.router, "noc", self.collector)
        for exporter in scenario.exporters:
            self.router.ip(f"address add {exporter.address}/24 dev noc")
        self.collector.ip(f"address add {self.net['collector']}/24 dev eth0")
