# SPDX-License-Identifier: Apache-2.0
"""The promises of include/postern/bus.h, asked of both backends alike."""

import pytest

from bustool import Bench, BusError
from waiting import until


@pytest.fixture(params=["embedded", "kafka"])
def bench(request, programs, work_dir):
    if request.param == "kafka":
        uri = request.getfixturevalue("kafka").uri
    else:
        uri = f"embedded:{work_dir}/bus.db"
    bench = Bench(programs("buscat"), uri)
    yield bench
    bench.end()


class Taker:
    """A reader that keeps its positions and stamps as the scorer does in PostgreSQL: the batch
    and the new position are taken together, or not at all."""

    def __init__(self, bench, topic, group):
        self.bench, self.topic, self.group = bench, topic, group
        self.positions = {}
        self.stamps = {}
        self.taken = []
        self.copies = 0
        self.bus = None

    def join(self, **options):
        self.bus = self.bench.open(**options)
        self.bus.subscribe(self.group, self.topic, start=[
            (self.topic, partition, position) for partition, position in self.positions.items()])

    def take(self, batch):
        for message in batch:
            assert message.offset >= self.positions.get(message.partition, 0), "read twice"
            self.positions[message.partition] = message.offset + 1
            stamp = (message.epoch, message.sequence)
            place = (message.partition, message.producer)
            if stamp <= self.stamps.get(place, (0, 0)):
                self.copies += 1
                continue
            self.stamps[place] = stamp
            self.taken.append(message)

    def take_until(self, count):
        until(lambda: self.take(self.bus.poll(200)) or len(self.taken) >= count,
              f"{count} messages taken", timeout_s=60)

    def sequences(self, partition=0, producer="buscat"):
        return [message.sequence for message in self.taken
                if (message.partition, message.producer) == (partition, producer)]


def publish_numbers(bus, topic, numbers, partition=0):
    for number in numbers:
        bus.publish(topic, partition, number, f"text {number}")


# --- topics, order, positions ---


def test_topic_keeps_its_partitions(bench):
    bus, topic = bench.open(), bench.fresh_name()
    assert bus.topic(topic, 3) == 3
    assert bench.open().topic(topic, 8) == 3


def test_bounds_tell_oldest_and_end(bench):
    bus, topic = bench.open(), bench.fresh_name()
    bus.topic(topic, 2)
    assert bus.bounds(topic, 1) == (0, 0)
    publish_numbers(bus, topic, [1, 2, 3], partition=1)
    bus.flush()
    first, end = bus.bounds(topic, 1)
    assert first == 0 and end >= 3
    assert bus.bounds(topic, 0) == (0, 0)


def test_bounds_of_what_is_not_there(bench):
    bus, topic = bench.open(), bench.fresh_name()
    bus.topic(topic, 1)
    for place in ((topic, 1), (bench.fresh_name("absent"), 0)):
        with pytest.raises(BusError) as refused:
            bus.bounds(*place)
        assert refused.value.code == "NOT_FOUND"


def test_partitions_keep_order_and_stamps(bench):
    topic = bench.fresh_name()
    producer = bench.open(producer="gate.1", epoch=7)
    producer.topic(topic, 3)
    for partition in range(3):
        publish_numbers(producer, topic, range(1, 101), partition)
    producer.flush()
    assert sorted(producer.events.delivered) == sorted(list(range(1, 101)) * 3)
    reader = bench.open()
    reader.subscribe(bench.fresh_name("group"), topic)
    messages = reader.read(300)
    assert sorted(reader.events.assigned) == [(topic, 0), (topic, 1), (topic, 2)]
    for partition in range(3):
        mine = [message for message in messages if message.partition == partition]
        assert [(m.producer, m.epoch, m.sequence) for m in mine] == [
            ("gate.1", 7, number) for number in range(1, 101)]
        assert [m.text for m in mine] == [f"text {number}" for number in range(1, 101)]
        offsets = [m.offset for m in mine]
        assert offsets == sorted(set(offsets))
    assert reader.poll(300) == []


