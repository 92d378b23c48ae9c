# SPDX-License-Identifier: Apache-2.0
"""Independent witnesses for a lab's recording: nfdump reads the exports, we read the packets.

    exports (pcap) ──nfcapd──▶ nfdump ──▶ {5-tuple: Flow}     told by each exporter
    packets (pcap) ─────────────────────▶ {5-tuple: Flow}     what crossed the link
"""

import dataclasses
import datetime
import ipaddress
import json
import os
import signal
import socket
import struct
import subprocess
import tempfile
import time


@dataclasses.dataclass
class Flow:
    """One direction of one connection, all its records or packets together."""

    packets: int = 0
    octets: int = 0
    flags: int = 0
    first_s: float = float("inf")
    last_s: float = 0.0

    def add(self, packets, octets, flags, first_s, last_s):
        self.packets += packets
        self.octets += octets
        self.flags |= flags
        self.first_s = min(self.first_s, first_s)
        self.last_s = max(self.last_s, last_s)


def frames(path):
    """(time in s, Ethernet frame) of each frame in a capture file of the lab."""
    with open(path, "rb") as file:
        data = file.read()
    magic, *_rest, link = struct.unpack_from("<IHHiIII", data)
    if magic != 0xA1B2C3D4 or link != 1:
        raise ValueError(f"{path}: not a capture of Ethernet frames in microseconds")
    at = 24
    while at < len(data):
        seconds, micro, length, _original = struct.unpack_from("<IIII", data, at)
        yield seconds + micro / 1e6, data[at + 16 : at + 16 + length]
        at += 16 + length


def exports(path):
    """(time in s, sender, payload) of each export datagram in a recording."""
    for moment, frame in frames(path):
        yield moment, str(ipaddress.IPv4Address(frame[26:30])), frame[42:]


def _tcp_of(frame):
    """(key, IP length, flags) of a TCP packet, None of anything else."""
    kind = frame[12:14]
    if kind == b"\x08\x00" and frame[23] == 6:
        start, size = 14 + 4 * (frame[14] & 15), struct.unpack_from(">H", frame, 16)[0]
        ends = ipaddress.IPv4Address(frame[26:30]), ipaddress.IPv4Address(frame[30:34])
    elif kind == b"\x86\xdd" and frame[20] == 6:
        start, size = 54, 40 + struct.unpack_from(">H", frame, 18)[0]
        ends = ipaddress.IPv6Address(frame[22:38]), ipaddress.IPv6Address(frame[38:54])
    else:
        return None
    ports = struct.unpack_from(">HH", frame, start)
    return (str(ends[0]), ports[0], str(ends[1]), ports[1]), size, frame[start + 13]


def flows_of_packets(path):
    """{(source, port, destination, port): Flow} of a packet capture."""
    flows = {}
    for moment, frame in frames(path):
        if (seen := _tcp_of(frame)) is not None:
            key, size, flags = seen
            flows.setdefault(key, Flow()).add(1, size, flags, moment, moment)
    return flows


def _free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _listens(port):
    with open("/proc/net/udp", encoding="ascii") as file:
        return f":{port:04X} " in file.read()


def _capture(datagrams, directory):
    """Send the datagrams to an nfcapd of our own; each sender gets its own 127.0.1.x."""
    port = _free_port()
    command = ["nfcapd", "-b", "127.0.0.1", "-p", str(port), "-w", directory, "-t", "3600"]
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(command, stdout=log, stderr=log) as process,
    ):
        deadline = time.monotonic() + 10
        while not _listens(port):
            if time.monotonic() > deadline or process.poll() is not None:
                log.seek(0)
                raise OSError(f"nfcapd does not listen: {log.read().decode()}")
            time.sleep(0.05)
        senders = {}
        for _moment, address, payload in datagrams:
            if address not in senders:
                senders[address] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                senders[address].bind((f"127.0.1.{len(senders)}", 0))
            senders[address].sendto(payload, ("127.0.0.1", port))
            time.sleep(0.0005)
        for sender in senders.values():
            sender.close()
        time.sleep(0.5)  # nfcapd cannot be asked whether it has read everything
        process.send_signal(signal.SIGTERM)


def _seconds(text):
    moment = datetime.datetime.fromisoformat(text)
    return moment.replace(tzinfo=datetime.timezone.utc).timestamp()


_FLAGS = {"C": 128, "E": 64, "U": 32, "A": 16, "P": 8, "R": 4, "S": 2, "F": 1}


def flows_of_exports(path, exporter):
    """{(source, port, destination, port): Flow} as nfdump reads one exporter's TCP records."""
    flows = {}
    with tempfile.TemporaryDirectory(prefix="postern-judge-") as directory:
        _capture((e for e in exports(path) if e[1] == exporter), directory)
        answer = subprocess.run(
            ["nfdump", "-R", directory, "-o", "json", "proto tcp"],
            env={**os.environ, "TZ": "UTC"},
            capture_output=True,
            text=True,
            check=True,
        )
    for record in json.loads(answer.stdout):
        source = record.get("src4_addr") or record["src6_addr"]
        destination = record.get("dst4_addr") or record["dst6_addr"]
        key = (
            str(ipaddress.ip_address(source)),
            record["src_port"],
            str(ipaddress.ip_address(destination)),
            record["dst_port"],
        )
        flows.setdefault(key, Flow()).add(
            record["in_packets"],
            record["in_bytes"],
            sum(_FLAGS.get(letter, 0) for letter in record["tcp_flags"]),
            _seconds(record["first"]),
            _seconds(record["last"]),
        )
    return flows
