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
    """`clock` is for all programs and the database; `transport` is where mails go, a maildir
    without it; `enter` stands before each program's command (a SmallDisk's)."""

    def __init__(self, runner, postgres, bus, folder, clock="system", transport=None, enter=()):
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
        self.transport = transport or f"maildir:{self.mail}"
        self.enter = enter
        self._set_up()

    @classmethod
    def of_the_recorded_day(cls, runner, postgres, bus, folder, **options):
        """With all clocks at the end of the recording in deploy/demo."""
        ended = json.loads((DEMO / "truth.json").read_text())["ended"]
        offset = datetime.datetime.fromisoformat(ended).timestamp() - time.time()
        return cls(runner, postgres, bus, folder, f"offset:{offset:.3f}", **options)

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
            "dispatch-mail": ("--work", "mail", "--mail", self.transport),
            "dispatch-enforce": ("--work", "enforce"),
        }[name]
        database = ("--database", self.conninfo(role)) if role else ()
        return *own, *database, "--clock", self.clock

    def start(self, *names):
        """Starts the programs (all of them without a name) and waits for each /readyz."""
        for name in names or PROGRAMS:
            self.launch(name)
        self.wait_ready(*names)

    def wait_ready(self, *names):
        for name in names or PROGRAMS:
            program = self.running[name]
            program.wait_ready(f"{program.url}/readyz", timeout_s=60)

    def launch(self, name, *more):
        """Starts a program, with more arguments, and does not wait for it."""
        port = free_port()
        command = *self.enter, self.runner.path(PROGRAMS[name][0])
        program = self.runner.start(*command, *self._arguments(name), *more, "--metrics",
                                    f"127.0.0.1:{port}")
        program.url = f"http://127.0.0.1:{port}"
        self.running[name] = program

    def kill(self, name):
        self.running.pop(name).kill()

    def start_replay(self, speed, recording=RECORDING):
        return self.runner.start("postern", "replay", recording, "--to",
                                 f"127.0.0.1:{self.port}", "--speed", speed, "--map-senders")

    def replay(self, speed=30, recording=RECORDING):
        assert self.start_replay(speed, recording).wait() == 0

    def complain(self, *arguments, mail=DEMO / "complaint.eml", status=0):
        command = *self.enter, self.runner.path("postern-intake")
        return self.runner.run(*command, "--bus", self.bus, "--authserv-id", "postern.example",
                               "--clock", self.clock, *arguments, mail, status=status)

    def doctor(self, *arguments, **options):
        """postern doctor, where the bus can be seen."""
        command = *self.enter, self.runner.path("postern")
        return self.runner.run(*command, "doctor", "--database", self.own, "--bus", self.bus,
                               *arguments, **options)

    def advance(self, **span):
        """advance(minutes=6): the database's clock alone goes on."""
        self.query("UPDATE postern.setting SET value = 'offset:' ||"
                   " (split_part(value, ':', 2)::float8 + %s) WHERE key = 'test.clock'"
                   " RETURNING value", datetime.timedelta(**span).total_seconds())

    def wait_idle(self, seconds=3):
        self.doctor("--wait-idle", seconds, timeout_s=90)

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


def check_outcome(site, expected):
    """What must hold however often whatever was killed or away."""
    assert site.states() == expected
    blocked = sorted(address for address, state in expected.items() if state == "blocked")
    assert site.blocks() == blocked
    # Who is only watched hears nothing: a newsletter may come near, depending on its moments.
    assert {(unit.split("/")[0], band) for unit, band, *_ in site.verdicts()
            if band != "watch"} == {
        (address, band) for address in blocked for band in ("flag", "block")}
    outbox = site.outbox()
    assert {(kind, address) for kind, address, state in outbox if state == "done"} >= {
        *(("blocked", address) for address in blocked), ("warning", "192.0.2.77")}
    assert all(state in ("done", "superseded") for _kind, _address, state in outbox)
    identities = [mail["Message-ID"] for mail in site.mails()]
    assert len(identities) == len(set(identities)), "a mail came twice"
    assert len(identities) == sum(state == "done" for _kind, _address, state in outbox)
    failed = site.query("SELECT count(*) FROM postern.verdict WHERE apply_error IS NOT NULL")
    assert failed == [(0,)]


def expected_states(truth=DEMO / "truth.json"):
    """{address: state} that must come of the lab."""
    hosts = json.loads(Path(truth).read_text())["hosts"].values()
    return {host["address"]: host["must"] for host in hosts if host["must"] != "quiet"}


def lab(*arguments):
    """The lab as a process; its progress goes nowhere."""
    return subprocess.Popen([ROOT / "tests" / "tools" / "lab" / "lab", "--quiet", *arguments])