def test_no_stamp_is_no_stamp(bench):
    bus, topic = bench.open(producer="-"), bench.fresh_name()
    bus.topic(topic, 1)
    publish_numbers(bus, topic, [5])
    bus.flush()
    bus.subscribe(bench.fresh_name("group"), topic)
    [message] = bus.read(1)
    assert (message.producer, message.text) == ("-", "text 5")


def test_empty_and_largest_messages_pass(bench):
    bus, topic = bench.open(), bench.fresh_name()
    bus.topic(topic, 1)
    bus.ask("publish", topic, 0, 1, "")
    bus.fill(topic, 0, 2, 1, 900 * 1024)
    bus.flush()
    bus.subscribe(bench.fresh_name("group"), topic)
    assert [message.length for message in bus.read(2)] == [0, 900 * 1024]


@pytest.mark.parametrize("what, code", [
    (("publish", "absent", 0, 1, "x"), "USAGE"),
    (("publish", "TOPIC", 2, 1, "x"), "USAGE"),
    (("publish", "TOPIC", -1, 1, "x"), "USAGE"),
    (("fill", "TOPIC", 0, 1, 1, 900 * 1024 + 1), "USAGE"),
    (("topic", "no spaces, no commas".replace(" ", "/"), 1), "USAGE"),
    (("topic", "fresh", 0), "USAGE"),
    (("topic", "fresh", 5000), "USAGE"),
])
def test_what_cannot_be_is_refused_at_once(bench, what, code):
    bus, topic = bench.open(), bench.fresh_name()
    bus.topic(topic, 2)
    with pytest.raises(BusError) as refused:
        bus.ask(*(topic if word == "TOPIC" else word for word in what))
    assert refused.value.code == code


def test_reader_starts_where_it_is_told(bench):
    bus, topic = bench.open(), bench.fresh_name()
    bus.topic(topic, 3)
    for partition in range(3):
        publish_numbers(bus, topic, [1, 2, 3], partition)
    bus.flush()
    bus.subscribe(bench.fresh_name("group"), topic,
                  start=[(topic, 0, 2), (topic, 1, "oldest"), (topic, 2, "never")])
    got = [(message.partition, message.sequence) for message in bus.read(4)]
    assert sorted(got) == [(0, 3), (1, 1), (1, 2), (1, 3)]
    assert bus.poll(500) == []


def test_position_beyond_the_end_starts_at_the_oldest(bench):
    bus, topic = bench.open(), bench.fresh_name()
    bus.topic(topic, 1)
    publish_numbers(bus, topic, [1, 2])
    bus.flush()
    bus.subscribe(bench.fresh_name("group"), topic, start=[(topic, 0, 1000)])
    assert [message.sequence for message in bus.read(2)] == [1, 2]


def test_reader_sees_what_comes_later(bench):
    topic = bench.fresh_name()
    producer, reader = bench.open(), bench.open()
    producer.topic(topic, 1)
    reader.subscribe(bench.fresh_name("group"), topic)
    assert reader.poll(100) == []
    for number in (1, 2, 3):
        publish_numbers(producer, topic, [number])
        producer.flush()
        assert [message.sequence for message in reader.read(1)] == [number]


def test_reader_may_come_before_the_topic(bench):
    topic = bench.fresh_name()
    reader = bench.open(extra="topic.metadata.refresh.interval.ms=500") if bench.uri.startswith(
        "kafka") else bench.open()
    reader.subscribe(bench.fresh_name("group"), topic)
    assert reader.poll(100) == []
    producer = bench.open()
    producer.topic(topic, 1)
    publish_numbers(producer, topic, [1])
    producer.flush()
    assert [message.sequence for message in reader.read(1)] == [1]


def test_groups_do_not_disturb_each_other(bench):
    bus, topic = bench.open(), bench.fresh_name()
    bus.topic(topic, 1)
    publish_numbers(bus, topic, [1])
    bus.flush()
    for _ in range(2):
        reader = bench.open()
        reader.subscribe(bench.fresh_name("group"), topic)
        assert len(reader.read(1)) == 1


