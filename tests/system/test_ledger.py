# SPDX-License-Identifier: Apache-2.0
"""Every record that exporters sent is on the bus or has a reason for not being there.

Real exporters' numbering, real sockets, real buses. Datagrams are lost, doubled, delayed and cut on
purpose; socket, queue and spool are filled; exporters and the collector are restarted, killed too.
The judge reads the bus as the scorer does, and knows what was sent.
"""

import contextlib
import ipaddress
import os
import random
import shutil
import signal
import socket
import time

import pytest

from exporters import NETWORKS, Exporter
from judge import Book, embedded_messages, kafka_messages
from ports import free_port
from waiting import until

PARTITIONS = 2
EXPORTERS = ((5, "127.0.0.5", 0x0102), (9, "127.0.0.9", 77), (10, "127.0.0.10", 7),
             (10, "127.0.0.10", 8))


class Site:
    """Exporters, a collector that can be stopped and killed, and the bus that it writes to."""

    def __init__(self, runner, folder, output, *arguments, enter=()):
        self.runner, self.enter = runner, enter
        self.port = free_port()
        seed = int(os.environ.get("LEDGER_SEED", random.randrange(1000000)))
        print(f"LEDGER_SEED={seed}")
        self.rand = random.Random(seed)
        self.exporters = [Exporter(version, ("127.0.0.1", self.port), address, domain, self.rand)
                          for version, address, domain in EXPORTERS]
        self.arguments = ("--listen", f"udp://127.0.0.1:{self.port}", "--networks", NETWORKS,
                          "--output", output, "--partitions", PARTITIONS, "--producer", "site",
                          "--state", folder / "state", "--rcvbuf", "512K", *arguments)
        self.killed = False
        self.arrived = 0
        self.collector = None

    def launch(self, *more):
        """Starts the collector; it need not be ready."""
        port = free_port()
        self.collector = self.runner.start(*self.enter, self.runner.path("postern-collector"),
                                           *self.arguments, *more, "--metrics",
                                           f"127.0.0.1:{port}")
        self.collector.url = f"http://127.0.0.1:{port}"
        self.arrived = 0
        until(lambda: self.metric("exporters") >= 0 and self.is_listening(), "started")

    def _queues(self):
        """Bytes in the queue of each socket on our port."""
        with open("/proc/net/udp", encoding="ascii") as sockets:
            rows = [line.split() for line in sockets]
        return [int(row[4].split(":")[1], 16) for row in rows
                if row[1].endswith(f":{self.port:04X}")]

    def is_listening(self):
        return bool(self._queues())

    def is_drained(self):
        return not any(self._queues())

    def metric(self, name):
        return self.collector.metric(f"postern_collector_{name}")

    def send_bad(self, count):
        for exporter in self.exporters:
            self.arrived += exporter.send_bad(count)
        self.wait_taken()

    def send_good(self, count=2, n=10):
        for exporter in self.exporters:
            exporter.send_good(count, n)
        self.arrived += count * len(self.exporters)
        self.wait_taken()

    def wait_taken(self):
        until(lambda: self.metric("datagrams_total")
              + self.metric("kernel_dropped_datagrams_total") >= self.arrived, "all taken")

    def stop(self, status=0):
        assert self.collector.stop() == status, self.collector.describe()

    def kill(self):
        self.killed = True
        self.collector.kill()

    def check(self, messages):
        """The sums. Returns what was lost in all, by reason, and the book."""
        book = Book(self.runner.path("flowcat"), messages)
        lost = {}
        for exporter in self.exporters:
            exporter.close()
            account = book.of(exporter.address, exporter.domain)
            check_account(account, exporter, self.killed)
            for name, records in account.lost.items():
                lost[name] = lost.get(name, 0) + records
        return lost, book


