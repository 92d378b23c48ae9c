# SPDX-License-Identifier: Apache-2.0
"""Several workers: an exporter's address decides which one hears it, whatever its ports."""

import json
import socket
import sqlite3
import subprocess

import pytest

from exports import TEMPLATE, data, ipfix, record
from waiting import until

WORKERS = 4
SENDERS = [f"127.0.5.{number}" for number in range(1, 41)]


class LineCards:
    """Exporters on loopback that send from several ports each."""

    def __init__(self, port):
        self.to = ("127.0.0.1", port)
        self.open = []

    def card(self, address):
        card = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        card.bind((address, 0))
        card.connect(self.to)
        self.open.append(card)
        return card

    def close(self):
        for card in self.open:
            card.close()


@pytest.fixture
def cards(free_port):
    cards = LineCards(free_port())
    yield cards
    cards.close()


@pytest.fixture
def collector(runner, cards, bus_path):
    def start(*arguments, workers=WORKERS):
        return runner.start_ready(
            "postern-collector", "--listen", f"udp://:{cards.to[1]}", "--workers", workers,
            "--networks", "198.18.0.0/15", "--partitions", 2, "--producer", "edge",
            "--output", f"embedded:{bus_path}", *arguments)
    return start


def flows_by_producer(programs, bus_path):
    """{producer: {sampler: flows}} of postern.smtp."""
    with sqlite3.connect(bus_path) as bus:
        rows = bus.execute("SELECT producer, data FROM messages "
                           "WHERE topic = 'postern.smtp'").fetchall()
    found = {}
    for producer, batch in rows:
        text = subprocess.run([programs("flowcat"), "decode"], input=batch, capture_output=True,
                              check=True).stdout.decode()
        for item in map(json.loads, text.splitlines()):
            if "heartbeat" not in item:
                flows = found.setdefault(producer, {})
                flows[item["sampler_address"]] = flows.get(item["sampler_address"], 0) + 1
    return found


def send_round(cards, first):
    """Of every sender: the template from one port, flows from two others, before and after."""
    sent = 0
    for sender in SENDERS:
        early, teller, late = (cards.card(sender) for _ in range(3))
        early.send(ipfix(data(record()), sequence=first))
        teller.send(ipfix(TEMPLATE, sequence=first + 1))
        late.send(ipfix(data(record(), record()), sequence=first + 1))
        sent += 3
    return sent


def test_templates_and_flows_of_an_address_meet_whatever_the_port(collector, cards, programs,
                                                                 bus_path):
    program = collector()
    sent = send_round(cards, 0)
    until(lambda: program.metric("postern_collector_datagrams_total") == sent, "all taken")
    assert program.metric("postern_collector_records_total") == 3 * len(SENDERS)
    assert program.metric("postern_collector_exporters") == len(SENDERS)
    loads = [program.metric(f'postern_collector_worker_exporters{{worker="{number}"}}')
             for number in range(1, WORKERS + 1)]
    assert min(loads) > 0 and sum(loads) == len(SENDERS), loads
    assert program.stop() == 0
    found = flows_by_producer(programs, bus_path)
    assert set(found) == {f"edge/{number}" for number in range(1, WORKERS + 1)}
    everybody = {}
    for flows in found.values():
        assert not everybody.keys() & flows.keys(), "an exporter belongs to one producer"
        everybody |= flows
    assert everybody == {sender: 3 for sender in SENDERS}


def test_another_number_of_workers_after_a_restart_counts_everything_once(collector, cards,
                                                                          programs, bus_path):
    for workers, first in ((1, 0), (3, 3), (2, 6), (1, 9)):
        program = collector(workers=workers)
        sent = send_round(cards, first)
        until(lambda: program.metric("postern_collector_datagrams_total") == sent, "all taken")
        assert program.stop() == 0
    found = flows_by_producer(programs, bus_path)
    assert set(found) == {"edge", "edge/1", "edge/2", "edge/3"}
    total = {}
    for flows in found.values():
        for sender, number in flows.items():
            total[sender] = total.get(sender, 0) + number
    assert total == {sender: 12 for sender in SENDERS}


def test_a_second_collector_on_the_same_address_is_refused(collector, runner, cards, work_dir):
    program = collector()
    done = runner.run("postern-collector", "--listen", f"udp://:{cards.to[1]}", "--workers", 2,
                      "--publish", "all", "--output", f"embedded:{work_dir}/other.db", status=1)
    assert "another collector" in done.stderr
    assert program.stop() == 0


def test_lines_of_json_are_one_workers_job(runner, cards):
    done = runner.run("postern-collector", "--listen", f"udp://:{cards.to[1]}", "--workers", 2,
                      "--publish", "all", "--output", "json:-", status=2)
    assert "--workers 1" in done.stderr
