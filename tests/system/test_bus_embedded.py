# SPDX-License-Identifier: Apache-2.0
"""What only the embedded bus promises: one file, one host, kept small."""

import grp
import os
import sqlite3
import stat

import pytest

from bustool import Bench, BusError
from waiting import until


@pytest.fixture
def bench(programs, bus_path):
    bench = Bench(programs("buscat"), f"embedded:{bus_path}")
    yield bench
    bench.end()


def test_second_reader_of_a_group_is_refused_until_the_first_is_gone(bench):
    first, second = bench.open(), bench.open()
    first.topic("t", 1)
    first.subscribe("scorer", "t")
    with pytest.raises(BusError) as refused:
        second.subscribe("scorer", "t")
    assert refused.value.code == "REFUSED"
    assert str(first.pid) in str(refused.value)
    first.kill()
    third = bench.open()
    third.subscribe("scorer", "t")


def test_people_can_look_inside(bench, bus_path):
    bus = bench.open(producer="gate.1", epoch=3)
    bus.topic("t", 2)
    bus.publish("t", 1, 1, "hello")
    bus.flush()
    with sqlite3.connect(bus_path) as db:
        rows = db.execute('SELECT topic, partition, "offset", producer, epoch, sequence, bytes, '
                          "data FROM messages").fetchall()
    assert rows == [("t", 1, 0, "gate.1", 3, 1, 5, b"hello")]


# --- retention ---


def test_retention_by_size_keeps_the_newest(bench, bus_path):
    bus = bench.open(retain_bytes=4 << 20)
    bus.topic("t", 2)
    for round_ in range(10):
        for partition in range(2):
            bus.fill("t", partition, round_ * 100 + 1, 100, 10000)
        bus.flush()
    def small():
        bus.service(200)
        return all(bus.bounds("t", partition)[0] > 0 for partition in range(2))
    until(small, "old messages are gone")
    for partition in range(2):
        first, end = bus.bounds("t", partition)
        assert end == 1000 and 600 < first < 950
    reader = bench.open()
    reader.subscribe("g", "t", start=[("t", 0, 5), ("t", 1, "oldest")])
    first, end = reader.bounds("t", 0)
    got = [message for message in reader.read(2 * 50)]
    assert min(m.offset for m in got if m.partition == 0) >= first
    assert os.path.getsize(bus_path) < 12 << 20


def test_retention_by_age(bench):
    bus = bench.open(retain_s=1)
    bus.topic("t", 1)
    bus.fill("t", 0, 1, 10, 100)
    bus.flush()
    def gone():
        bus.fill("t", 0, 11, 1, 100)
        bus.flush()
        return bus.bounds("t", 0)[0] >= 10
    until(gone, "old messages are gone")
    first, end = bus.bounds("t", 0)
    assert end > first


def test_offsets_go_on_when_all_messages_are_gone(bench):
    bus = bench.open(retain_s=1)
    bus.topic("t", 1)
    bus.fill("t", 0, 1, 10, 100)
    bus.flush()
    other = bench.open(retain_s=1)
    other.topic("u", 1)
    def gone():
        other.fill("u", 0, 1, 1, 100)
        other.flush()
        return bus.bounds("t", 0) == (10, 10)
    until(gone, "the partition is empty")
    bus.fill("t", 0, 11, 1, 100)
    bus.flush()
    bus.subscribe("g", "t")
    [message] = bus.read(1)
    assert message.offset == 10


def test_retention_waits_for_a_reader_and_then_writing_waits(bench):
    reader = bench.open()
    reader.topic("t", 1)
    producer = bench.open(retain_bytes=1 << 20, timeout_ms=3000)
    producer.topic("t", 1)
    producer.fill("t", 0, 1, 10, 10000)
    producer.flush()
    reader.subscribe("scorer", "t")
    assert len(reader.read(10)) == 10
    reader.commit("t", 0, 10)
    reader.poll(1500)    # positions are noted once a second
    with pytest.raises(BusError):
        for first in range(11, 1000, 10):
            producer.fill("t", 0, first, 10, 10000)
            producer.flush(1000)
    assert producer.bounds("t", 0)[0] <= 10
    until(lambda: producer.service(500) == 0, "the rest was given up")
    assert {code for code, _ in producer.events.failed.values()} == {"FULL"}
    assert "readers are behind" in next(iter(producer.events.failed.values()))[1]
    while messages := reader.poll(500):
        reader.commit("t", 0, messages[-1].offset + 1)
    end = reader.bounds("t", 0)[1]
    reader.commit("t", 0, end)
    reader.poll(1500)
    assert end == len(producer.events.delivered)
    producer.fill("t", 0, 5000, 1, 100)
    producer.flush(20000)
    assert producer.bounds("t", 0)[0] > 10


def test_retention_leaves_what_a_snapshot_needs(bench):
    """pst_bus_keep: what comes after it stays, although later positions are committed."""
    producer = bench.open(retain_s=3)
    producer.topic("t", 2)
    for partition in range(2):
        producer.fill("t", partition, 1, 100, 100)
    producer.flush()
    reader = bench.open()
    reader.subscribe("g", "t")
    assert len(reader.read(200)) == 200
    for partition in range(2):
        reader.commit("t", partition, 100)
    reader.keep("t", 0, 40)

    def oldest():
        reader.poll(1100)    # positions are noted once a second
        producer.fill("t", 1, 101, 1, 100)
        producer.flush()
        return [producer.bounds("t", partition)[0] for partition in range(2)]
    until(lambda: oldest() == [40, 100], "what nothing keeps is gone")
    reader.keep("t", 0, 2**62)
    until(lambda: oldest() == [100, 100], "the rest too, when it is kept no more")


