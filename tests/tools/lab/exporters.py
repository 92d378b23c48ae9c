# SPDX-License-Identifier: Apache-2.0
"""The router's flow exporters: one pmacctd with its nfprobe plugin for each.

Each looks at the router's link to the internet, sees its share of the hosts (a pcap filter), and
sends both directions of their flows from an address of its own.
"""

import os
import signal
import subprocess

import namespace
import topology

# Idle and active time-outs in seconds: no flow is told of later than 10 s after its last packet.
TIMEOUTS = "tcp=8:tcp.rst=4:tcp.fin=4:udp=8:icmp=8:general=8:maxlife=10:expint=2"
# The kernel hands packets to libpcap in blocks, at the latest after a second; what it still holds
# when pmacctd is asked to end is lost (tried: ten flows of the last second were missing).
HAND_OVER_S = 3.0
SEES = "src_host, dst_host, src_port, dst_port, proto, tos, tcpflags, in_iface, out_iface"


class ExporterError(Exception):
    """pmacctd did not start or did not end well; the text holds its last words."""


def _configuration(exporter, scenario):
    watched = [host.address for host in scenario.hosts if exporter.name in host.exporters]
    engine = exporter.address.packed[3]
    return "\n".join(
        (
            "daemonize: false",
            f"pcap_interface: {topology.UPLINK}",
            f"pcap_filter: {' or '.join(f'host {address}' for address in watched)}",
            f"aggregate: {SEES}",
            "plugins: nfprobe",
            f"nfprobe_receiver: {scenario.net['collector']}:{scenario.net['collector_port']}",
            f"nfprobe_source_ip: {exporter.address}",
            f"nfprobe_version: {exporter.version}",
            f"nfprobe_engine: {f'0:{engine}' if exporter.version == 5 else engine}",
            f"nfprobe_timeouts: {TIMEOUTS}",
            "",
        )
    )


class Running:
    """One pmacctd. Its log stays in the lab's temporary directory."""

    def __init__(self, exporter, scenario, router, directory):
        self.exporter = exporter
        self.log = os.path.join(directory, f"{exporter.name}.log")
        configuration = os.path.join(directory, f"{exporter.name}.conf")
        with open(configuration, "w", encoding="ascii") as file:
            file.write(_configuration(exporter, scenario))
        with router, open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                ["pmacctd", "-f", configuration],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=lambda: namespace.die_with_parent(signal.SIGTERM),
            )

    def check(self):
        """Raise if it has ended by itself."""
        if self.process.poll() is not None:
            raise ExporterError(f"{self.exporter.name}: pmacctd ended: {self.last_words()}")

    def last_words(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return " / ".join(file.read().splitlines()[-3:])

    def flush(self):
        """Ask it to tell of every flow it still holds, and to end."""
        self.process.send_signal(signal.SIGINT)

    def has_ended(self):
        return self.process.poll() is not None

    def end(self):
        """Whatever is left of it, the plugin's process included."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


def watching(router):
    """How many packet sockets are open on the router: one for each exporter that watches."""
    with router, open("/proc/thread-self/net/packet", encoding="ascii") as file:
        return len(file.readlines()) - 1
