# SPDX-License-Identifier: Apache-2.0
"""IPFIX by hand, exporters on loopback, and what a collector made of it."""

import json
import socket
import struct
from pathlib import Path

from waiting import until

EXPORT_S = 1790000000
LAB = Path(__file__).resolve().parents[2] / "deploy" / "demo" / "lab.pcap"    # a recorded minute


def set_of(number, body):
    return struct.pack("!HH", number, 4 + len(body)) + body


def ipfix(*sets, sequence=0, domain=0, export_s=EXPORT_S):
    body = b"".join(sets)
    return struct.pack("!HHIII", 10, 16 + len(body), export_s, sequence, domain) + body


def template(number, *fields):
    return set_of(2, struct.pack("!HH", number, len(fields))
                  + b"".join(struct.pack("!HH", *field) for field in fields))


def options(number, scope, *fields):
    return set_of(3, struct.pack("!HHH", number, len(fields), scope)
                  + b"".join(struct.pack("!HH", *field) for field in fields))


# source, destination, their ports, protocol, flags, start and end in ms
FIELDS = ((8, 4), (12, 4), (7, 2), (11, 2), (4, 1), (6, 1), (152, 8), (153, 8))
TEMPLATE = template(256, *FIELDS)


def record(source="198.18.0.1", destination="203.0.113.5", port=25, source_port=40000,
           flags=0x1b, at_s=EXPORT_S):
    return (socket.inet_aton(source) + socket.inet_aton(destination)
            + struct.pack("!HHBBQQ", source_port, port, 6, flags, at_s * 1000, at_s * 1000))


def data(*records):
    return set_of(256, b"".join(records))


class Router:
    """An exporter on loopback; `shared`: another may use its address and port."""

    def __init__(self, port, address="127.0.0.1", source_port=0, shared=False):
        self.to = ("127.0.0.1", port)
        self.address = address
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        if shared:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.socket.bind((address, source_port))

    @property
    def source_port(self):
        return self.socket.getsockname()[1]

    def send(self, *payloads):
        for payload in payloads:
            self.socket.sendto(payload, self.to)


def flows_of(text):
    return [json.loads(line) for line in text.splitlines()]


def wait_datagrams(program, number):
    until(lambda: program.metric("postern_collector_datagrams_total") >= number,
          f"{number} datagrams taken")


def rss_kib(program):
    with open(f"/proc/{program.process.pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
