# SPDX-License-Identifier: Apache-2.0
"""The collector's side: a UDP socket with kernel times, and what becomes of each datagram.

`Recording` writes them to a capture file (link type Ethernet) that every reader of libpcap takes.
`Relay` passes them on to a real collector, each exporter from its own 127.0.1.x.
`Packets` is for whoever doubts the exporters: it captures what they saw.
"""

import ipaddress
import socket
import struct

SO_TIMESTAMPNS = 35
_ETHERNET = bytes.fromhex("0200cb007101 0200cb007105 0800")
_LINKTYPE_ETHERNET = 1


def _watch(receiver):
    receiver.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    receiver.setblocking(False)
    return receiver


def listen(node, address, port):
    """A socket inside the node that receives exports."""
    with node:
        listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.bind((address, port))
    return _watch(listener)


def receive(receiver):
    """(time in ns, sender's address, payload), or None if nothing waits."""
    try:
        payload, control, _flags, sender = receiver.recvmsg(65535, 64)
    except BlockingIOError:
        return None
    for level, kind, data in control:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS:
            seconds, nanoseconds = struct.unpack("qq", data)
            return seconds * 10**9 + nanoseconds, sender, payload
    raise OSError("the kernel gave no receive time")


def _checksum(header):
    total = sum(struct.unpack(f">{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class _CaptureFile:
    """A pcap file of Ethernet frames, microseconds."""

    def __init__(self, path):
        self.file = open(path, "wb")  # pylint: disable=consider-using-with
        self.file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, _LINKTYPE_ETHERNET))

    def add(self, time_ns, frame):
        seconds, rest_ns = divmod(time_ns, 10**9)
        self.file.write(struct.pack("<IIII", seconds, rest_ns // 1000, len(frame), len(frame)))
        self.file.write(frame)

    def close(self):
        self.file.close()


class Recording(_CaptureFile):
    """The export datagrams, dressed as the frames that carried them."""

    def __init__(self, path, collector, port):
        super().__init__(path)
        self.collector = ipaddress.IPv4Address(collector).packed
        self.port = port
        self.count = 0

    def take(self, time_ns, sender, payload):
        self.count += 1
        address, port = sender
        udp = struct.pack(">HHHH", port, self.port, 8 + len(payload), 0) + payload
        fields = (0x45, 0, 20 + len(udp), self.count & 0xFFFF, 0x4000, 64, 17)
        ends = ipaddress.IPv4Address(address).packed + self.collector
        checksum = _checksum(struct.pack(">BBHHHBBH", *fields, 0) + ends)
        header = struct.pack(">BBHHHBBH", *fields, checksum) + ends
        self.add(time_ns, _ETHERNET + header + udp)


class Packets(_CaptureFile):
    """Every packet of one link. Each is kept whole: the lab is small."""

    def __init__(self, path, node, link):
        super().__init__(path)
        with node:
            self.socket = _watch(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
        self.socket.bind((link, 0x0003))  # ETH_P_ALL

    def fileno(self):
        return self.socket.fileno()

    def drain(self):
        while (packet := receive(self.socket)) is not None:
            self.add(packet[0], packet[2])

    def close(self):
        super().close()
        self.socket.close()


class Relay:
    """Passes datagrams on. Make it before any namespace is entered: its sockets stay outside."""

    def __init__(self, exporters, target):
        self.sockets = {}
        for number, exporter in enumerate(exporters, 1):
            outside = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            outside.bind((f"127.0.1.{number}", 0))
            outside.connect(target)
            self.sockets[str(exporter.address)] = outside
        self.unheard = 0

    def take(self, _time_ns, sender, payload):
        outside = self.sockets[sender[0]]
        for _attempt in range(2):
            try:
                outside.send(payload)
                return
            except ConnectionRefusedError:
                self.unheard += 1  # the kernel speaks of an earlier datagram: send this one again

    def sources(self):
        return {address: s.getsockname()[0] for address, s in self.sockets.items()}

    def close(self):
        for outside in self.sockets.values():
            outside.close()
