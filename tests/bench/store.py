# SPDX-License-Identifier: Apache-2.0
"""The database at a hoster's size: look-ups, verdicts, an import, mails, an idle dispatcher."""

import contextlib
import os
import re
import shutil
import statistics
import subprocess
import tempfile
import time

from meter import MeterError
from table import print_table

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROOT = os.path.dirname(TESTS)
SCRIPTS = os.path.join(TESTS, "support", "postgres")
HERE = os.path.dirname(os.path.abspath(__file__))
COOKBOOK = os.path.join(ROOT, "docs", "sql-cookbook.md")


# What docs/operating.md advises for a machine of this size.
SETTINGS = {"shared_buffers": "2GB", "effective_cache_size": "8GB", "max_wal_size": "8GB",
            "random_page_cost": "1.1", "work_mem": "32MB"}


class Database:
    """A private cluster that keeps to the disk, as a hoster's does, with Postern's schema."""

    def __init__(self, folder, tools):
        self.tools = tools
        self.folder = folder
        self.conninfo = f"host={folder}/socket user=postgres dbname=bench"
        self.is_new = not os.path.exists(os.path.join(folder, "data", "PG_VERSION"))
        self.start()
        if self.is_new:
            for name, value in SETTINGS.items():
                self.psql(f"ALTER SYSTEM SET {name} = '{value}'", database="postgres")
            self.stop()
            self.start()
            self.psql("CREATE DATABASE bench", database="postgres")
        self.cli("schema", "install" if self.is_new else "upgrade")

    def start(self):
        """Starts the cluster; makes it the first time."""
        subprocess.run([f"{SCRIPTS}/pg-start", "--fsync=on", self.folder], check=True,
                       stdout=subprocess.DEVNULL)

    def stop(self):
        """Ends the cluster."""
        subprocess.run([f"{SCRIPTS}/pg-stop", self.folder], check=True)

    def psql(self, text, *options, database="bench"):
        """Runs statements and returns what they print."""
        done = subprocess.run(["psql", f"host={self.folder}/socket user=postgres dbname={database}",
                               "-XAtq", "-v", "ON_ERROR_STOP=1", *options], input=text, check=False,
                              capture_output=True, text=True)
        if done.returncode != 0:
            raise MeterError(f"psql: {done.stderr.strip()}")
        return done.stdout.strip()

    def cli(self, *arguments):
        """Runs the operator's command."""
        return subprocess.run([self.tools.program("postern"), *arguments, "--database",
                               self.conninfo], check=True, capture_output=True, text=True)

    def pgbench(self, script, transactions, **variables):
        """Latencies in ms of one connection, sorted."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "script")
            with open(path, "w", encoding="utf-8") as file:
                file.write(script)
            settings = [f"--define={name}={value}" for name, value in variables.items()]
            subprocess.run(["pgbench", "-n", "-c", "1", "-t", str(transactions), "-M", "prepared",
                            "-f", path, "-l", f"--log-prefix={folder}/log", *settings,
                            "-h", f"{self.folder}/socket", "-U", "postgres", "bench"],
                           check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            log = next(name for name in os.listdir(folder) if name.startswith("log"))
            with open(os.path.join(folder, log), encoding="ascii") as lines:
                return sorted(int(line.split()[2]) / 1000 for line in lines)


@contextlib.contextmanager
def running(found):
    """A cluster for as long as it is measured."""
    try:
        yield found
    finally:
        found.stop()


@contextlib.contextmanager
def database(tools, folder, data):
    """The cluster in the folder of --data, which stays, or one that is removed afterwards."""
    if data is not None:
        with running(Database(os.path.abspath(data), tools)) as found:
            yield found
        return
    with tempfile.TemporaryDirectory(prefix="postern-bench.", dir=folder) as made:
        os.chmod(made, 0o755)
        with running(Database(os.path.join(made, "pg"), tools)) as found:
            yield found


def import_lines(db, count):
    """Seconds that `postern customers import` takes for that many lines. Of ten addresses in a row
    four are one customer's, a neighbourhood that the scorer is told; the others have one each."""
    with tempfile.NamedTemporaryFile("w", suffix=".csv", encoding="ascii") as out:
        out.write("net,customer,name,type,service,contacts,locale,tz\n")
        for n in range(count):
            address = f"20.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}"
            c = n - n % 10 if n % 10 < 4 else n
            out.write(f"{address}/32,C{c},Customer {c},vps,vps-{n},abuse:abuse@c{c}.example,en,"
                      "Europe/Berlin\n")
        out.flush()
        started = time.monotonic()
        db.cli("customers", "import", out.name, "--yes")
        return time.monotonic() - started


