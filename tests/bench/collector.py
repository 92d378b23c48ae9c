# SPDX-License-Identifier: Apache-2.0
"""Collectors side by side: the same datagrams, one after the other, in the same run."""

import collections
import json
import os
import statistics
import subprocess
import sys
import tempfile

from broker import kafka_broker, make_topic
from meter import Metered, MeterError, free_port, udp_sockets
from rows import NETWORK, rows_of_files, rows_of_kafka
from table import kernel_setting, print_table, short

MAIL_SHARE = 0.02
RING = 2048    # different datagrams

Stream = collections.namedtuple("Stream", "dialect records seconds")
Sent = collections.namedtuple("Sent", "datagrams flows mail seconds")
Result = collections.namedtuple("Result", "flows_per_cpu_s peak_bytes sent lost")


def send(tools, row, stream, rate, port):
    """Runs the generator and returns what it sent."""
    flows = int(rate * stream.seconds)
    ring = flows // stream.records + 1 if row.all_different else RING
    out = subprocess.run([tools.program("flowgen"), "--format", stream.dialect,
                          "--count", str(flows), "--rate", str(rate), "--mail", str(MAIL_SHARE),
                          "--network", NETWORK, "--records", str(stream.records),
                          "--ring", str(ring), f"127.0.0.1:{port}"],
                         check=True, capture_output=True, text=True)
    told = json.loads(out.stdout)
    return Sent(*(told[name] for name in Sent._fields))


def measure(tools, row, stream, rate):
    """One start, one stream, one figure."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="postern-bench.") as folder:
        program = Metered(row.argv(folder, port), os.path.join(folder, "log"))
        try:
            program.wait_for_port(port)
            before = program.cpu_s()
            sent = send(tools, row, stream, rate, port)
            program.wait_until_idle(port)
            cpu_s = program.cpu_s() - before
            peak = program.peak_bytes()
            dropped = sum(drops for _, drops in udp_sockets(port))
        finally:
            program.stop(row.stop_signal)
        lost = dropped * sent.flows / sent.datagrams
        if dropped == 0:
            lost += row.flows_missing(folder, sent) or 0
        return Result((sent.flows - lost) / cpu_s, peak, sent, lost)


def highest_lossless(tools, row, stream, start):
    """Doubles the rate until something is lost, then halves the interval down to 5 %."""
    good, bad = 0.0, None
    rate = start
    while bad is None or bad - good > 0.05 * bad:
        result = measure(tools, row, stream, rate)
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


def repeat(tools, rows, stream, args):
    """The results of each row; the repetitions go round, so a slow minute hits everyone."""
    results = {row: [] for row in rows}
    for _ in range(args.repeat):
        for row in rows:
            try:
                results[row].append(measure(tools, row, stream, offered_rate(row, args)))
            except MeterError as problem:
                print(f"  {row.name}: {problem}", file=sys.stderr)
    return {row: found for row, found in results.items() if found}


def run_stream(tools, rows, stream, args):
    """All rows with one export format."""
    results = repeat(tools, rows, stream, args)
    mine = [row for row in results if row.ours]
    ours = statistics.median(r.flows_per_cpu_s for r in results[mine[0]]) if mine else None
    head = [stream.dialect, "flows per CPU s", "max/min", "ours ÷ it", "peak memory", "offered/s",
            "lost"]
    head += ["highest lossless/s"] if args.lossless else []
    lines = []
    for row, found in results.items():
        highest = None
        if args.lossless:
            highest = highest_lossless(tools, row, stream, offered_rate(row, args))
        lines.append(table_line(row, found, ours, highest))
    print_table(head + ["does"], lines)


def add_arguments(parser):
    """The options of `tests/bench/run collector`."""
    parser.add_argument("--format", default="ipfix,v9",
                        help="of v5, v9, ipfix; default %(default)s")
    parser.add_argument("--rate", type=float, default=1e6,
                        help="flows a second offered to each program; default %(default)g")
    parser.add_argument("--records", type=int, default=18,
                        help="records in a datagram; default %(default)s, and 1 tells what a "
                             "datagram costs")
    parser.add_argument("--seconds", type=float, default=4, help="length of one stream")
    parser.add_argument("--repeat", type=int, default=5, help="repetitions; the median is printed")
    parser.add_argument("--lossless", action="store_true",
                        help="also search the highest rate without loss (minutes)")
    parser.add_argument("--kafka", metavar="HOST:PORT", nargs="?", const="",
                        help="a second table with every flow going to Kafka: a running broker, or "
                             "one of our own, started for this")
    parser.add_argument("--only", help="only rows whose name contains this text")


def compare(tools, candidates, args):
    """One table for each export format."""
    if args.only:
        candidates = [row for row in candidates if args.only in row.name]
    rows = [row for row in candidates if not row.missing()]
    for row in candidates:
        if row.missing():
            print(f"left out: {row.name}: {row.missing()}")
    for dialect in args.format.split(",") if rows else []:
        run_stream(tools, rows, Stream(dialect, args.records, args.seconds), args)


def run(tools, args):
    """The benchmark."""
    if args.quick:
        args.seconds, args.repeat, args.format = 1, 1, args.format.split(",")[0]
    tools.program("flowgen")
    print(f"records of 73 bytes (v5: 48), {args.records} a datagram, "
          f"{100 * MAIL_SHARE:.0f} % mail, {args.repeat} × {args.seconds:g} s, net.core.rmem_max "
          f"{kernel_setting('net/core/rmem_max')}\n", flush=True)
    compare(tools, rows_of_files(tools), args)
    if args.kafka is None:
        print("left out: everything with Kafka: not asked for (--kafka)")
        return
    with kafka_broker(args.kafka) as address:
        for topic in ("bench.nfacctd", "bench.goflow2"):
            make_topic(tools, address, topic)
        compare(tools, rows_of_kafka(tools, address), args)
