# SPDX-License-Identifier: Apache-2.0
"""Collectors side by side: the same datagrams, one program after the other, in the same run."""

import statistics
import sys

import capacity
from broker import kafka_broker, make_topic
from goals import Goals
from meter import MeterError, Places
from rows import rows_of_files, rows_of_kafka
from stream import MAIL_SHARE, Stream, flows_per_cpu_s, highest_lossless, measure
from table import kernel_setting, print_table, short

PARTS = ("smtp", "short", "kafka", "loss", "workers", "memory", "soak")
DEFAULT_PARTS = ",".join(part for part in PARTS if part != "soak")


def table_line(row, results, ours, lossless):
    """The medians of one row."""
    rate = statistics.median(map(flows_per_cpu_s, results))
    sent = sum(r.sent.flows for r in results)
    lost = sum(r.lost for r in results)
    offered = statistics.median(r.sent.flows / r.sent.seconds for r in results)
    datagrams = statistics.median(flows_per_cpu_s(r) * r.sent.datagrams / r.sent.flows
                                  for r in results)
    spread = max(map(flows_per_cpu_s, results)) / min(map(flows_per_cpu_s, results))
    cells = [row.name, short(rate), short(datagrams), f"{spread:.2f}",
             f"{ours / rate:.2f}" if ours else "–",
             f"{max(r.peak_bytes for r in results) / 1e6:.0f} MB", short(offered),
             "0" if lost == 0 else f"{100 * lost / sent:.2f} %"]
    if lossless is not None:
        cells.append(("≥ " if lossless[1] else "") + short(lossless[0]))
    return cells + [row.does]


def offered_rate(row, args, stream):
    """What a program is asked to take: no more than it is known to manage."""
    rate = args.rate * min(1, stream.records / 9)    # a datagram costs more than a record
    return min(rate, row.top_rate or rate)


def repeat(tools, rows, stream, args, places):
    """The results of each row; the repetitions go round, so a slow minute hits everyone."""
    results = {row: [] for row in rows}
    for _ in range(args.repeat):
        for row in rows:
            try:
                results[row].append(measure(tools, row, stream, offered_rate(row, args, stream),
                                            places))
            except MeterError as problem:
                print(f"  {row.name}: {problem}", file=sys.stderr)
    return {row: found for row, found in results.items() if found}


def run_stream(tools, rows, stream, args, places):
    """All rows with one export format; returns the medians by the rows' keys."""
    results = repeat(tools, rows, stream, args, places)
    medians = {row.key: statistics.median(map(flows_per_cpu_s, found))
               for row, found in results.items()}
    title = f"{stream.dialect}, {stream.records} a datagram"
    head = [title, "flows per CPU s", "datagrams per CPU s", "max/min", "ours ÷ it",
            "peak memory", "offered/s", "lost"]
    head += ["highest lossless/s"] if args.lossless else []
    lines = []
    for row, found in results.items():
        highest = None
        if args.lossless:
            highest = highest_lossless(tools, row, stream, offered_rate(row, args, stream), places)
        lines.append(table_line(row, found, medians.get("ours"), highest))
    print_table(head + ["does"], lines)
    return medians


def present(candidates, args):
    """The rows that can be measured here; says what is missing."""
    candidates = [row for row in candidates if args.only in row.name]
    for row in candidates:
        if row.missing():
            print(f"left out: {row.name}: {row.missing()}")
    return [row for row in candidates if not row.missing()]


def run_smtp(tools, args, goals):
    """Mail flows wanted, all others sent away: formats one after the other."""
    places = Places(args.pin)
    rows = present(rows_of_files(tools), args)
    for dialect in args.format.split(",") if rows else []:
        medians = run_stream(tools, rows, Stream(dialect, args.records, args.seconds), args,
                             places)
        if dialect != "v5":
            goals.ratios(f"smtp, {dialect}", medians,
                         {"floor": 0.7, "nfacctd": 2, "nfcapd": 3.5, "goflow2": 50})


