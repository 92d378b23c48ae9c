# SPDX-License-Identifier: Apache-2.0
"""The bus: batches published durably and read back, embedded and Kafka."""

import json
import os
import statistics
import subprocess
import tempfile
import time

from broker import kafka_broker
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
    path = os.path.join(folder, "raw")

    def write():
        with open(path, "wb", buffering=0) as out:
            for i in range(args.messages):
                out.write(block)
                if i % every == every - 1 or i == args.messages - 1:
                    os.fdatasync(out.fileno())

    def read():
        with open(path, "rb", buffering=0) as back:
            while back.read(args.bytes):
                pass

    result = {"bytes": args.bytes * args.messages, "read_bytes": args.bytes * args.messages}
    for name, work in (("publish", write), ("read", read)):
        wall, cpu = time.monotonic(), time.process_time()
        work()
        result[f"{name}_s"] = time.monotonic() - wall
        result[f"{name}_cpu_s"] = time.process_time() - cpu
    return result


def table_line(name, results):
    """Medians of one backend."""
    def rate(data, seconds):
        return short(statistics.median(r[data] / r[seconds] for r in results)) + "B"
    return [name, rate("bytes", "publish_s"), rate("bytes", "publish_cpu_s"),
            rate("read_bytes", "read_s"), rate("read_bytes", "read_cpu_s")]


def add_arguments(parser):
    """The options of `tests/bench/run bus`."""
    parser.add_argument("--messages", type=int, default=4096, help="batches; default %(default)s")
    parser.add_argument("--bytes", type=int, default=65536, help="of a batch; default %(default)s")
    parser.add_argument("--repeat", type=int, default=5, help="repetitions; the median is printed")
    parser.add_argument("--folder", help="where the embedded bus is written; default: TMPDIR")
    parser.add_argument("--kafka", metavar="HOST:PORT", nargs="?", const="",
                        help="measure Kafka beside it: a running broker without a topic "
                             "postern.bench, or one of our own, started for this")


def measure_once(tools, args, results):
    """One repetition of everything, each in a fresh place."""
    with tempfile.TemporaryDirectory(prefix="postern-bench.", dir=args.folder) as folder:
        results.setdefault("file with fdatasync", []).append(raw_disk(folder, args))
    with tempfile.TemporaryDirectory(prefix="postern-bench.", dir=args.folder) as folder:
        results.setdefault("embedded", []).append(measure(tools, f"embedded:{folder}/bus", args))
    if args.kafka is not None:
        with kafka_broker(args.kafka) as address:
            results.setdefault("kafka", []).append(measure(tools, f"kafka://{address}", args))


def run(tools, args):
    """The benchmark."""
    if args.quick:
        args.repeat, args.messages = 1, min(args.messages, 512)
    if args.kafka:
        args.repeat = 1    # its topic can be new only once
    elif args.kafka is None:
        print("left out: kafka: not asked for (--kafka)")
    print(f"{args.messages} batches of {args.bytes} bytes that do not compress, 8 partitions, "
          f"{args.repeat} repetitions\n", flush=True)
    results = {}
    for _ in range(args.repeat):
        measure_once(tools, args, results)
    print_table(["bus", "publish/s", "publish/CPU s", "read/s", "read/CPU s"],
                [table_line(name, found) for name, found in results.items()])
