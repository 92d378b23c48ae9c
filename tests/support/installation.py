# SPDX-License-Identifier: Apache-2.0
"""A whole installation of postern: all programs, each under its own role, over a bus and a cluster.

    with a runner, a cluster and the URI of a bus:
        site = Installation(runner, postgres, uri, folder)
        site.start()
        site.replay()
        site.complain()
        site.wait_idle()
        site.states()

Networks, customers and the complaint are those of deploy/demo. Any program can be killed and
started again by its name in PROGRAMS.
"""

import datetime
import email
import email.policy
import json
import subprocess
import time
from pathlib import Path

from ports import free_port

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "deploy" / "demo"
RECORDING = DEMO / "lab.pcap"

# name: program, database role
PROGRAMS = {
    "collector": ("postern-collector", None),
    "scorer": ("postern-scorer", "postern_ingest"),
    "dispatch-desk": ("postern-dispatch", "postern_desk"),
    "dispatch-mail": ("postern-dispatch", "postern_mailer"),
    "dispatch-enforce": ("postern-dispatch", "postern_enforcer"),
}


class Installation:
    """`clock` is for all programs and the database."""

    def __init__(self, runner, postgres, bus, folder, clock="system"):
        self.runner = runner
        self.postgres = postgres
        self.bus = bus
        self.folder = Path(folder)
        self.clock = clock
        self.database = postgres.create_database()
        self.port = free_port()
        self.running = {}
        self.own = self.conninfo("postgres")
        self.networks = self.folder / "networks.txt"
        self.mail = self.folder / "mail"
        self._set_up()

    @classmethod
    def of_the_recorded_day(cls, runner, postgres, bus, folder):
        """With all clocks at the end of the recording in deploy/demo."""
        ended = json.loads((DEMO / "truth.json").read_text())["ended"]
        offset = datetime.datetime.fromisoformat(ended).timestamp() - time.time()
        return cls(runner, postgres, bus, folder, f"offset:{offset:.3f}")

    def conninfo(self, user):
        return self.postgres.conninfo(self.database, user)

    def operator(self, *arguments, **options):
        """One of the operator's commands, under the cluster's owner."""
        return self.runner.run("postern", *arguments, "--database", self.own, **options)

    def query(self, statement, *values):
        with self.postgres.connect(self.database) as connection:
            return connection.execute(statement, values).fetchall()

    def _set_up(self):
        self.operator("schema", "install", "--test", "--clock", self.clock)
        for line in (DEMO / "networks.txt").read_text().splitlines():
            if not line.startswith("#"):
                self.operator("networks", "add", line)
        self.operator("customers", "import", "--yes", DEMO / "customers.csv")
        with self.postgres.connect(self.database) as connection:
            connection.execute("UPDATE postern.setting SET value = 'postern.example'"
                               " WHERE key = 'authserv_id'")
        self.operator("reporters", "add", "mailbox-provider.example")
        self.operator("mode", "enforce", "--yes")
        self.operator("networks", "export", "--output", self.networks)

    def _arguments(self, name):
        role = PROGRAMS[name][1]
        own = {
            "collector": ("--listen", f"udp://127.0.0.1:{self.port}", "--networks", self.networks,
                          "--output", self.bus),
            "scorer": ("--bus", self.bus),
            "dispatch-desk": ("--work", "verdict,deadline"),
            "dispatch-mail": ("--work", "mail", "--mail", f"maildir:{self.mail}"),
            "dispatch-enforce": ("--work", "enforce"),
        }[name]
        database = ("--database", self.conninfo(role)) if role else ()
        return *own, *database, "--clock", self.clock

    def start(self, *names):
        """Starts the programs (all of them without a name) and waits for each /readyz."""
        for name in names or PROGRAMS:
            self.running[name] = self.runner.start_ready(PROGRAMS[name][0], *self._arguments(name))

    def kill(self, name):
        self.running.pop(name).kill()

    def start_replay(self, speed, recording=RECORDING):
        return self.runner.start("postern", "replay", recording, "--to",
                                 f"127.0.0.1:{self.port}", "--speed", speed, "--map-senders")

    def replay(self, speed=30, recording=RECORDING):
        assert self.start_replay(speed, recording).wait() == 0

    def complain(self, mail=DEMO / "complaint.eml"):
        self.runner.run("postern-intake", "--bus", self.bus, "--authserv-id", "postern.example",
                        "--clock", self.clock, mail)

    def wait_idle(self, seconds=3):
        self.operator("doctor", "--wait-idle", seconds, "--bus", self.bus, timeout_s=90)

    # --- what came of it -----------------------------------------------------------------

    def states(self):
        """{address: state} of all units that are not clear."""
        return {unit.split("/")[0]: state for unit, state in self.query(
            "SELECT unit::text, state FROM postern.ip_state WHERE state <> 'clear'")}

    def blocks(self):
        """Addresses of all blocks there ever were, one entry a block."""
        return sorted(unit.split("/")[0] for (unit,) in self.query(
            "SELECT unit::text FROM postern.block"))

    def verdicts(self):
        """What the scorer said, in its own order, without anything that a clock decides."""
        return self.query(
            "SELECT unit::text, band, episode, crossed_at, evidence, score, sessions_seen,"
            " destinations_seen, ports FROM postern.verdict ORDER BY crossed_at, unit, band")

    def outbox(self):
        """(kind, address, state) of every mail."""
        return sorted((kind, unit.split("/")[0], state) for kind, unit, state in self.query(
            "SELECT kind, unit::text, state FROM postern.outbox"))

    def mails(self):
        """The mails in the maildir as messages."""
        return [email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
                for part in ("new", "cur") for path in sorted((self.mail / part).glob("*"))]


def expected_states(truth=DEMO / "truth.json"):
    """{address: state} that must come of the lab."""
    hosts = json.loads(Path(truth).read_text())["hosts"].values()
    return {host["address"]: host["must"] for host in hosts if host["must"] != "quiet"}


def lab(*arguments):
    """The lab as a process; its progress goes nowhere."""
    return subprocess.Popen([ROOT / "tests" / "tools" / "lab" / "lab", "--quiet", *arguments])
