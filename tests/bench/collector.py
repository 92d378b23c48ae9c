# SPDX-License-Identifier: Apache-2.0
"""Collectors side by side: the same datagrams, one after the other, in the same run."""

import collections
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile

from meter import Metered, MeterError, free_port, udp_sockets
from table import kernel_setting, print_table, short

NETWORK = "198.18.0.0/16"
MAIL_SHARE = 0.02
BUFFER_BYTES = 4 << 20

Sent = collections.namedtuple("Sent", "flows mail seconds")
Result = collections.namedtuple("Result", "flows_per_cpu_s peak_bytes sent lost")


class Row:
    """One line of the table: how a program is started and how its answer is counted."""

    name = ""
    does = ""
    top_rate = None         # flows a second that it is not asked to exceed, lossless search aside
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
    does = "nothing"

    def __init__(self, tools):
        self.program = tools.program("floor")

    def argv(self, folder, port):
        return [self.program, str(port)]


class Postern(Row):
    """Ours."""

    def __init__(self, tools, publish, output, does):
        self.program = tools.find("postern-collector")
        self.publish = publish
        self.output = output
        self.name = f"postern-collector, {publish} to {output.split(':')[0]}"
        self.does = does

    def missing(self):
        return None if self.program else "postern-collector is not built"

    def argv(self, folder, port):
        networks = os.path.join(folder, "networks")
        with open(networks, "w", encoding="ascii") as out:
            out.write(NETWORK + "\n")
        return [self.program, "--listen", f"udp://127.0.0.1:{port}", "--networks", networks,
                "--publish", self.publish, "--output", self.output.format(folder=folder)]


class Nfacctd(Row):
    """pmacct's collector, told to keep port 25 only."""

    name = "nfacctd, filter on port 25"
    does = "counts the port 25 flows, drops the others"
    stop_signal = signal.SIGINT

    def missing(self):
        return None if shutil.which("nfacctd") else "not installed (Debian package pmacct)"

    def argv(self, folder, port):
        conf = os.path.join(folder, "nfacctd.conf")
        with open(conf, "w", encoding="ascii") as out:
            out.write(f"""daemonize: false
nfacctd_ip: 127.0.0.1
nfacctd_port: {port}
nfacctd_pipe_size: {BUFFER_BYTES}
plugins: print[mail]
aggregate[mail]: src_host, dst_host, src_port, dst_port, proto, tcpflags, flows
aggregate_filter[mail]: port 25
print_output[mail]: csv
print_output_file[mail]: {folder}/mail.csv
print_refresh_time[mail]: 3600
plugin_buffer_size: 1048576
plugin_pipe_size: 33554432
""")
        return ["nfacctd", "-f", conf]

    def flows_missing(self, folder, sent):
        flows = 0
        with open(os.path.join(folder, "mail.csv"), encoding="ascii") as table:
            column = table.readline().strip().split(",").index("FLOWS")
            for line in table:
                flows += int(line.split(",")[column])
        return sent.mail - flows


class Nfcapd(Row):
    """nfdump's collector."""

    name = "nfcapd"
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
    does = "writes every flow"
    top_rate = 80e3

    def __init__(self):
        places = ["goflow2", os.path.expanduser("~/go/bin/goflow2")]
        self.program = next(filter(None, map(shutil.which, places)), None)

    def missing(self):
        return None if self.program else ("not installed (go install "
                                          "github.com/netsampler/goflow2/v2/cmd/goflow2@v2.2.6)")

    def argv(self, folder, port):
        return [self.program, "-listen", f"netflow://127.0.0.1:{port}", "-addr", "127.0.0.1:0",
                "-format", "bin", "-transport.file", os.path.join(folder, "flows"),
                "-transport.file.sep", "", "-templates.path", ""]

    def flows_missing(self, folder, sent):
        with open(os.path.join(folder, "flows"), "rb") as flows:
            return sent.flows - count_delimited(flows.read())


def count_delimited(data):
    """Messages in a row of length-prefixed protobuf."""
    at = count = 0
    while at < len(data):
        length = shift = 0
        while data[at] & 0x80:
            length |= (data[at] & 0x7f) << shift
            shift += 7
            at += 1
        at += 1 + (length | data[at] << shift)
        count += 1
    return count


def send(tools, dialect, port, flows, rate):
    """Runs the generator and returns what it sent."""
    out = subprocess.run([tools.program("flowgen"), "--format", dialect, "--count", str(int(flows)),
                          "--rate", str(rate), "--mail", str(MAIL_SHARE), "--network", NETWORK,
                          f"127.0.0.1:{port}"], check=True, capture_output=True, text=True)
    told = json.loads(out.stdout)
    return Sent(told["flows"], told["mail"], told["seconds"]), told["datagrams"]


