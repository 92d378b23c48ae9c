# SPDX-License-Identifier: Apache-2.0
"""What a scorer reads and what it writes: flows, as an exporter would tell them, and the rows in
PostgreSQL that become of them."""

import json
import sqlite3

PARTITIONS = 4
SECOND = 10**9


def flow(unit, destination, at_ns, source_port):
    """A whole mail session of `unit`, seen at 1:1."""
    return {"type": "IPFIX", "sampling_rate": 1, "src_addr": unit, "dst_addr": destination,
            "bytes": 5000, "packets": 14, "sampler_address": "203.0.113.254", "proto": 6,
            "src_port": source_port, "dst_port": 25, "tcp_flags": 27,
            "time_received_ns": at_ns + 5 * SECOND, "time_flow_start_ns": at_ns,
            "time_flow_end_ns": at_ns + 2 * SECOND, "direction": "out"}


def lines(flows):
    return "".join(json.dumps(one) + "\n" for one in flows).encode()


def ends_of(bus_path):
    """Ends of postern.smtp in an embedded bus, as anyone may look."""
    with sqlite3.connect(f"file:{bus_path}?mode=ro", uri=True) as db:
        return dict(db.execute('SELECT partition, max("offset") + 1 FROM messages '
                               "WHERE topic = 'postern.smtp' GROUP BY partition"))


class Scored:
    """A database with postern's schema, copied from `template`, and what a scorer wrote into it."""

    def __init__(self, cluster, template):
        self.cluster = cluster
        self.name = cluster.create_database(template)

    @property
    def conninfo(self):
        return self.cluster.conninfo(self.name, "postern_ingest")

    def ask(self, statement, *parameters):
        with self.cluster.connect(self.name) as admin:
            return admin.execute(statement, parameters).fetchall()

    def run(self, statement, *parameters):
        with self.cluster.connect(self.name) as admin:
            admin.execute(statement, parameters)

    def make_anew(self):
        """Empty, as before a dump is restored."""
        self.cluster.drop_database(self.name)
        self.cluster.create_database("template0", self.name)

    def drop(self):
        self.cluster.drop_database(self.name)

    # --- what is there ----------------------------------------------------------------------

    def positions(self, topic="postern.smtp"):
        return dict(self.ask("SELECT partition, position FROM postern.bus_offset WHERE topic = %s",
                             topic))

    def has_read(self, ends):
        """Each partition stands at its end of `ends`, or beyond."""
        positions = self.positions()
        return bool(ends) and all(positions.get(partition, -2) >= end
                                  for partition, end in ends.items())

    def verdicts(self):
        return self.ask(
            "SELECT host(unit), episode, band, crossed_at, received_at, position, evidence, score,"
            " sessions_seen, sessions_low, destinations_seen, usual, window_s, channel, pair,"
            " ports, sampling, cold, reasons::text, samples::text"
            " FROM postern.verdict ORDER BY unit, episode, crossed_at, band")

    def activity(self):
        return self.ask("SELECT host(unit), bucket, sessions, destinations, bytes, packets, failed,"
                        " ports FROM postern.smtp_activity ORDER BY unit, bucket")

    def result(self):
        loss = self.ask("SELECT sum(received) FROM postern.exporter_loss")
        return self.verdicts(), self.activity(), loss

    def learned(self):
        """What is known of units, and of days that wait or waited, to the last bit."""
        return (self.ask("SELECT to_jsonb(e) - 'updated_at' FROM postern.unit_envelope e"
                         " ORDER BY unit, owner"),
                self.ask("SELECT to_jsonb(w) - 'withheld_at' - 'decided_at'"
                         " FROM postern.unit_waiting w ORDER BY unit, owner, day"))

    def applied(self):
        """Which decision was applied where: (partition, kind, unit, position)."""
        return self.ask("SELECT a.partition, i.kind, i.unit, a.position"
                        " FROM postern.scorer_input_applied a JOIN postern.scorer_input i"
                        " ON i.id = a.input_id ORDER BY i.id, a.partition")