def check_account(account, exporter, killed):
    what = f"version {exporter.version} domain {exporter.domain}: {account}"
    if exporter.version == 9:
        assert account.expected_datagrams == exporter.sent_datagrams, what
        if not killed:
            assert account.accounted_datagrams == exporter.sent_datagrams, what
        return
    assert account.expected == exporter.sent_records, f"{exporter.sent_records} sent; {what}"
    died = account.expected - account.accounted
    if not killed:
        assert died == 0, what
    copies = account.flows.total() - len(account.flows)
    missing = exporter.sent_records - len(account.flows)
    assert missing == sum(account.lost.values()) - (account.told["twice"] - copies) + died, what


# --- what happens on the way to us ----------------------------------------------------------------


def disturb(site):
    """Everything that can happen while the bus is there."""
    site.send_good()
    site.send_bad(150)
    os.kill(site.collector.process.pid, signal.SIGSTOP)    # the socket's queue fills
    for exporter in site.exporters:
        exporter.send_good(1500, 1)
        site.arrived += 1500
    os.kill(site.collector.process.pid, signal.SIGCONT)
    until(site.is_drained, "the socket's queue is empty")    # what comes next reveals what was lost
    site.send_good()
    for exporter in site.exporters:
        exporter.restart()
    site.send_good()
    site.send_bad(50)
    site.send_good()


def go_on_after_restart(site, *more):
    """What is sent while nobody listens is told by the numbers of what comes after it."""
    for exporter in site.exporters:
        exporter.send_good(3)
    site.launch(*more)
    site.send_good()
    site.send_bad(50)
    site.send_good()


def metrics_close(site):
    """For each domain, by what /metrics says of it; v9's losses are estimates there."""
    for exporter in site.exporters:
        whose = {"exporter": exporter.address, "domain": exporter.domain}
        received, expected, twice, lost = (
            site.collector.metric_of(f"postern_collector_domain_{name}records_total", **whose)
            for name in ("", "expected_", "duplicate_", "lost_"))
        if received == 0 or expected != received - twice + lost:    # the bus took everything
            return False
    return True


def test_all_is_accounted_for_with_the_embedded_bus(runner, work_dir, bus_path):
    site = Site(runner, work_dir, f"embedded:{bus_path}")
    site.launch()
    disturb(site)
    until(lambda: metrics_close(site), "the sums of each domain close in /metrics")
    site.stop()
    go_on_after_restart(site)
    site.stop()
    lost, _ = site.check(embedded_messages(bus_path))
    assert {"network", "kernel", "malformed", "down"} <= set(lost), lost


def test_all_is_accounted_for_when_the_collector_is_killed(runner, work_dir, bus_path):
    site = Site(runner, work_dir, f"embedded:{bus_path}")
    site.launch()
    for _ in range(3):
        site.send_good()
        site.send_bad(60)
        site.kill()
        go_on_after_restart(site)
    site.stop()
    site.check(embedded_messages(bus_path))


def send_until_lost(site, *by):
    """So much that batches are lost by each of these."""
    until(lambda: site.send_good(100, 25) or all(
        site.metric(f'batches_lost_total{{by="{who}"}}') > 10 for who in by),
          f"batches lost by {' and '.join(by)}", 60)


def test_a_full_disk_costs_what_the_ledger_says(runner, work_dir, small_disk):
    """Queue and bus: the disk of an embedded bus is full, and nothing else is told to keep it."""
    path = small_disk.path / "bus.db"
    site = Site(runner, work_dir, f"embedded:{path}", "--queue-bytes", "1M",
                "--delivery-timeout-s", "2s", "--state", "none", enter=small_disk.enter)
    site.launch()
    site.send_good()
    with small_disk.filled():
        send_until_lost(site, "queue", "bus")
    site.collector.wait_ready(f"{site.collector.url}/readyz")
    site.send_good()
    site.stop()
    for file in small_disk.seen_from_here.glob("bus.db*"):
        shutil.copy(file, work_dir)
    lost, _ = site.check(embedded_messages(work_dir / "bus.db"))
    assert {"queue", "bus"} <= set(lost), lost