def run_short(tools, args, goals):
    """What a datagram costs: routers send short ones."""
    rows = [row for row in present(rows_of_files(tools), args) if row.key not in
            ("goflow2", "json")]
    for records in (1, 2) if rows else ():
        run_stream(tools, rows, Stream("ipfix", records, args.seconds), args, Places(args.pin))


def run_kafka(tools, args, goals):
    """Every flow to a broker."""
    places = Places(args.pin)
    with kafka_broker(args.kafka, places) as address:
        for topic in ("bench.nfacctd", "bench.goflow2"):
            make_topic(tools, address, topic)
        rows = present(rows_of_kafka(tools, address), args)
        for dialect in [d for d in args.format.split(",") if d != "v5"] if rows else []:
            medians = run_stream(tools, rows, Stream(dialect, args.records, args.seconds), args,
                                 places)
            goals.least(f"all to Kafka, {dialect}: flows per CPU s", 3e6, medians.get("ours"))
            goals.ratios(f"all to Kafka, {dialect}", medians, {"nfacctd": 6, "goflow2": 25})


RUN = {"smtp": run_smtp, "short": run_short, "kafka": run_kafka, "loss": capacity.run_loss,
       "workers": capacity.run_workers, "memory": capacity.run_memory, "soak": capacity.run_soak}


def add_arguments(parser):
    """The options of `tests/bench/run collector`."""
    parser.add_argument("--part", default=DEFAULT_PARTS,
                        help=f"of {','.join(PARTS)}; default %(default)s")
    parser.add_argument("--format", default="ipfix,v9,v5",
                        help="of v5, v9, ipfix; default %(default)s")
    parser.add_argument("--rate", type=float, default=1e6,
                        help="flows a second offered to each program; default %(default)g")
    parser.add_argument("--records", type=int, default=18,
                        help="records in a datagram; default %(default)s")
    parser.add_argument("--seconds", type=float, default=4, help="length of one stream")
    parser.add_argument("--repeat", type=int, default=5, help="repetitions; the median is printed")
    parser.add_argument("--lossless", action="store_true",
                        help="also search the highest rate without loss (minutes)")
    parser.add_argument("--loss-rate", type=float, default=4e6,
                        help="part loss: flows a second; default %(default)g")
    parser.add_argument("--loss-seconds", type=float, default=60,
                        help="part loss: how long; default %(default)g")
    parser.add_argument("--exporters", type=int, default=10000,
                        help="part memory: how many; default %(default)s")
    parser.add_argument("--soak-seconds", type=float, default=3600,
                        help="part soak: how long; default %(default)g")
    parser.add_argument("--kafka", metavar="HOST:PORT", default="",
                        help="part kafka: a running broker; default: one of our own")
    parser.add_argument("--unpinned", dest="pin", action="store_false",
                        help="let the kernel place programs; else each measured program gets the "
                             "same processor, and the generator and the broker get the others")
    parser.add_argument("--only", default="", help="only rows whose name contains this text")


def make_quick(args):
    """One short repetition of everything."""
    args.seconds, args.repeat = 1, 1
    args.format = args.format.split(",")[0]
    args.loss_seconds, args.soak_seconds = 3, 20
    args.exporters = min(args.exporters, 1000)


def run(tools, args):
    """The benchmark."""
    if args.quick:
        make_quick(args)
    tools.program("flowgen")
    places = Places(args.pin)
    print(f"records of 73 bytes (v5: 48), {100 * MAIL_SHARE:.0f} % mail, {args.repeat} × "
          f"{args.seconds:g} s, net.core.rmem_max {kernel_setting('net/core/rmem_max')}, measured "
          f"on processors {places.mine}, all else on {places.others}\n", flush=True)
    goals = Goals()
    for part in args.part.split(","):
        if part not in RUN:
            raise MeterError(f"--part {part}: there are {', '.join(PARTS)}")
        RUN[part](tools, args, goals)
    goals.print()
