# SPDX-License-Identifier: Apache-2.0
"""Memory does not grow with traffic: measured after the first 300,000 flows, and a million later.

The traffic is generated (tests/tools/flowgen), on loopback, at a rate at which nothing is lost.
Growth between the two is what the traffic leaves behind; the first flows fill what is filled once
(socket and batch buffers, templates, the units and the novelty filters of 65,536 addresses).
"""

import json
import subprocess

import pytest

from desk import ENGLISH
from waiting import until

FIRST, LATER = 300_000, 1_000_000
RATE = 100_000    # flows a second
MARGIN_KIB = 4096    # an allocator's arenas and the metrics' text; a byte a flow would be 1000 KiB
NETWORK = "198.18.0.0/16"


def memory_kib(pid, field="VmRSS"):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field))


class Generator:
    """Made-up flows to a collector, until it has received each of them."""

    def __init__(self, programs, collector, port):
        self._flowgen = programs("flowgen")
        self._collector = collector
        self._to = f"127.0.0.1:{port}"
        self.records = 0

    def send(self, flows):
        done = subprocess.run([self._flowgen, f"--count={flows}", f"--rate={RATE}", self._to],
                              check=True, capture_output=True, text=True)
        self.records += json.loads(done.stdout)["flows"]
        def received():
            return self._collector.metric("postern_collector_records_total") == self.records
        until(received, f"the collector has all of {self.records} flows")


@pytest.fixture
def start_collector(runner, programs, free_port):
    def start(*arguments):
        port = free_port()
        collector = runner.start_ready("postern-collector", "--listen", f"udp://127.0.0.1:{port}",
                                       "--networks", NETWORK, *arguments)
        return collector, Generator(programs, collector, port)
    return start


def test_collector_prints_a_million_flows_in_constant_memory(start_collector):
    collector, generator = start_collector("--publish", "all", "--output", "json:/dev/null")
    generator.send(FIRST)
    before = memory_kib(collector.process.pid)
    generator.send(LATER)
    assert memory_kib(collector.process.pid, "VmHWM") - before < MARGIN_KIB
    assert collector.stop() == 0


def test_collector_and_scorer_judge_a_million_flows_in_constant_memory(start_collector, runner,
                                                                      desk, bus_path):
    desk.cli("networks", "add", NETWORK)
    bus = f"embedded:{bus_path}"
    scorer = runner.start_ready("postern-scorer", "--bus", bus, "--database",
                                desk.conninfo("postern_ingest"))
    collector, generator = start_collector("--publish", "smtp", "--output", bus)

    def wait_judged():
        def judged():
            return (collector.metric("postern_collector_published_flows_total")
                    == scorer.metric("postern_scorer_flows_total") > 0)
        until(judged, "every published flow is judged")

    generator.send(FIRST)
    wait_judged()
    before = [memory_kib(program.process.pid) for program in (collector, scorer)]
    generator.send(LATER)
    wait_judged()
    after = [memory_kib(program.process.pid, "VmHWM") for program in (collector, scorer)]
    assert after[0] - before[0] < MARGIN_KIB, "the collector"
    assert after[1] - before[1] < MARGIN_KIB, "the scorer"


def peak_kib(program):
    """The most memory that a program has held, as last seen before its end."""
    peak = 0
    while program.is_running:
        try:
            peak = memory_kib(program.process.pid, "VmHWM")
        except StopIteration:    # it has ended and is not yet waited for
            pass
    assert program.wait() == 0
    return peak


def test_a_capture_of_a_million_flows_is_read_in_constant_memory(programs, runner, work_dir):
    peaks = []
    for flows in (FIRST, FIRST + LATER):
        capture = work_dir / f"{flows}.pcap"
        subprocess.run([programs("flowgen"), f"--count={flows}", f"--pcap={capture}"], check=True,
                       stdout=subprocess.DEVNULL)
        peaks.append(peak_kib(runner.start(
            "postern-collector", "--read", capture, "--publish", "all", "--networks", NETWORK,
            "--output", "json:/dev/null")))
        capture.unlink()
    assert peaks[0] > 0 and peaks[1] - peaks[0] < MARGIN_KIB


def test_dispatch_applies_hundreds_of_verdicts_in_constant_memory(desk):
    dispatch = desk.dispatch("verdict")

    def apply(units):
        for unit in units:
            desk.verdict(unit)
        until(lambda: desk.value("SELECT count(*) FROM postern.verdict"
                                 " WHERE applied_at IS NULL") == 0, "all are applied")

    apply([ENGLISH, *(f"192.0.2.{host}" for host in range(40, 140))])
    before = memory_kib(dispatch.process.pid)
    apply([f"192.0.2.{host}" for host in range(140, 250)] * 3)
    assert memory_kib(dispatch.process.pid, "VmHWM") - before < MARGIN_KIB
