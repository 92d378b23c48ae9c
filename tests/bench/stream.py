# SPDX-License-Identifier: Apache-2.0
"""One program, one stream of datagrams, one figure."""

import collections
import json
import os
import subprocess
import tempfile

from meter import Metered, MeterError, Places, free_port, udp_sockets
from rows import NETWORK

MAIL_SHARE = 0.02
RING = 2048    # different datagrams

Stream = collections.namedtuple("Stream", "dialect records seconds exporters ring churn senders",
                                defaults=(1, RING, 1, 1))
Sent = collections.namedtuple("Sent", "datagrams flows mail seconds")
Result = collections.namedtuple("Result", "cpu_s peak_bytes grown_bytes sent lost")


def flows_per_cpu_s(result):
    """What one second of a processor took without losing it."""
    return (result.sent.flows - result.lost) / result.cpu_s


def start_sender(tools, row, stream, rate, port, places):
    """Starts one generator."""
    flows = int(rate * stream.seconds)
    ring = flows // stream.records + 1 if row.all_different else stream.ring
    argv = [tools.program("flowgen"), "--format", stream.dialect, "--count", str(flows),
            "--rate", str(rate), "--mail", str(MAIL_SHARE), "--network", NETWORK,
            "--records", str(stream.records), "--ring", str(ring),
            "--exporters", str(stream.exporters), "--churn", str(stream.churn),
            f"127.0.0.1:{port}"]
    return subprocess.Popen(Places.on(places.others, argv), stdout=subprocess.PIPE, text=True)


def send(tools, row, stream, rate, port, places):
    """Runs the generators and returns what they sent together."""
    senders = [start_sender(tools, row, stream, rate / stream.senders, port, places)
               for _ in range(stream.senders)]
    told = []
    for sender in senders:
        out, _ = sender.communicate()
        if sender.returncode != 0:
            raise MeterError(f"flowgen ended with {sender.returncode}")
        told.append(json.loads(out))
    return Sent(*(sum(one[name] for one in told) for name in Sent._fields[:3]),
                max(one["seconds"] for one in told))


def measure(tools, row, stream, rate, places):
    """One start, one stream, one figure."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="postern-bench.") as folder:
        program = Metered(Places.on(places.mine, row.argv(folder, port)),
                          os.path.join(folder, "log"))
        try:
            program.wait_for_port(port)
            cpu_before, memory_before = program.cpu_s(), program.memory_bytes("VmRSS:")
            sent = send(tools, row, stream, rate, port, places)
            program.wait_until_idle(port)
            cpu_s = program.cpu_s() - cpu_before
            peak = program.memory_bytes()
            grown = program.memory_bytes("VmRSS:") - memory_before
            dropped = sum(drops for _, drops in udp_sockets(port))
        finally:
            program.stop(row.stop_signal)
        lost = dropped * sent.flows / sent.datagrams
        if dropped == 0:
            lost += row.flows_missing(folder, sent) or 0
        return Result(cpu_s, peak, grown, sent, lost)


def highest_lossless(tools, row, stream, start, places):
    """Doubles the rate until something is lost, then halves the interval down to 5 %."""
    good, bad = 0.0, None
    rate = start
    while bad is None or bad - good > 0.05 * bad:
        result = measure(tools, row, stream, rate, places)
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
