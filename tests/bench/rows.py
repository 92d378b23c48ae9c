# SPDX-License-Identifier: Apache-2.0
"""The collectors that are compared: how each is started and how its answer is counted."""

import os
import shutil
import signal
import sqlite3

NETWORK = "198.18.0.0/16"
BUFFER_BYTES = 4 << 20
HEARTBEAT = b"\x08\xe8\x07"    # field 1, HEARTBEAT: how such a record begins


def messages(data):
    """The messages in a row of length-prefixed protobuf."""
    at = 0
    while at < len(data):
        length = shift = 0
        while data[at] & 0x80:
            length |= (data[at] & 0x7f) << shift
            shift += 7
            at += 1
        length |= data[at] << shift
        yield memoryview(data)[at + 1:at + 1 + length]
        at += 1 + length


def count_lines(path):
    """Lines of a file."""
    with open(path, "rb") as lines:
        return sum(1 for _ in lines)


class Row:
    """One line of the table."""

    name = ""
    does = ""
    key = ""             # its name among the goals
    ours = False
    top_rate = None      # flows a second that it is not asked to exceed, lossless search aside
    all_different = False    # no flow is sent twice: it would be counted with the first
    stop_signal = signal.SIGTERM

    def missing(self):
        """Why this row cannot be measured here; None when it can."""
        return None

    def argv(self, folder, port):
        """The command line."""
        raise NotImplementedError

    def flows_missing(self, folder, sent):
        """After its end: flows that the program took and did not put out; None: it cannot tell."""
        return None


class Floor(Row):
    """What the kernel asks of everybody."""

    name = "floor: recvmmsg and forget"
    key = "floor"
    does = "nothing"

    def __init__(self, tools):
        self.program = tools.program("floor")

    def argv(self, folder, port):
        return [self.program, str(port)]


class RestingFloor(Floor):
    """The same with as few wake-ups as ours."""

    name = "floor that rests 1 ms"
    key = "resting floor"

    def argv(self, folder, port):
        return [self.program, str(port), "999"]


class Postern(Row):
    """Ours, with the mail flows on the embedded bus."""

    name = "postern-collector, smtp to embedded"
    key = "ours"
    does = "mail flows as batches on the durable bus"
    ours = True
    publish = "smtp"
    extra = ()    # more of the command line

    def __init__(self, tools):
        self.program = tools.find("postern-collector")

    def missing(self):
        return None if self.program else "postern-collector is not built"

    def output(self, folder):
        """The value of --output."""
        return f"embedded:{folder}/bus"

    def argv(self, folder, port):
        return [self.program, "--listen", f"udp://127.0.0.1:{port}", "--networks", NETWORK,
                "--rcvbuf", str(BUFFER_BYTES), "--publish", self.publish,
                "--output", self.output(folder), *self.extra]

    def flows_missing(self, folder, sent):
        with sqlite3.connect(os.path.join(folder, "bus")) as bus:
            batches = bus.execute("SELECT data FROM messages WHERE topic = 'postern.smtp'")
            flows = sum(1 for (batch,) in batches for message in messages(batch)
                        if message[:len(HEARTBEAT)] != HEARTBEAT)
        return sent.mail - flows


class PosternJson(Postern):
    """Ours, with the mail flows as text."""

    name = "postern-collector, smtp to json"
    key = "json"
    does = "mail flows as JSON in a file"

    def output(self, folder):
        return f"json:{folder}/flows.json"

    def flows_missing(self, folder, sent):
        return sent.mail - count_lines(os.path.join(folder, "flows.json"))


class PosternWorkers(Postern):
    """Ours, with several workers."""

    def __init__(self, tools, workers):
        super().__init__(tools)
        self.key = f"workers {workers}"
        self.name = f"postern-collector, {workers} worker{'s' if workers > 1 else ''}"
        self.extra = ("--workers", str(workers))


class PosternKafka(Postern):
    """Ours, with every flow on Kafka."""

    name = "postern-collector, all to Kafka"
    does = "every flow as batches, mail flows twice"
    top_rate = 400e3    # the broker takes its share of two processors
    publish = "all"

    def __init__(self, tools, address):
        super().__init__(tools)
        self.address = address

    def output(self, folder):
        return f"kafka://{self.address}"

    def flows_missing(self, folder, sent):
        return None