def test_the_database_and_the_doctor_say_the_same(runner, work_dir, bus_path, desk):
    """Hour by hour in PostgreSQL; the scorer is killed, and a killed collector's rest is said."""
    site = Site(runner, work_dir, f"embedded:{bus_path}")
    site.launch()

    def start_scorer():
        return runner.start_ready("postern-scorer", "--bus", f"embedded:{bus_path}", "--database",
                                  desk.conninfo("postern_ingest"))
    scorer = start_scorer()
    disturb(site)
    scorer.kill()
    site.send_bad(50)
    scorer = start_scorer()
    site.send_good()
    site.stop()
    go_on_after_restart(site)
    site.stop()
    lost, book = site.check(embedded_messages(bus_path))

    def told():
        return {(address, domain): row for address, domain, *row in desk.query(
            "SELECT host(exporter), domain, sum(expected)::int, sum(expected_datagrams)::int,"
            " sum(unaccounted)::int, sum(received)::int FROM api_v1.exporter_loss GROUP BY 1, 2")}
    want = {(exporter.address, exporter.domain): [
        account.expected, account.expected_datagrams, 0,
        account.flows.total() + account.told["received"]]
        for exporter in site.exporters
        for account in (book.of(exporter.address, exporter.domain),)}
    until(lambda: told() == want, f"the database says {want}: {told()}")
    (down,), = desk.query("SELECT sum(lost_down)::int FROM api_v1.exporter_loss")
    assert down == lost["down"]
    text = desk.cli("doctor", "127.0.0.10", role="postern_monitor", status=1).stdout
    for words in ("domain 7: IPFIX, heard", "domain 8: IPFIX, heard", "while no collector ran",
                  f"{want['127.0.0.10', 7][0]} records sent"):
        assert words in text, text


# --- the spool ------------------------------------------------------------------------------------


@pytest.fixture
def kafka_site(runner, work_dir, own_kafka):
    """A site with a broker of its own, and a spool."""
    def make(spool_bytes="1G"):
        return Site(runner, work_dir, own_kafka.uri, "--spool", work_dir / "spool",
                    "--spool-bytes", spool_bytes)
    return make


def wait_spooled(site, more_than=0):
    until(lambda: site.metric("spool_batches") > more_than, "batches are in the spool", 60)


def wait_replayed(site):
    until(lambda: site.metric("spool_batches") == 0 and site.metric("queue_bytes") == 0,
          "the spool is replayed", 60)
    site.collector.wait_ready(f"{site.collector.url}/readyz")


def lost_after_outage(site, kafka):
    """The broker comes back, everything is replayed and counted; what was lost, by reason."""
    kafka.start()
    wait_replayed(site)
    site.send_good()
    site.stop()
    lost, _ = site.check(kafka_messages(kafka, PARTITIONS))
    return lost


def test_an_outage_of_the_broker_costs_nothing(kafka_site, own_kafka):
    site = kafka_site()
    site.launch()
    disturb(site)
    own_kafka.stop()
    site.send_good(20)
    wait_spooled(site)
    site.send_bad(100)
    lost = lost_after_outage(site, own_kafka)
    assert not {"queue", "spool", "bus", "down"} & set(lost), lost
    assert "the bus is away, batches go to" in site.collector.stderr
    assert "is replayed" in site.collector.stderr


def test_a_spool_outlives_stops_and_kills_in_and_after_the_outage(kafka_site, own_kafka,
                                                                  work_dir):
    site = kafka_site()
    site.launch()
    site.send_good()
    own_kafka.stop()
    site.send_bad(30)
    site.stop()    # leaves all of it in the spool, and that is no failure
    assert "keeps what the bus did not take" in site.collector.stderr
    go_on_after_restart(site, "--workers", 2)    # what one worker left is not forgotten by two
    wait_spooled(site)
    site.kill()
    go_on_after_restart(site)
    wait_spooled(site)
    own_kafka.start()
    until(lambda: site.metric("spool_replayed_batches_total") > 0, "the replay has begun", 60)
    site.kill()
    go_on_after_restart(site)
    wait_replayed(site)
    until(lambda: not list(work_dir.glob("spool-[0-9]*")), "spools of workers that are no more")
    site.send_good()
    site.stop()
    site.check(kafka_messages(own_kafka, PARTITIONS))


