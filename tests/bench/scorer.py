# SPDX-License-Identifier: Apache-2.0
"""The detector's engine: sightings per CPU second and memory per unit, generated traffic."""

import itertools
import json
import statistics
import subprocess

import restart
from table import print_table, short

PARTS = ("engine", "restart")


def add_arguments(parser):
    """The options of `tests/bench/run scorer`."""
    parser.add_argument("--units", type=int, nargs="+", default=[10000, 100000, 1000000],
                        help="units that send; default %(default)s")
    parser.add_argument("--rates", type=int, nargs="+", default=[1],
                        help="sampling 1:N; default %(default)s")
    parser.add_argument("--millions", type=int, default=10, help="flows; default %(default)s")
    parser.add_argument("--repeat", type=int, default=3, help="repetitions; the median is printed")
    parser.add_argument("--part", choices=PARTS, nargs="+", default=PARTS,
                        help="what to measure; default: all")
    parser.add_argument("--restart-units", type=int, default=1000000,
                        help="units of the scorer that is started again; default %(default)s")
    parser.add_argument("--backlog", type=int, default=200000,
                        help="flows that wait for it; default %(default)s")


def measure(tools, units, millions, rate):
    """One run of bench_engine."""
    out = subprocess.run([tools.program("bench_engine"), str(units), str(millions), str(rate)],
                         check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(out.stdout)


def run(tools, args):
    """Prints a table for each part."""
    if args.quick:
        args.units, args.millions, args.repeat = [10000], 1, 1
        args.restart_units, args.backlog = 10000, 5000
    if "engine" in args.part:
        run_engine(tools, args)
    if "restart" in args.part:
        restart.run(tools, args.restart_units, args.backlog)


def run_engine(tools, args):
    """The engine alone, in the units that were asked for."""
    print(f"{args.millions} million flows of generated traffic, {args.repeat} repetitions\n")
    rows = []
    for rate, units in itertools.product(args.rates, args.units):
        results = [measure(tools, units, args.millions, rate) for _ in range(args.repeat)]
        first = results[0]

        def middle(name, of=results):
            return statistics.median(one[name] for one in of)
        rows.append([f"1:{rate}", str(units), short(middle("sightings_per_cpu_s")),
                     str(first["state_bytes_per_unit"]),
                     f"{short(first['state_bytes'])} ({short(first['novelty_bytes'])})",
                     short(middle("resident_bytes")), f"{100 * first['missed_novelty']:.2f} %",
                     short(first["snapshot_bytes"]), f"{middle('pause_s'):.2f} s",
                     f"{middle('written_s'):.2f} s", short(middle("meanwhile")),
                     f"{middle('load_s'):.2f} s"])
    print_table(["sampling", "units", "sightings per CPU s", "bytes per unit",
                 "state (novelty filter)", "resident", "missed novelty", "snapshot", "pause",
                 "on disk after", "flows taken meanwhile", "loaded in"], rows)
