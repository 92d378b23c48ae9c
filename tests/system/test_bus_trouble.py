# SPDX-License-Identifier: Apache-2.0
"""What the bus does when its broker, disk or file does not do its part."""

import contextlib
import sqlite3
import time

import pytest

from broker import Kafka
from bustool import Bench, BusError
from waiting import until


class AwayKafka:
    """A broker of this test's own that can go away and return."""

    def __init__(self, kafka):
        self._kafka = kafka
        self.uri = kafka.uri

    def leave(self):
        self._kafka.kill()

    def come_back(self):
        self._kafka.start()

    def end(self):
        pass


class AwayFile:
    """A bus file that another process keeps locked."""

    def __init__(self, folder):
        self._path = folder / "bus.db"
        self._lock = None
        self.uri = f"embedded:{self._path}"

    def leave(self):
        self._lock = sqlite3.connect(self._path, isolation_level=None)
        self._lock.execute("BEGIN IMMEDIATE")

    def come_back(self):
        self._lock.execute("ROLLBACK")
        self._lock.close()
        self._lock = None

    def end(self):
        if self._lock:
            self._lock.close()


@pytest.fixture(params=["embedded", "kafka"])
def away(request, work_dir):
    """What the bus stands on, with leave() and come_back()."""
    if request.param == "kafka":
        part = AwayKafka(request.getfixturevalue("own_kafka"))
    else:
        part = AwayFile(work_dir)
    yield part
    part.end()


@pytest.fixture
def make_bench(programs):
    with contextlib.ExitStack() as stack:
        def make(uri):
            bench = Bench(programs("buscat"), uri)
            stack.callback(bench.end)
            return bench
        yield make


def test_messages_of_an_outage_are_delivered_after_it(away, make_bench):
    bench = make_bench(away.uri)
    producer = bench.open()
    producer.topic("t", 1)
    producer.fill("t", 0, 1, 100, 1000)
    producer.flush()
    away.leave()
    producer.fill("t", 0, 101, 100, 1000)
    with pytest.raises(BusError) as refused:
        producer.flush(1000)
    assert refused.value.code == "AWAY"
    assert "100 messages are not delivered" in str(refused.value)
    away.come_back()
    producer.flush(60000)
    assert sorted(producer.events.delivered) == list(range(1, 201))
    assert producer.events.failed == {}
    reader = bench.open()
    reader.subscribe("g", "t")
    assert [message.sequence for message in reader.read(200)] == list(range(1, 201))
    assert reader.poll(500) == []


def test_reader_goes_on_after_an_outage(away, make_bench):
    bench = make_bench(away.uri)
    producer, reader = bench.open(), bench.open()
    producer.topic("t", 1)
    producer.fill("t", 0, 1, 10, 100)
    producer.flush()
    reader.subscribe("g", "t")
    assert len(reader.read(10)) == 10
    away.leave()
    if bench.uri.startswith("kafka"):
        def says_away():
            try:
                reader.poll(500)
            except BusError as error:
                return error.code == "AWAY"
        until(says_away, "the reader says that the broker is away")
    away.come_back()
    producer.fill("t", 0, 11, 10, 100)
    producer.flush(60000)
    got = []
    def all_read():
        with contextlib.suppress(BusError):
            got.extend(reader.poll(500))
        return got and got[-1].sequence == 20
    until(all_read, "what came after the outage is read", timeout_s=60)
    # Without a committed position a group that had given the reader up begins again.
    first = 11 if len(reader.events.assigned) == 1 else 1
    assert [message.sequence for message in got] == list(range(first, 21))


def test_full_queue_refuses_and_takes_again(away, make_bench):
    bench = make_bench(away.uri)
    producer = bench.open(queue_bytes=1 << 20)
    producer.topic("t", 1)
    away.leave()
    taken = 0
    with pytest.raises(BusError) as refused:
        for number in range(1, 2000):
            producer.ask("publish", "t", 0, number, "x" * 10000)
            taken = number
    assert refused.value.code == "FULL"
    assert 90 <= taken <= 105
    away.come_back()
    producer.flush(60000)
    producer.publish("t", 0, taken + 1, "again")
    producer.flush(60000)
    assert sorted(producer.events.delivered) == list(range(1, taken + 2))