def test_a_full_spool_throws_the_oldest_away_and_charges_its_exporters(kafka_site, own_kafka):
    site = kafka_site("1M")
    site.launch()
    site.send_good()
    own_kafka.stop()
    site.send_good(5)
    wait_spooled(site)
    site.stop()
    site.launch()    # what is thrown away was spooled by an earlier process, too
    send_until_lost(site, "spool")
    site.send_good()
    lost = lost_after_outage(site, own_kafka)
    assert lost.get("spool", 0) > 0 and not {"queue", "bus", "down"} & set(lost), lost


def test_a_kill_while_the_spool_throws_its_oldest_away_is_accounted_for(kafka_site, own_kafka):
    site = kafka_site("1M")
    site.launch()
    site.send_good()
    own_kafka.stop()
    for _ in range(2):    # the second time what is thrown away is of the dead process, too
        send_until_lost(site, "spool")
        told = site.metric("heartbeats_total") + 2 * len(site.exporters)
        until(lambda: site.send_good(20, 25) or site.metric("heartbeats_total") > told, "told of")
        for exporter in site.exporters:
            exporter.send_good(100, 25)    # taken, spooled and thrown away as it dies
        site.kill()
        go_on_after_restart(site)
    lost = lost_after_outage(site, own_kafka)
    assert lost.get("spool", 0) > 0, lost


def test_a_full_disk_under_the_spool_costs_what_the_ledger_says(runner, work_dir, own_kafka,
                                                                small_disk):
    site = Site(runner, work_dir, own_kafka.uri, "--spool", small_disk.path / "spool",
                "--queue-bytes", "1M", enter=small_disk.enter)
    site.launch()
    site.send_good()
    own_kafka.stop()
    site.send_good(20)
    wait_spooled(site)
    with small_disk.filled():
        send_until_lost(site, "queue")
        assert site.metric("spool_unwritten_bytes") > 0
        assert site.metric("spool_batches") > 0, "what the file holds stays"
    site.send_good()
    lost = lost_after_outage(site, own_kafka)
    assert lost.get("queue", 0) > 0 and not {"spool", "bus", "down"} & set(lost), lost


# --- over TCP -------------------------------------------------------------------------------------


class Stream(Exporter):
    """The same over TCP: each connection is a session, whose numbers begin at zero."""

    def __init__(self, to, address, domain):
        super().__init__(10, to, address, domain)

    def restart(self):
        self.sequence = self.uptime_ms = 0
        if getattr(self, "socket", None):
            self.socket.close()
        self.socket = socket.create_connection(self.to, 10, (self.address, 0))

    def send(self, payload):
        self.socket.sendall(payload)


def test_a_killed_collector_loses_of_a_tcp_peer_what_was_on_its_way(runner, work_dir, bus_path):
    port = free_port()

    def start():
        return runner.start_ready("postern-collector", "--listen", f"tcp://127.0.0.1:{port}",
                                  "--networks", NETWORKS, "--output", f"embedded:{bus_path}",
                                  "--producer", "site", "--state", work_dir / "state")
    program = start()
    peer = Stream(("127.0.0.1", port), "127.0.0.10", 7)
    for _ in range(30):    # over several saves of the state
        peer.send_good(20)
        time.sleep(0.1)
    program.kill()
    with contextlib.suppress(OSError):
        while True:
            peer.send_good(20)
    before = peer.sent_records
    program = start()
    peer.restart()
    peer.send_good(20)
    until(lambda: program.metric("postern_collector_records_total") == 200, "all taken")
    assert program.stop() == 0
    account = Book(runner.path("flowcat"), embedded_messages(bus_path)).of("127.0.0.10", 7)
    arrived = sorted(int(ipaddress.ip_address(to)) - 0x0b000000 for to in account.flows)
    of_first = [number for number in arrived if number <= before]
    assert of_first == list(range(1, len(of_first) + 1)), "nothing is missing but the last"
    assert arrived[len(of_first):] == list(range(before + 1, peer.sent_records + 1))
    assert not account.lost, "no number tells of the rest"
    assert account.expected <= account.flows.total(), "nor of what came after the last save"
