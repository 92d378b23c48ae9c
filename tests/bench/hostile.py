# SPDX-License-Identifier: Apache-2.0
"""Hostile exporters: what their datagrams cost the collector, as a multiple of a good one's."""

import json
import os
import statistics
import subprocess
import tempfile

from table import print_table


def add_arguments(parser):
    """The options of `tests/bench/run hostile`."""
    parser.add_argument("--publish", nargs="+", choices=["smtp", "all"], default=["smtp", "all"])
    parser.add_argument("--milliseconds", type=int, default=200, help="per attack and repetition")
    parser.add_argument("--repeat", type=int, default=3, help="repetitions; the median is printed")


def measure(tools, publish, milliseconds):
    """One run of bench_hostile, all attacks."""
    with tempfile.TemporaryDirectory() as folder:
        out = subprocess.run(
            [tools.program("bench_hostile"), f"embedded:{os.path.join(folder, 'bus.db')}", publish,
             str(milliseconds)], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(out.stdout)


def cost(result):
    """Nanoseconds of a datagram, with its receipt."""
    return result["ns"] + result["receive_ns"]


def shares(results):
    """Each exporter's cost ÷ what a good exporter's datagrams of as many bytes cost. A datagram
    that is shorter than a good one counts as one."""
    good = results[0]
    return [cost(result) / (cost(good) * max(1, result["bytes"] / good["bytes"]))
            for result in results]


def run(tools, args):
    """Prints a table for each way to publish."""
    if args.quick:
        args.milliseconds, args.repeat = 20, 1
    for publish in args.publish:
        runs = [measure(tools, publish, args.milliseconds) for _ in range(args.repeat)]
        print(f"publish = {publish}, one worker, in-process processor time, "
              f"{args.repeat} repetitions\n")
        rows = []
        for i, first in enumerate(runs[0]):
            ns = statistics.median(results[i]["ns"] for results in runs)
            receive_ns = statistics.median(results[i]["receive_ns"] for results in runs)
            share = statistics.median(shares(results)[i] for results in runs)
            rows.append([first["name"], str(first["bytes"]), f"{receive_ns / 1000:.2f}",
                         f"{ns / 1000:.2f}", f"{ns / first['bytes']:.2f}", f"{share:.1f}"])
        print_table(["exporter", "bytes", "µs to receive", "µs to decode", "ns a byte", "share"],
                    rows)