def test_several_producers_lose_nothing(bench):
    topic = bench.fresh_name()
    bench.open().topic(topic, 2)
    producers = [bench.open(producer=f"gate.{n}") for n in range(3)]
    for producer in producers:
        producer.topic(topic, 2)
        for partition in range(2):
            producer.say("fill", topic, partition, 1, 300, 2000)
    taker = Taker(bench, topic, bench.fresh_name("group"))
    taker.join()
    taker.take_until(3 * 2 * 300)
    for n in range(3):
        for partition in range(2):
            assert taker.sequences(partition, f"gate.{n}") == list(range(1, 301))
    assert taker.copies == 0


# --- crashes ---


def test_what_was_delivered_survives_a_killed_producer(bench):
    topic = bench.fresh_name()
    producer = bench.open(epoch=1)
    producer.topic(topic, 1)
    producer.say("fill", topic, 0, 1, 100000, 20000)
    until(lambda: (producer._lines.qsize() > 200), "some messages delivered")
    producer.kill()
    promised = producer.events.delivered
    assert len(promised) > 200
    assert max(promised) < 100000, "it was not killed in the middle"
    taker = Taker(bench, topic, bench.fresh_name("group"))
    taker.join()
    taker.take_until(max(promised))
    _, end = taker.bus.bounds(topic, 0)
    until(lambda: taker.take(taker.bus.poll(200)) or taker.positions[0] >= end, "all is read")
    # In order, without a hole: a batch may have been stored whose report was not heard any more.
    assert taker.sequences() == list(range(1, len(taker.sequences()) + 1))
    assert set(promised) <= set(taker.sequences())
    # The next life of the producer begins a new epoch at 1 and is taken as new.
    again = bench.open(epoch=2)
    again.topic(topic, 1)
    publish_numbers(again, topic, [1, 2])
    again.flush()
    count = len(taker.taken)
    taker.take_until(count + 2)
    assert taker.sequences()[-2:] == [1, 2]


def test_a_copy_is_known_by_its_stamp(bench):
    topic = bench.fresh_name()
    for numbers in ([1, 2, 3], [2, 3, 4]):
        producer = bench.open(epoch=9)
        producer.topic(topic, 1)
        publish_numbers(producer, topic, numbers)
        producer.flush()
        producer.close()
    taker = Taker(bench, topic, bench.fresh_name("group"))
    taker.join()
    taker.take_until(4)
    assert (taker.sequences(), taker.copies) == ([1, 2, 3, 4], 2)


def test_killed_reader_takes_each_message_once(bench):
    topic = bench.fresh_name()
    producer = bench.open()
    producer.topic(topic, 2)
    for partition in range(2):
        producer.fill(topic, partition, 1, 200, 1000)
    producer.flush()
    taker = Taker(bench, topic, bench.fresh_name("group"))
    options = {}
    if bench.uri.startswith("kafka"):
        options["extra"] = "session.timeout.ms=6000"
    taker.join(**options)
    taker.take_until(50)
    before = len(taker.taken)
    taker.bus.commit(topic, 0, taker.positions.get(0, 0))
    lost = until(lambda: taker.bus.poll(200, 20), "a batch that will not be committed")
    taker.bus.kill()    # between poll and commit: the batch is not taken
    taker.join(**options)
    taker.take_until(400)
    assert before < 400 and {(m.partition, m.sequence) for m in lost} <= {
        (m.partition, m.sequence) for m in taker.taken}
    for partition in range(2):
        assert taker.sequences(partition) == list(range(1, 201))
    assert taker.copies == 0


def test_closing_delivers_what_waits(bench):
    topic = bench.fresh_name()
    producer = bench.open()
    producer.topic(topic, 1)
    publish_numbers(producer, topic, range(1, 51))
    assert producer.close() == 0
    assert sorted(producer.events.delivered) == list(range(1, 51))
    reader = bench.open()
    reader.subscribe(bench.fresh_name("group"), topic)
    assert [message.sequence for message in reader.read(50)] == list(range(1, 51))


def test_closing_reader_is_told_that_nothing_is_its_own(bench):
    bus, topic = bench.open(), bench.fresh_name()
    bus.topic(topic, 2)
    bus.subscribe(bench.fresh_name("group"), topic)
    until(lambda: bus.poll(200) or len(bus.events.assigned) == 2, "both partitions assigned")
    assert bus.events.revoked == []
    assert bus.close() == 0
    assert sorted(bus.events.revoked) == [(topic, 0), (topic, 1)]