def cookbook():
    """(question, query) of each page's block."""
    with open(COOKBOOK, encoding="utf-8") as page:
        return re.findall(r"^## (.*?)\n.*?```sql\n(.*?)```", page.read(), re.S | re.M)


def slowest_queries(db):
    """(ms, question) of every query in the cookbook, as the abuse team runs it; slowest first."""
    found = []
    for question, query in cookbook():
        took = []
        for _ in range(3):
            said = db.psql(f"SET ROLE postern_analyst;\n\\o /dev/null\n\\timing on\n{query}")
            took.append(sum(float(ms) for ms in re.findall(r"^Time: ([0-9.]+) ms", said, re.M)))
        found.append((statistics.median(took), question))
    return sorted(found, reverse=True)


VERDICTS = """
    INSERT INTO postern.verdict (unit, partition, position, episode, band, crossed_at, received_at,
        first_at, last_at, evidence, score, sessions_seen, sessions_low, destinations_seen, usual,
        window_s, channel, pair, failed, ports, sampling, cold, exporters, reasons, samples, model)
    SELECT inet '20.0.0.0' + n, 0, n, now(), 'block', now(), now(), now(), now(), 930,
        930, 180, 150, 170, 1, 60, 'D', 'smtp', 3, '{{25}}', 1, true, '{{198.51.100.1}}',
        '[{{"name": "burst", "points": 930, "text": "180 new destinations on port 25 in 60 s."}}]',
        (SELECT jsonb_agg(jsonb_build_object('at_ns', extract(epoch FROM now()) * 1000000000 - i,
                'destination', '203.0.113.' || i, 'port', 25)) FROM generate_series(1, 16) AS i),
        'edet-1'
      FROM generate_series(1, {count}) AS n RETURNING id"""


def apply_rate(db, count):
    """Verdicts of band block, with 16 samples each, that one connection applies in a second."""
    start = int(db.psql(VERDICTS.format(count=count)).split()[0])
    took = db.pgbench("\\set id :id + 1\nSELECT postern.apply_verdict(:id),"
                      " set_config('synchronous_commit', 'off', true);\n", count, id=start - 1)
    return count / (sum(took) / 1000)


