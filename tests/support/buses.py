# SPDX-License-Identifier: Apache-2.0
"""A bus for scorers in tests, of either kind behind one face: what is in it, and what may happen to
it besides reading and writing.

Its scorers join a group of a new name after each kill: to Kafka the dead one is alive for another
six seconds, and nothing here is about who has which partition.
"""

import itertools
import shutil
import sqlite3
import time

from confluent_kafka import TopicPartition

from bustool import Bench
from waiting import until

SMTP, EVIDENCE = "postern.smtp", "postern.evidence"
WEEKS_MS = 60 * 24 * 3600 * 1000


class FileBus:
    """A bus in a file."""

    keeps_what_is_unread = True    # its retention does

    def __init__(self, path, buscat):
        self.path, self._buscat = path, buscat
        self.uri = f"embedded:{path}"
        self.options = ()
        self._away = itertools.count(1)

    def next_group(self):
        pass

    def _look(self, columns):
        with sqlite3.connect(f"file:{self.path}?mode=ro", uri=True) as db:
            return dict((partition, value) for partition, value in db.execute(
                f"SELECT s.slot - t.first_slot, {columns} FROM slot s JOIN topic t"
                " ON s.slot BETWEEN t.first_slot AND t.first_slot + t.partitions - 1"
                " WHERE t.name = ?", (SMTP,)))

    def ends(self):
        return self._look("s.next_offset")

    def firsts(self):
        return self._look("coalesce((SELECT min(m.id) & ((1 << 40) - 1) FROM message m"
                          " WHERE m.id >> 40 = s.slot), s.next_offset)")

    def noted(self):
        """Up to where its readers let retention go."""
        return self._look("(SELECT min(position) FROM reader r WHERE r.slot = s.slot)")

    def throw_away(self, before):
        """What lies before these positions is weeks old from now on; gives the oldest positions
        after retention has passed."""
        then = int(time.time() * 1000) - WEEKS_MS
        with sqlite3.connect(self.path, timeout=30) as db:
            for partition, position in before.items():
                db.execute("UPDATE message SET time_ms = ? WHERE id >> 40 ="
                           " (SELECT first_slot + ? FROM topic WHERE name = ?)"
                           " AND id & ((1 << 40) - 1) < ?", (then, partition, SMTP, position))
        bench = Bench(self._buscat, self.uri)
        try:
            other = bench.open()
            other.topic("elsewhere", 1)
            other.fill("elsewhere", 0, 1, 1, 10)
            other.flush()
            with sqlite3.connect(self.path, timeout=30) as db:    # old, too, but the youngest
                db.execute("UPDATE message SET time_ms = ? WHERE id >> 40 ="
                           " (SELECT first_slot FROM topic WHERE name = 'elsewhere')", (then + 1,))

            def passed():
                other.fill("elsewhere", 0, 2, 1, 10)
                other.flush()
                return other.bounds("elsewhere", 0)[0] > 0
            until(passed, "retention has passed")
        finally:
            bench.end()
        return self.firsts()

    def replace(self):
        """Moved away; who writes next makes a new one."""
        number = next(self._away)
        for suffix in ("", "-wal", "-shm"):
            if (there := self.path.with_name(self.path.name + suffix)).exists():
                shutil.move(there, f"{there}.away{number}")


class BrokerBus:
    """The topics of a real broker, made anew."""

    keeps_what_is_unread = False
    _groups = itertools.count(1)

    def __init__(self, kafka):
        self._kafka = kafka
        self.uri = kafka.uri
        self.replace()
        self.next_group()

    def next_group(self):
        self.options = ("--group", f"scoring.{next(self._groups)}")

    def ends(self):
        return {n: end for n, (_first, end) in self._kafka.bounds(SMTP).items()}

    def firsts(self):
        return {n: first for n, (first, _end) in self._kafka.bounds(SMTP).items()}

    def throw_away(self, before):
        """The broker deletes what lies before these positions."""
        self._kafka.delete_records([TopicPartition(SMTP, n, position)
                                    for n, position in before.items()])
        return self.firsts()

    def replace(self):
        for topic in (SMTP, EVIDENCE):
            if self._kafka.partitions(topic) > 0:
                self._kafka.delete_topic(topic)
        until(lambda: not any(map(self._kafka.partitions, (SMTP, EVIDENCE))), "the topics are gone")
