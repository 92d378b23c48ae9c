# SPDX-License-Identifier: Apache-2.0
"""How much fits: a high rate held, several workers, many exporters, a long time."""

import os
import statistics
import subprocess
import tempfile
import time

from meter import Metered, MeterError, Places, free_port, udp_sockets
from rows import Postern, PosternWorkers, rows_of_files
from stream import Stream, flows_per_cpu_s, highest_lossless, measure, start_sender
from table import print_table, short

SMALL_RING = 64         # an exporter's turn, where several send
NOT_FOR_MEMORY = ("floor", "resting floor", "json")
SOAK_EXPORTERS = 1000
SOAK_TEMPLATES = 16     # numbers an exporter goes through, each time with another definition
SOAK_LOOKS = 10
SOAK_SECONDS_MIN = 120  # the embedded bus has filled its page cache (16 MiB) by the half of it


def run_loss(tools, args, goals):
    """Everyone gets the same high rate for long."""
    lines = []
    for row in rows_of_files(tools):
        if row.missing() or args.only not in row.name or row.key in ("goflow2", "json"):
            continue
        stream = Stream("ipfix", args.records, args.loss_seconds)
        result = measure(tools, row, stream, args.loss_rate, Places(args.pin))
        reached = result.sent.flows / result.sent.seconds
        lines.append([row.name, short(reached), f"{result.sent.seconds:.0f} s",
                      f"{100 * result.lost / result.sent.flows:.3f} %",
                      f"{100 * result.cpu_s / result.sent.seconds:.0f} %",
                      short(flows_per_cpu_s(result))])
        if row.key == "ours":
            enough = reached >= 0.98 * args.loss_rate
            goals.add(f"no loss at {short(args.loss_rate)} flows/s for {args.loss_seconds:g} s",
                      "0", f"{result.lost:.0f} of {short(result.sent.flows)} at "
                      f"{short(reached)}/s", result.lost == 0 and enough)
    print_table(["one worker, a high rate", "offered/s", "for", "lost", "of one CPU",
                 "flows per CPU s"], lines)


def run_workers(tools, args, goals):
    """Two workers against one: what sharing costs, and, where there are processors for workers and
    generators, the highest rate without loss."""
    cpus = len(os.sched_getaffinity(0))
    stream = Stream("ipfix", args.records, args.seconds, exporters=64, ring=SMALL_RING,
                    senders=max(1, cpus - 2))
    rows = [PosternWorkers(tools, n) for n in (1, 2)]
    places = [Places(args.pin and cpus > 2, n) for n in (1, 2)]
    results = [[], []]
    try:
        for _ in range(args.repeat):
            for row, place, found in zip(rows, places, results):
                found.append(measure(tools, row, stream, args.rate, place))
    except MeterError as problem:
        print(f"left out: several workers: {problem}")
        goals.add("two workers ÷ one", "≥ 1.8", "–", None)
        return
    highest = [highest_lossless(tools, row, stream, 4e6, place)[0] if cpus >= 4 else None
               for row, place in zip(rows, places)]
    costs = [statistics.median(map(flows_per_cpu_s, found)) for found in results]
    lost = [100 * sum(r.lost for r in found) / sum(r.sent.flows for r in found)
            for found in results]
    print_table(["64 exporters", "flows per CPU s", "lost", "highest lossless/s"],
                [[row.name, short(cost), f"{share:.2f} %", short(high) if high else "–"]
                 for row, cost, share, high in zip(rows, costs, lost, highest)])
    if cpus >= 4:
        goals.least("two workers ÷ one, highest rate without loss", 1.8, highest[1] / highest[0])
    else:
        goals.add("two workers ÷ one, highest rate without loss", "≥ 1.8",
                  f"{cpus} processors; flows per CPU s: {costs[1] / costs[0]:.2f} × one's", None)


def run_memory(tools, args, goals):
    """What an exporter with templates costs, where it is one of many."""
    lines = []
    for row in rows_of_files(tools):
        if row.missing() or args.only not in row.name or row.key in NOT_FOR_MEMORY:
            continue
        flows = 2 * args.exporters * args.records    # each exporter has two turns
        seconds = args.exporters / 2000
        stream = Stream("ipfix", args.records, seconds, exporters=args.exporters, ring=1)
        try:
            result = measure(tools, row, stream, flows / seconds, Places(args.pin))
        except MeterError as problem:
            print(f"left out: {row.name}: {problem}")
            continue
        each = result.grown_bytes / args.exporters
        lines.append([row.name, short(each) + "B", f"{result.peak_bytes / 1e6:.0f} MB",
                      f"{100 * result.lost / result.sent.flows:.2f} %"])
        if row.key == "ours":
            goals.most("memory per exporter, bytes", 32768, each)
            goals.most(f"peak memory with {args.exporters} exporters, bytes",
                       400e6 * args.exporters / 10000, result.peak_bytes)
    print_table([f"{args.exporters} exporters", "memory per exporter", "peak memory", "lost"],
                lines)


def soak(tools, args, places, folder):
    """The memory at each look, from the first on which every template number was seen."""
    row = Postern(tools)
    port = free_port()
    rate = SOAK_EXPORTERS * args.records * 20    # each exporter has twenty turns a second
    stream = Stream("ipfix", args.records, args.soak_seconds, SOAK_EXPORTERS, 1, SOAK_TEMPLATES)
    program = Metered(Places.on(places.mine, row.argv(folder, port)), os.path.join(folder, "log"))
    try:
        program.wait_for_port(port)
        sender = start_sender(tools, row, stream, rate, port, places)
        looks = []
        for _ in range(SOAK_LOOKS):
            time.sleep(args.soak_seconds / SOAK_LOOKS)
            looks.append(program.memory_bytes("VmRSS:"))
        sender.communicate()
        dropped = sum(drops for _, drops in udp_sockets(port))
    finally:
        program.stop()
    return looks, dropped


def run_soak(tools, args, goals):
    """Exporters that redefine their templates all the time."""
    with tempfile.TemporaryDirectory(prefix="postern-bench.") as folder:
        looks, dropped = soak(tools, args, Places(args.pin), folder)
    print_table([f"{SOAK_EXPORTERS} exporters, 20,000 redefinitions a second, memory after"],
                [[f"{args.soak_seconds * (i + 1) / SOAK_LOOKS:.0f} s: {look / 1e6:.1f} MB"]
                 for i, look in enumerate(looks)])
    enough = args.soak_seconds >= SOAK_SECONDS_MIN
    half = looks[SOAK_LOOKS // 2 - 1]
    goals.add(f"memory flat over {args.soak_seconds:g} s of template churn", "last ≤ 1.02 × half",
              f"{looks[-1] / half:.3f}, {dropped} datagrams dropped",
              looks[-1] <= 1.02 * half if enough else None)
