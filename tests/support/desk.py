# SPDX-License-Identifier: Apache-2.0
"""A database with Postern's schema, two customers, and what one does with it in tests.

The clock of the database is moved by hand: nothing here waits for an hour to pass.
"""

import contextlib
import mailbox
import urllib.error
import urllib.request

from psycopg import sql

from ports import free_port
from waiting import until

MUELLER = "abuse:post@mueller.example owner:chef@mueller.example"
CUSTOMERS = f"""\
net,customer,name,type,service,contacts,locale,tz
192.0.2.0/28,C-1,"Müller, GmbH",vps,vps-1,{MUELLER},de,Europe/Berlin
192.0.2.16/28,C-2,Example Ltd,dedicated,srv-2,abuse:desk@example.org,en,America/New_York
"""
GERMAN, ENGLISH, STRANGER = "192.0.2.1", "192.0.2.17", "192.0.2.200"
ROLES = {"verdict": "desk", "deadline": "desk", "mail": "mailer", "enforce": "enforcer"}


def make_template(runner, cluster, name="postern_template"):
    """Installs the schema once; databases are copied from it."""
    with cluster.connect() as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    runner.run("postern", "schema", "install", "--test", "--database", cluster.conninfo(name))
    return name


class Desk:
    """`setup`: networks, customers, mode enforce; without it the schema alone."""

    def __init__(self, runner, cluster, folder, template, setup=True):
        self.runner, self.cluster, self.folder = runner, cluster, folder
        self.database = cluster.create_database(template)
        self.maildir = folder / "mail"
        if setup:
            self.cli("networks", "add", "192.0.2.0/24")
            self.import_csv(CUSTOMERS)
            self.cli("reporters", "add", "reporter.example")
            self.cli("mode", "enforce", "--yes")
            self.query("SELECT postern.set_setting('mail.warning_hold', '0', 'test'),"
                       " postern.set_setting('mail.digest_from', '0', 'test')")

    # --- programs ------------------------------------------------------------------------

    def conninfo(self, role="postgres"):
        return self.cluster.conninfo(self.database, role)

    def cli(self, *arguments, role="postgres", **options):
        return self.runner.run("postern", *arguments, "--database", self.conninfo(role), **options)

    def import_csv(self, text, *options, status=0):
        path = self.folder / "customers.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return self.cli("customers", "import", path, "--yes", *options, status=status)

    def dispatch_arguments(self, work, *arguments):
        if "mail" in work.split(",") and "--mail" not in arguments:
            arguments = (*arguments, "--mail", f"maildir:{self.maildir}")
        if "mail" in work.split(",") and "--no-reverse-dns" not in arguments:
            arguments = (*arguments, "--no-reverse-dns")
        roles = {f"postern_{ROLES[kind]}" for kind in work.split(",")}
        role = roles.pop() if len(roles) == 1 else "postgres"
        return ("--database", self.conninfo(role), "--work", work, "--poll", "1s", *arguments)

    def dispatch(self, work, *arguments):
        """Starts it; who sends mail or keeps the freeze file is up when it has its database, ready
        with its mail server or file."""
        arguments = self.dispatch_arguments(work, *arguments)
        if "mail" not in work.split(",") and "--freeze-file" not in arguments:
            return self.runner.start_ready("postern-dispatch", *arguments)
        port = free_port()
        program = self.runner.start("postern-dispatch", *arguments, "--metrics",
                                    f"127.0.0.1:{port}")
        program.url = f"http://127.0.0.1:{port}"
        until(lambda: "connected" in program.stderr or "away" in program.stderr
              or not program.is_running, "it is up, or says that the database is away")
        return program

    # --- the database --------------------------------------------------------------------

    def query(self, statement, *values):
        with self.cluster.connect(self.database) as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def value(self, statement, *values):
        return self.query(statement, *values)[0][0]

    def advance(self, **spans):
        """advance(hours=24): the database's clock, and nothing else, goes on."""
        seconds = sum({"hours": 3600, "minutes": 60, "seconds": 1}[unit] * n
                      for unit, n in spans.items())
        self.query("UPDATE postern.setting SET value = 'offset:' || (CASE value WHEN 'system'"
                   " THEN 0 ELSE split_part(value, ':', 2)::float8 END + %s)"
                   " WHERE key = 'test.clock'", seconds)

    def verdict(self, unit, band="block", evidence=950, ago="0 s"):
        return self.value("""
            INSERT INTO postern.verdict (unit, partition, position, episode, band, crossed_at,
                received_at, first_at, last_at, evidence, score, sessions_seen, sessions_low,
                destinations_seen, usual, window_s, channel, pair, failed, ports, sampling, cold,
                exporters, reasons, samples, model)
            SELECT %s, 0, 10, t - interval '1 minute', %s, t, t, t - interval '1 minute', t, %s, %s,
                420, 400, 380, 20, 300, 'S', 'smtp', 12, '{25}', 1, true, '{203.0.113.1}',
                '[{"name": "burst", "points": 950, "text": "420 new mail connections."}]',
                (SELECT jsonb_agg(jsonb_build_object(
                    'at_ns', (extract(epoch FROM t) * 1000)::bigint * 1000000
                             - i::bigint * 1000000000,
                    'destination', '198.51.100.' || i, 'port', 25)) FROM generate_series(1, 16) i),
                'edet-1'
            FROM (SELECT postern.now() - %s::interval AS t) AS x RETURNING id""",
            unit, band, evidence, round(evidence), ago)

    def complaint(self, unit, number=1, ago="1 hour", reporter="reporter.example",
                  message_id=None):
        return self.value(
            "SELECT postern.record_evidence(0, %s, 'complaint', 'arf', 'abuse', 'spam', %s, 0,"
            " postern.now() - %s::interval, postern.now(), %s, 'customer.example', %s, true, %s,"
            " NULL, 1, 2000, sha256(%s))", number, unit, ago,
            message_id or f"spam-{number}@customer.example", reporter,
            f"report-{number}@{reporter}", f"{number}".encode())

    def state(self, unit):
        rows = self.query("SELECT state FROM postern.ip_state WHERE unit = %s", unit)
        return rows[0][0] if rows else None

    def wait_state(self, unit, state, timeout_s=20):
        until(lambda: self.state(unit) == state, f"{unit} is {state}", timeout_s)

    def mails(self):
        """(kind, state, message_id) in the order of their making."""
        return self.query("SELECT kind, state, message_id FROM postern.outbox ORDER BY id")

    def wait_mail(self, kind, state="done", timeout_s=20):
        """The Message-ID of the newest mail of this kind, once it is in this state."""
        def look():
            found = [m for m in self.mails() if m[0] == kind]
            return found[-1][2] if found and found[-1][1] == state else None
        return until(look, f"mail {kind} is {state}: {self.mails()}", timeout_s)

    def alarms(self):
        return [kind for (kind,) in self.query(
            "SELECT kind FROM postern.noc_alarm WHERE cleared_at IS NULL ORDER BY id")]

    def delivered(self):
        """What lies in the maildir, by Message-ID (without <>); each once, or it fails."""
        found = {}
        for message in mailbox.Maildir(self.maildir, create=False):
            key = message["Message-ID"].strip("<>")
            assert key not in found, f"{key} lies there twice"
            found[key] = message
        return found


def readiness(program):
    """(status, text) of a program's /readyz."""
    with contextlib.closing(_open(f"{program.url}/readyz")) as reply:
        return reply.status, reply.read().decode()


def _open(url):
    try:
        return urllib.request.urlopen(url, timeout=5)
    except urllib.error.HTTPError as error:
        return error