def test_message_is_given_up_after_its_time(away, make_bench):
    bench = make_bench(away.uri)
    producer = bench.open(timeout_ms=2000)
    producer.topic("t", 1)
    away.leave()
    producer.fill("t", 0, 1, 10, 100)
    with pytest.raises(BusError):
        producer.flush(100)
    until(lambda: producer.service(500) == 0, "all messages were given up", timeout_s=60)
    assert set(producer.events.failed) == set(range(1, 11))
    assert producer.events.delivered == []
    for code, text in producer.events.failed.values():
        assert code == "AWAY" and len(text) > 20
    away.come_back()
    producer.fill("t", 0, 11, 10, 100)
    producer.flush(60000)
    assert producer.events.delivered == list(range(11, 21))


def test_closing_says_what_was_not_delivered(away, make_bench):
    bench = make_bench(away.uri)
    producer = bench.open()
    producer.topic("t", 1)
    away.leave()
    producer.fill("t", 0, 1, 10, 100)
    started = time.monotonic()
    assert producer.close() == 0
    assert time.monotonic() - started < 20
    assert set(producer.events.failed) == set(range(1, 11))
    away.come_back()


def test_kafka_shares_partitions_between_readers(kafka, make_bench):
    bench = make_bench(kafka.uri)
    topic, group = "trouble.share", "trouble.share"
    first = bench.open()
    first.topic(topic, 4)
    first.subscribe(group, topic)
    until(lambda: first.poll(200) or len(first.events.assigned) == 4, "one reader has all")
    second = bench.open()
    second.subscribe(group, topic)
    def shared():
        first.poll(200)
        second.poll(200)
        return len(second.events.assigned) == 2
    until(shared, "two readers share")
    assert sorted(first.events.revoked) == sorted(second.events.assigned)
    second.close()
    until(lambda: first.poll(200) or len(first.events.assigned) == 6, "the first has all again")


def test_kafka_cluster_may_lose_a_broker(work_dir, make_bench):
    cluster = Kafka(work_dir / "three", brokers=3)
    try:
        bench = make_bench(cluster.uri)
        producer, reader = bench.open(), bench.open(extra="session.timeout.ms=6000")
        producer.topic("t", 3)
        reader.subscribe("g", "t")
        for partition in range(3):
            producer.fill("t", partition, 1, 100, 1000)
        cluster.kill(1)
        for partition in range(3):
            producer.fill("t", partition, 101, 100, 1000)
        producer.flush(60000)
        assert producer.events.failed == {}
        got = []
        def all_read():
            with contextlib.suppress(BusError):
                got.extend(reader.poll(500))
            return len(got) >= 600
        until(all_read, "everything is read", timeout_s=60)
        for partition in range(3):
            assert [m.sequence for m in got if m.partition == partition] == list(range(1, 201))
    finally:
        cluster.kill()


def test_kafka_lag_tools_see_what_was_committed(kafka, make_bench):
    bench = make_bench(kafka.uri)
    topic = group = "trouble.lag"
    bus = bench.open()
    bus.topic(topic, 2)
    bus.fill(topic, 1, 1, 10, 100)
    bus.flush()
    bus.subscribe(group, topic)
    bus.read(10)
    bus.commit(topic, 1, 5)
    bus.commit(topic, 1, 7)
    def seen():
        bus.poll(300)
        return kafka.committed(group, topic, 1) == 7
    until(seen, "the position is at the broker")
    bus.commit(topic, 1, 9)
    assert bus.close() == 0
    assert kafka.committed(group, topic, 1) == 9


def test_kafka_open_does_not_wait_for_the_broker(make_bench, free_port):
    started = time.monotonic()
    bus = make_bench(f"kafka://127.0.0.1:{free_port()}").open()
    assert time.monotonic() - started < 2
    with pytest.raises(BusError) as refused:
        bus.topic("t", 1)
    assert refused.value.code == "AWAY"


@pytest.mark.parametrize("uri, options", [
    ("kafka:", {}), ("kafka://", {}), ("kafka://a b", {}), ("kafka://a,,b", {}),
    ("kafka://localhost/path", {}), ("kafka://localhost", {"extra": "no.such.option=1"}),
    ("kafka://localhost", {"extra": "novalue"}), ("embedded:", {}), ("sqlite:x", {}), ("", {}),
    ("embedded:/no/such/folder/bus.db", {}), ("embedded:/", {}),
])
def test_bad_address_is_refused_with_words(make_bench, uri, options):
    with pytest.raises(BusError) as refused:
        make_bench(uri).open(**options)
    assert refused.value.code == "USAGE"
    assert len(str(refused.value)) > 30
