# SPDX-License-Identifier: Apache-2.0
"""Exporters that number their records, and a road on which datagrams are lost, doubled, delayed
and cut. Every record is a mail flow of 198.18.0.0/15 to a destination of its own."""

import socket
import struct

EXPORT_S = 1790000000
NETWORKS = "198.18.0.0/15"
FIELDS = ((8, 4), (12, 4), (7, 2), (11, 2), (4, 1), (6, 1))


def _set(number, body):
    return struct.pack("!HH", number, 4 + len(body)) + body


class Exporter:
    """Sends from `address`, a port of its own; `version` 5, 9 or 10."""

    def __init__(self, version, to, address, domain=0, rand=None):
        self.version, self.to, self.address, self.domain = version, to, address, domain
        self.rand = rand
        self.sent_records = self.sent_datagrams = self.copies = 0
        self.late = []
        self.restart()

    def restart(self):
        """As after a power cut: a new port, numbers from zero."""
        self.sequence = 0
        self.uptime_ms = 1000
        if getattr(self, "socket", None):
            self.socket.close()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((self.address, 0))

    def close(self):
        self.socket.close()

    def _records(self, n):
        records = []
        for _ in range(n):
            self.sent_records += 1
            number = self.sent_records
            source = socket.inet_aton(f"198.18.{number % 32}.1")
            destination = struct.pack("!I", 0x0b000000 + number)
            records.append((source, destination))
        return records

    def _body(self, records):
        if self.version == 5:
            return b"".join(source + destination + bytes(4)
                            + struct.pack("!HHIIIIHHBBBBHHBBH", 0, 0, 1, 60, 0, 0, 40000, 25, 0,
                                          0x1b, 6, 0, 0, 0, 0, 0, 0)
                            for source, destination in records)
        template = struct.pack("!HH", 256, len(FIELDS)) + b"".join(
            struct.pack("!HH", *field) for field in FIELDS)
        data = b"".join(source + destination + struct.pack("!HHBB", 40000, 25, 6, 0x1b)
                        for source, destination in records)
        data += bytes(-len(data) % 4)
        return _set(0 if self.version == 9 else 2, template) + _set(256, data)

    def datagram(self, n):
        """The next datagram, of n records. It counts as sent."""
        records = self._records(n)
        body = self._body(records)
        self.sent_datagrams += 1
        self.uptime_ms += 10
        if self.version == 5:
            header = struct.pack("!HHIIIIBBH", 5, n, self.uptime_ms, EXPORT_S, 0, self.sequence,
                                 self.domain >> 8, self.domain & 255, 0)
            self.sequence += n
        elif self.version == 9:
            header = struct.pack("!HHIIII", 9, n + 1, self.uptime_ms, EXPORT_S, self.sequence,
                                 self.domain)
            self.sequence += 1
        else:
            header = struct.pack("!HHIII", 10, 16 + len(body), EXPORT_S, self.sequence,
                                 self.domain)
            self.sequence += n
        return header + body

    def send(self, payload):
        self.socket.sendto(payload, self.to)

    def send_good(self, count=1, n=10):
        """Datagrams that nothing happens to; the second and later ones reveal a gap before them."""
        for _ in range(count):
            self.send(self.datagram(n))

    def send_bad(self, count):
        """Datagrams to which anything may happen on the road. Returns how many came out of it."""
        arrived = 0
        for _ in range(count):
            payload = self.datagram(self.rand.randrange(1, 25))
            fate = self.rand.random()
            if fate < 0.06:
                continue
            if fate < 0.12 and not self.late:
                self.late.append(payload)
                continue
            if fate < 0.16:    # behind the header: the domain can still be told
                payload = payload[:self.rand.randrange(25, 28)]
            self.send(payload)
            arrived += 1
            if fate > 0.94:
                self.send(payload)
                arrived += 1
            if self.late and self.rand.random() < 0.3:
                self.send(self.late.pop())
                arrived += 1
        arrived += len(self.late)
        while self.late:
            self.send(self.late.pop())
        return arrived