def test_wal_stays_small_beside_a_busy_reader(bench, bus_path):
    producer, reader = bench.open(retain_bytes=64 << 20), bench.open()
    producer.topic("t", 1)
    reader.subscribe("g", "t")
    producer.say("fill", "t", 0, 1, 5000, 65536)    # 320 MB
    largest = 0
    got = 0
    while got < 2000:
        got += len(reader.poll(200))
        largest = max(largest, os.path.getsize(f"{bus_path}-wal"))
    assert largest < 160 << 20


# --- the disk and the file ---


def test_full_disk_is_said_and_survived(programs, small_disk):
    bench = Bench(programs("buscat"), f"embedded:{small_disk.path}/bus.db")
    try:
        producer = bench.open(enter=small_disk.enter, timeout_ms=3000)
        producer.topic("t", 1)
        producer.fill("t", 0, 1, 10, 1000)
        producer.flush()
        ballast = small_disk.seen_from_here / "ballast"
        with pytest.raises(OSError), open(ballast, "wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        producer.fill("t", 0, 11, 20, 100000)
        until(lambda: producer.service(500) == 0, "messages were given up")
        assert set(producer.events.failed) == set(range(11, 31))
        for code, text in producer.events.failed.values():
            assert code == "IO" and "full" in text and "disk" in text
        ballast.unlink()
        producer.fill("t", 0, 31, 10, 1000)
        producer.flush()
        reader = bench.open(enter=small_disk.enter)
        reader.subscribe("g", "t")
        assert [m.sequence for m in reader.read(20)] == [*range(1, 11), *range(31, 41)]
    finally:
        bench.end()


def test_removed_file_is_noticed(bench, bus_path):
    producer = bench.open(timeout_ms=2000)
    producer.topic("t", 1)
    producer.fill("t", 0, 1, 1, 100)
    producer.flush()
    bus_path.rename(bus_path.with_suffix(".moved"))
    producer.fill("t", 0, 2, 1, 100)
    until(lambda: producer.service(500) == 0, "the message was given up")
    code, text = producer.events.failed[2]
    assert code == "IO" and "removed or replaced" in text


@pytest.mark.parametrize("content, code, words", [
    (b"this is a text file, and a long one at that\n" * 100, "CORRUPT", "no file of the"),
    (b"SQLite format 3\0" + b"\xff" * 4000, "CORRUPT", ""),
])
def test_other_files_are_refused(bench, bus_path, content, code, words):
    bus_path.write_bytes(content)
    with pytest.raises(BusError) as refused:
        bench.open()
    assert refused.value.code == code
    assert words in str(refused.value) and str(bus_path) in str(refused.value)
    assert bus_path.read_bytes() == content


def test_database_of_something_else_is_refused(bench, bus_path):
    with sqlite3.connect(bus_path) as db:
        db.execute("CREATE TABLE accounts(name)")
    with pytest.raises(BusError, match="something else"):
        bench.open()


def test_newer_format_is_refused(bench, bus_path):
    bench.open().close()
    with sqlite3.connect(bus_path) as db:
        db.execute("PRAGMA user_version = 2")
    with pytest.raises(BusError, match="format 2"):
        bench.open()


def test_damage_in_the_middle_is_said_where_it_is_met(bench, bus_path):
    producer = bench.open()
    producer.topic("t", 1)
    producer.fill("t", 0, 1, 200, 20000)
    assert producer.close() == 0
    with open(bus_path, "r+b") as file:
        file.seek(0, os.SEEK_END)
        size = file.tell()
        for page in range(8 * 16384, size, 16384):
            file.seek(page)
            file.write(b"\xaa" * 64)
    reader = bench.open()
    reader.subscribe("g", "t")
    with pytest.raises(BusError) as refused:
        for _ in range(50):
            reader.poll(200)
    assert refused.value.code == "CORRUPT"
    assert "t[0] at" in str(refused.value) and ".recover" in str(refused.value)


def test_empty_file_becomes_a_bus(bench, bus_path):
    bus_path.touch()
    assert bench.open().topic("t", 2) == 2


def test_many_may_open_a_new_file_at_once(bench):
    tools = [bench.open() for _ in range(2)]
    for tool in tools:
        tool.say("topic", "t", 4)
    assert [tool._answer(30) for tool in tools] == ["4", "4"]


def test_group_may_write_all_three_files(bench, bus_path):
    """Root tries with a real other user; anybody else sees the rights."""
    root = os.geteuid() == 0
    group = grp.getgrnam("nogroup") if root else grp.getgrgid(os.getegid())
    owner = bench.open(group=group.gr_name)
    owner.topic("t", 1)
    owner.fill("t", 0, 1, 1, 100)
    owner.flush()
    for suffix in ("", "-wal", "-shm"):
        status = os.stat(f"{bus_path}{suffix}")
        assert status.st_gid == group.gr_gid
        assert stat.S_IMODE(status.st_mode) == 0o660
    enter = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if root else []
    for _ in range(2):    # beside the owner, and after all others have left
        other = bench.open(enter=enter, producer="-")
        other.topic("t", 1)
        other.publish("t", 0, 0, "evidence")
        other.flush()
        assert other.close() == 0
        owner.close()
    assert os.path.getsize(f"{bus_path}-wal") == 0
    reader = bench.open()
    reader.subscribe("g", "t")
    assert len(reader.read(3)) == 3


def test_unknown_group_is_said(bench):
    with pytest.raises(BusError, match="no group nosuchgroup"):
        bench.open(group="nosuchgroup")