def measure(tools, row, dialect, rate, seconds):
    """One start, one stream, one figure."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="postern-bench.") as folder:
        program = Metered(row.argv(folder, port), os.path.join(folder, "log"))
        try:
            program.wait_for_port(port)
            before = program.cpu_s()
            sent, datagrams = send(tools, dialect, port, rate * seconds, rate)
            program.wait_until_idle(port)
            cpu_s = program.cpu_s() - before
            peak = program.peak_bytes()
            dropped = sum(drops for _, drops in udp_sockets(port))
        finally:
            program.stop(row.stop_signal)
        lost = dropped * sent.flows / datagrams
        if dropped == 0:
            lost += row.flows_missing(folder, sent) or 0
        return Result((sent.flows - lost) / cpu_s, peak, sent, lost)


def highest_lossless(tools, row, dialect, start, seconds):
    """Doubles the rate until something is lost, then halves the interval down to 5 %."""
    good, bad = 0.0, None
    rate = start
    while bad is None or bad - good > 0.05 * bad:
        result = measure(tools, row, dialect, rate, seconds)
        reached = result.sent.flows / result.sent.seconds
        if result.lost > 0:
            bad = rate
        elif reached < 0.9 * rate:
            return reached, True    # the generator is at its end
        else:
            good = rate
        rate = rate * 2 if bad is None else (good + bad) / 2
        if bad is not None and bad < 1000:
            break
    return good, False


def table_line(row, results, ours, lossless):
    """The medians of one row."""
    rate = statistics.median(r.flows_per_cpu_s for r in results)
    sent = sum(r.sent.flows for r in results)
    lost = sum(r.lost for r in results)
    offered = statistics.median(r.sent.flows / r.sent.seconds for r in results)
    spread = max(r.flows_per_cpu_s for r in results) / min(r.flows_per_cpu_s for r in results)
    cells = [row.name, short(rate), f"{spread:.2f}", f"{ours / rate:.2f}" if ours else "–",
             f"{max(r.peak_bytes for r in results) / 1e6:.0f} MB", short(offered),
             "0" if lost == 0 else f"{100 * lost / sent:.2f} %"]
    if lossless is not None:
        cells.append(("≥ " if lossless[1] else "") + short(lossless[0]))
    return cells + [row.does]


def offered_rate(row, args):
    """What a program is asked to take: no more than it is known to manage."""
    return min(args.rate, row.top_rate or args.rate)


def repeat(tools, rows, dialect, args):
    """The results of each row; the repetitions go round, so a slow minute hits everyone."""
    results = {row: [] for row in rows}
    for _ in range(args.repeat):
        for row in rows:
            try:
                result = measure(tools, row, dialect, offered_rate(row, args), args.seconds)
                results[row].append(result)
            except MeterError as problem:
                print(f"  {row.name}: {problem}", file=sys.stderr)
    return {row: found for row, found in results.items() if found}


def run_dialect(tools, rows, dialect, args):
    """All rows with one export format."""
    results = repeat(tools, rows, dialect, args)
    mine = [row for row in results if isinstance(row, Postern)]
    ours = statistics.median(r.flows_per_cpu_s for r in results[mine[0]]) if mine else None
    head = [dialect, "flows per CPU s", "max/min", "ours ÷ it", "peak memory", "offered/s", "lost"]
    head += ["highest lossless/s"] if args.lossless else []
    lines = []
    for row, found in results.items():
        highest = None
        if args.lossless:
            highest = highest_lossless(tools, row, dialect, offered_rate(row, args), args.seconds)
        lines.append(table_line(row, found, ours, highest))
    print_table(head + ["does"], lines)


def add_arguments(parser):
    """The options of `tests/bench/run collector`."""
    parser.add_argument("--format", default="ipfix,v9",
                        help="of v5, v9, ipfix; default %(default)s")
    parser.add_argument("--rate", type=float, default=1e6,
                        help="flows a second offered to each program; default %(default)g")
    parser.add_argument("--seconds", type=float, default=4, help="length of one stream")
    parser.add_argument("--repeat", type=int, default=5, help="repetitions; the median is printed")
    parser.add_argument("--lossless", action="store_true",
                        help="also search the highest rate without loss (minutes)")
    parser.add_argument("--only", help="only rows whose name contains this text")


def run(tools, args):
    """The benchmark."""
    if args.quick:
        args.seconds, args.repeat, args.format = 1, 1, args.format.split(",")[0]
    tools.program("flowgen")
    candidates = [
        Floor(tools),
        Postern(tools, "smtp", "embedded:{folder}/bus", "mail flows as batches on the durable bus"),
        Postern(tools, "smtp", "json:/dev/null", "mail flows as JSON, forgotten"),
        Nfacctd(),
        Nfcapd(),
        Goflow2(),
    ]
    if args.only:
        candidates = [row for row in candidates if args.only in row.name]
    rows = [row for row in candidates if not row.missing()]
    for row in candidates:
        if row.missing():
            print(f"left out: {row.name}: {row.missing()}")
    print(f"records of 73 bytes (v5: 48), 18 a datagram, {100 * MAIL_SHARE:.0f} % mail, "
          f"{args.repeat} × {args.seconds:g} s, net.core.rmem_max "
          f"{kernel_setting('net/core/rmem_max')}\n", flush=True)
    for dialect in args.format.split(","):
        run_dialect(tools, rows, dialect, args)