class Nfacctd(Row):
    """pmacct's collector, told to keep port 25 only."""

    name = "nfacctd, filter on port 25"
    key = "nfacctd"
    does = "counts the port 25 flows, drops the others"
    stop_signal = signal.SIGINT
    plugin = """plugins: print[mail]
aggregate[mail]: src_host, dst_host, src_port, dst_port, proto, tcpflags, flows
aggregate_filter[mail]: port 25
print_output[mail]: csv
print_output_file[mail]: {folder}/mail.csv
print_refresh_time[mail]: 3600
plugin_buffer_size: 1048576
plugin_pipe_size: 33554432
"""

    def missing(self):
        return None if shutil.which("nfacctd") else "not installed (Debian package pmacct)"

    def argv(self, folder, port):
        conf = os.path.join(folder, "nfacctd.conf")
        with open(conf, "w", encoding="ascii") as out:
            out.write(f"daemonize: false\nnfacctd_ip: 127.0.0.1\nnfacctd_port: {port}\n"
                      f"nfacctd_pipe_size: {BUFFER_BYTES}\n")
            out.write(self.plugin.format(folder=folder, **self.__dict__))
        return ["nfacctd", "-f", conf]

    def flows_missing(self, folder, sent):
        flows = 0
        path = os.path.join(folder, "mail.csv")
        if not os.path.exists(path):
            return sent.mail    # it had nothing to write
        with open(path, encoding="ascii") as table:
            column = table.readline().strip().split(",").index("FLOWS")
            for line in table:
                flows += int(line.split(",")[column])
        return sent.mail - flows


class NfacctdKafka(Nfacctd):
    """pmacct's collector with its Kafka plugin."""

    name = "nfacctd to Kafka, JSON"
    key = "nfacctd"
    does = "every flow"
    top_rate = 150e3
    all_different = True
    plugin = """plugins: kafka[all]
aggregate[all]: src_host, dst_host, src_port, dst_port, proto, tcpflags, timestamp_start, \
timestamp_end, in_iface, out_iface, src_as, dst_as
kafka_output[all]: json
kafka_broker_host[all]: {host}
kafka_broker_port[all]: {broker_port}
kafka_topic[all]: bench.nfacctd
kafka_refresh_time[all]: 1
kafka_cache_entries[all]: 262147
plugin_buffer_size: 1048576
plugin_pipe_size: 268435456
"""

    def __init__(self, address):
        self.host, self.broker_port = address.rsplit(":", 1)

    def flows_missing(self, folder, sent):
        return None


class Nfcapd(Row):
    """nfdump's collector."""

    name = "nfcapd"
    key = "nfcapd"
    does = "writes its own file"

    def missing(self):
        return None if shutil.which("nfcapd") else "not installed (Debian package nfdump)"

    def argv(self, folder, port):
        return ["nfcapd", "-b", "127.0.0.1", "-p", str(port), "-w", folder, "-t", "3600",
                "-B", str(BUFFER_BYTES)]

    def flows_missing(self, folder, sent):
        with open(os.path.join(folder, "log"), encoding="utf-8", errors="replace") as log:
            counts = [line.split("Flows: ")[1].split(",")[0] for line in log if "Flows: " in line]
        return sent.flows - sum(map(int, counts))


class Goflow2(Row):
    """goflow2 with protobuf into a file."""

    name = "goflow2 to a file, protobuf"
    key = "goflow2"
    does = "every flow"
    top_rate = 80e3

    def __init__(self):
        places = ["goflow2", os.path.expanduser("~/go/bin/goflow2")]
        self.program = next(filter(None, map(shutil.which, places)), None)

    def missing(self):
        return None if self.program else ("not installed (go install "
                                          "github.com/netsampler/goflow2/v2/cmd/goflow2@v2.2.6)")

    def transport(self, folder):
        """Where the flows go."""
        return ["-transport.file", os.path.join(folder, "flows"), "-transport.file.sep", ""]

    def argv(self, folder, port):
        return [self.program, "-listen", f"netflow://127.0.0.1:{port}", "-addr", "127.0.0.1:0",
                "-format", "bin", "-templates.path", "", *self.transport(folder)]

    def flows_missing(self, folder, sent):
        with open(os.path.join(folder, "flows"), "rb") as flows:
            return sent.flows - sum(1 for _ in messages(flows.read()))


class Goflow2Kafka(Goflow2):
    """goflow2 with protobuf to Kafka."""

    name = "goflow2 to Kafka, protobuf"
    top_rate = 60e3

    def __init__(self, address):
        super().__init__()
        self.address = address

    def transport(self, folder):
        return ["-transport", "kafka", "-transport.kafka.brokers", self.address,
                "-transport.kafka.topic", "bench.goflow2"]

    def flows_missing(self, folder, sent):
        return None


def rows_of_files(tools):
    """Those that need nothing but a disk."""
    return [Floor(tools), RestingFloor(tools), Postern(tools), PosternJson(tools), Nfacctd(),
            Nfcapd(), Goflow2()]


def rows_of_kafka(tools, address):
    """Those that need a broker; its topics are bench.nfacctd and bench.goflow2, and ours."""
    return [PosternKafka(tools, address), NfacctdKafka(address), Goflow2Kafka(address)]