@contextlib.contextmanager
def dispatcher(db, work, *arguments):
    """postern-dispatch for as long as it is measured."""
    with subprocess.Popen([db.tools.program("postern-dispatch"), "--database", db.conninfo,
                           "--work", work, *arguments], stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.terminate()


def wait_for(db, query, timeout_s):
    """Until the query says 0."""
    end = time.monotonic() + timeout_s
    while db.psql(query) != "0":
        if time.monotonic() > end:
            raise MeterError(f"still not 0 after {timeout_s} s: {query}")
        time.sleep(0.2)


def mail_rate(db):
    """Mails a minute through smtp-sink, of those that wait; None where it is not installed."""
    sink = shutil.which("smtp-sink") or shutil.which("smtp-sink", path="/usr/sbin")
    if sink is None:
        print("left out: mails: smtp-sink is not installed (apt install postfix)")
        return None
    # One by one: what a digest spares is not what is asked here.
    db.psql("SELECT postern.set_setting('mail.digest_from', '0', 'bench');"
            "UPDATE postern.outbox SET next_at = now() WHERE state = 'pending'")
    waiting = int(db.psql("SELECT count(*) FROM postern.outbox WHERE state = 'pending'"))
    with subprocess.Popen([sink, "-u", "nobody", "127.0.0.1:2526", "100"],
                          stderr=subprocess.DEVNULL) as server:
        try:
            started = time.monotonic()
            with dispatcher(db, "mail", "--mail", "smtp://127.0.0.1:2526", "--no-reverse-dns"):
                wait_for(db, "SELECT count(*) FROM postern.outbox WHERE state IN ('pending',"
                             " 'sending')", 600)
            return 60 * waiting / (time.monotonic() - started)
        finally:
            server.terminate()


@contextlib.contextmanager
def without_autovacuum(db):
    """What was loaded is being vacuumed, which costs transactions; the cluster of --data outlives
    us and wants it again."""
    try:
        db.psql("ALTER SYSTEM SET autovacuum = off;\nSELECT pg_reload_conf();")
        wait_for(db, "SELECT count(*) FROM pg_stat_activity"
                     " WHERE backend_type LIKE 'autovacuum w%'", 600)
        yield
    finally:
        db.psql("ALTER SYSTEM RESET autovacuum;\nSELECT pg_reload_conf();")


def idle_load(db, seconds):
    """Transactions a second that a dispatcher of all work costs when nothing is due."""
    count = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = 'bench'"
    # What is older than it is kept would go in small steps for hours.
    while db.psql("SELECT sum(rows) FROM postern.expire(1000000)") != "0":
        pass
    with dispatcher(db, "verdict,deadline,mail,enforce", "--mail", f"maildir:{db.folder}/mail"):
        wait_for(db, "SELECT sum(count) FROM postern.due", 600)
        with without_autovacuum(db):
            time.sleep(65)    # a process tells of its transactions a minute later at the latest
            before = int(db.psql(count))
            time.sleep(seconds)
            return (int(db.psql(count)) - before - 1) / seconds


def add_arguments(parser):
    """The options of `tests/bench/run store`."""
    parser.add_argument("--blocks", type=int, default=1_000_000, help="default %(default)s")
    parser.add_argument("--activity", type=int, default=10_000_000,
                        help="rows; default %(default)s")
    parser.add_argument("--customers", type=int, default=100_000, help="default %(default)s")
    parser.add_argument("--folder", help="where the cluster is made; default: TMPDIR")
    parser.add_argument("--data", help="folder of a cluster that is kept: filled the first time, "
                                       "only asked (timeline, cookbook) when it is there already")


def p95(latencies):
    """The 95th percentile of sorted figures."""
    return latencies[min(len(latencies) - 1, len(latencies) * 95 // 100)]


def fill(db, args):
    """The customers and their years; rows of the table about the imports."""
    db.cli("networks", "add", "20.0.0.0/8")
    # Seven customers have ten addresses.
    first, all_of_them = args.customers, args.customers * 10 // 7
    took = [import_lines(db, count) for count in (first, all_of_them, all_of_them)]
    db.psql("SELECT postern.set_mode('enforce', 'bench');"
            "SELECT postern.set_setting('breaker.blocks_per_hour', '0', 'bench')")
    started = time.monotonic()
    print("filling …", flush=True)
    with open(os.path.join(HERE, "store.sql"), encoding="utf-8") as text:
        db.psql(text.read(), "-v", f"blocks={args.blocks}", "-v", f"activity={args.activity}")
    print(f"filled in {time.monotonic() - started:.0f} s", flush=True)
    return [[f"import of {first} assignments, s", f"{took[0]:.1f}", "≤ 10"],
            [f"import of {all_of_them}, of which {first} are there, s", f"{took[1]:.1f}", ""],
            [f"import of {all_of_them}, nothing new, s", f"{took[2]:.1f}", ""]]


def ask(db, args):
    """Rows about what people ask."""
    took = db.pgbench("\\set n random(0, :units - 1)\n"
                      "SELECT count(*) FROM api_v1.ip_timeline(inet '20.0.0.0' + :n);\n", 500,
                      units=args.customers * 10 // 7)
    rows = [["one address's timeline, p95 ms", f"{p95(took):.1f}", "≤ 50"]]
    slowest = slowest_queries(db)
    for ms, question in slowest[:3]:
        rows.append([f"cookbook: {question}, ms", f"{ms:.0f}", "≤ 1000"])
    rows.append([f"cookbook: median of {len(slowest)} queries, ms",
                 f"{statistics.median(ms for ms, _ in slowest):.1f}", ""])
    return rows


def act(db, args):
    """Rows about what programs do."""
    count = min(5000, args.customers // 4)
    rows = [["verdicts applied, one connection, per s", f"{apply_rate(db, count):.0f}", "≥ 500"]]
    rate = mail_rate(db)
    if rate is not None:
        rows.append(["mails through an SMTP server, per minute", f"{rate:.0f}", "≥ 1000"])
    rows.append(["idle dispatcher of all work, transactions per s", f"{idle_load(db, 30):.2f}",
                 "≤ 1"])
    return rows


def run(tools, args):
    """The benchmark."""
    if args.quick:
        args.blocks, args.activity, args.customers = 10_000, 100_000, 1000
    print(f"{args.blocks} blocks, {args.activity} rows of activity, {args.customers} customers: "
          "generated\n", flush=True)
    with database(tools, args.folder, args.data) as db:
        rows = fill(db, args) if db.is_new else []
        rows += ask(db, args) + (act(db, args) if db.is_new else [])
    print_table(["what", "measured", "goal"], rows)
