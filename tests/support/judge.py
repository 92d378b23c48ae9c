# SPDX-License-Identifier: Apache-2.0
"""What stands on postern.smtp, and whether it accounts for all that exporters sent.

    book = Book(programs, stamped_messages)
    book.of("127.0.0.1", 7).missing(…)

Reads like the scorer: a message with a stamp that is not newer than the last of its producer is a
copy and does not count. Flows are told apart by their destination: senders number them.
"""

import json
import re
import sqlite3
import subprocess
from collections import Counter, defaultdict

LOSSES = ("network", "kernel", "malformed", "no-template", "not-admitted", "queue", "spool", "bus",
          "down")


def embedded_messages(path):
    """(partition, producer, epoch, sequence, payload) of an embedded bus, in order."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as bus:
        return bus.execute("SELECT partition, producer, epoch, sequence, data FROM messages"
                           " WHERE topic = 'postern.smtp'"
                           " ORDER BY partition, \"offset\"").fetchall()


def kafka_messages(kafka, partitions):
    """The same of a broker."""
    found = []
    for partition in range(partitions):
        for headers, payload in kafka.read_with_headers("postern.smtp", partition):
            stamp = headers[0][1].decode()
            epoch, sequence, producer = re.fullmatch(r"(\d+)\.(\d+)\.(.*)", stamp).groups()
            found.append((partition, producer, int(epoch), int(sequence), payload))
    return found


class Account:
    """One exporter's domain."""

    def __init__(self):
        self.flows = Counter()    # destination → how often
        self.told = Counter()     # growth of heartbeats
        self.sums = {}            # ledger → (expected, expected datagrams)

    def tell(self, beat):
        for name, value in beat.items():
            if name in LOSSES or name in ("received", "twice", "datagrams", "duplicates",
                                          "lost_datagrams", "restarts"):
                self.told[name] += value
        if beat["ledger"]:
            before = self.sums.get(beat["ledger"], (0, 0))
            self.sums[beat["ledger"]] = (max(before[0], beat["expected"]),
                                         max(before[1], beat["expected_datagrams"]))

    @property
    def expected(self):
        return sum(records for records, _ in self.sums.values())

    @property
    def expected_datagrams(self):
        return sum(datagrams for _, datagrams in self.sums.values())

    @property
    def lost(self):
        return {name: self.told[name] for name in LOSSES if self.told[name]}

    @property
    def accounted(self):
        """What is said to have become of the records, a copy counted once."""
        return (self.flows.total() + self.told["received"] - self.told["twice"]
                + sum(self.lost.values()))

    @property
    def accounted_datagrams(self):
        return self.told["datagrams"] - self.told["duplicates"] + self.told["lost_datagrams"]

    def __repr__(self):
        return (f"flows={self.flows.total()} ({len(self.flows)} different) told={dict(self.told)} "
                f"expected={self.expected} datagrams={self.expected_datagrams}")


class Book:
    """All accounts."""

    def __init__(self, flowcat, messages):
        self.accounts = defaultdict(Account)
        self.copies = 0
        last = {}
        for partition, producer, epoch, sequence, payload in messages:
            if (epoch, sequence) <= last.get((partition, producer), (0, 0)):
                self.copies += 1
                continue
            last[partition, producer] = (epoch, sequence)
            self._take(flowcat, payload)

    def _take(self, flowcat, payload):
        done = subprocess.run([flowcat, "decode"], input=payload, capture_output=True, check=True)
        for line in done.stdout.decode().splitlines():
            item = json.loads(line)
            if "heartbeat" in item:
                self.accounts[item["heartbeat"], item["domain"]].tell(item)
            else:
                account = self.accounts[item["sampler_address"],
                                        item.get("observation_domain_id", 0)]
                account.flows[item["dst_addr"]] += 1

    def of(self, sampler, domain):
        return self.accounts[sampler, domain]
