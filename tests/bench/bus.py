# SPDX-License-Identifier: Apache-2.0
"""The bus: batches published durably and read back, embedded and Kafka."""

import json
import os
import statistics
import subprocess
import tempfile

from table import print_table, short


def measure(tools, uri, args):
    """One pass: a new topic, N batches in, N batches out."""
    out = subprocess.run([tools.program("bench_bus"), "--messages", str(args.messages),
                          "--bytes", str(args.bytes), uri],
                         check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(out.stdout)


def raw_disk(folder, args):
    """The floor: the same bytes appended to a file, with one fdatasync() for 4 MiB."""
    block = os.urandom(args.bytes)
    every = max(1, (4 << 20) // args.bytes)
    times = os.times()
    with open(os.path.join(folder, "raw"), "wb", buffering=0) as out:
        for i in range(args.messages):
            out.write(block)
            if i % every == every - 1:
                os.fdatasync(out.fileno())
        os.fdatasync(out.fileno())
    written = os.times()
    with open(os.path.join(folder, "raw"), "rb", buffering=0) as back:
        while back.read(args.bytes):
            pass
    read = os.times()

    def cpu(a, b):
        return (b.user + b.system) - (a.user + a.system)
    return {"bytes": args.bytes * args.messages,
            "publish_s": written.elapsed - times.elapsed, "publish_cpu_s": cpu(times, written),
            "read_s": read.elapsed - written.elapsed, "read_cpu_s": cpu(written, read)}


def table_line(name, results):
    """Medians of one backend."""
    def rate(seconds):
        return short(statistics.median(r["bytes"] / max(r[seconds], 0.01) for r in results)) + "B"
    return [name] + [rate(s) for s in ("publish_s", "publish_cpu_s", "read_s", "read_cpu_s")]


def add_arguments(parser):
    """The options of `tests/bench/run bus`."""
    parser.add_argument("--messages", type=int, default=4096, help="batches; default %(default)s")
    parser.add_argument("--bytes", type=int, default=65536, help="of a batch; default %(default)s")
    parser.add_argument("--repeat", type=int, default=5, help="repetitions; the median is printed")
    parser.add_argument("--folder", help="where the embedded bus is written; default: TMPDIR")
    parser.add_argument("--kafka", metavar="HOST:PORT",
                        help="a running broker to measure beside it (its topic postern.bench "
                             "must not exist)")


def run(tools, args):
    """The benchmark."""
    if args.quick:
        args.repeat, args.messages = 1, min(args.messages, 512)
    results = {"file with fdatasync": [], "embedded": []}
    for _ in range(args.repeat):
        with tempfile.TemporaryDirectory(prefix="postern-bench.", dir=args.folder) as folder:
            results["file with fdatasync"].append(raw_disk(folder, args))
        with tempfile.TemporaryDirectory(prefix="postern-bench.", dir=args.folder) as folder:
            results["embedded"].append(measure(tools, f"embedded:{folder}/bus", args))
    if args.kafka:
        results["kafka"] = [measure(tools, f"kafka://{args.kafka}", args)]
    else:
        print("left out: kafka: no broker given (--kafka HOST:PORT)")
    print(f"{args.messages} batches of {args.bytes} bytes that do not compress, 8 partitions, "
          f"{args.repeat} repetitions\n")
    print_table(["bus", "publish/s", "publish/CPU s", "read/s", "read/CPU s"],
                [table_line(name, r) for name, r in results.items() if r])
