# SPDX-License-Identifier: Apache-2.0
"""Four weeks of mail through a scorer that is killed, on both buses: every row that it leaves in
PostgreSQL is that of a run without a kill (docs/recovery.md, S5, S7, S11 to S13, S15, S17, S18).

Days pass in the flows' own time. They are published in parts; decisions of people come between two
parts, when all before is read: so a decision has one place in the log, whoever is killed.
"""

import contextlib
import re
import shutil
import subprocess
import time

import pytest

from buses import BrokerBus, FileBus
from conftest import ROOT
from desk import readiness
from ports import free_port
from program import Runner
from scoring import PARTITIONS, SECOND, Scored, flow, lines
from waiting import until

T0 = 1777593600 * SECOND    # 2026-05-01
DAY = 86400 * SECOND
NEWS, MILD, BURSTS, LATE = "192.0.2.10", "192.0.2.77", "198.51.100.20", "203.0.113.30"
SIX = ("2001:db8:6::1", "2001:db8:7::1")    # in the other partitions


def mails(unit, at_ns, count, every_s, first):
    """Sessions of `unit` with so many others, from the `first` of all others on."""
    def other(n):
        return f"2001:db8:ffff::{n + 1:x}" if ":" in unit else f"198.18.{n // 250}.{n % 250 + 1}"
    return [flow(unit, other(first + n), at_ns + n * int(every_s * SECOND), 20000 + first + n)
            for n in range(count)]


def day(number):
    """A newsletter at nine, some mails of everybody else, and on three days a burst."""
    midnight = T0 + number * DAY
    flows = mails(NEWS, midnight + 32400 * SECOND, 80, 1.5, 80 * number)
    for place, unit in enumerate((MILD, BURSTS, LATE, *SIX)):
        flows += mails(unit, midnight + (30000 + place) * SECOND, 8, 3600, 8 * number + 1000)
    for unit in {23: [BURSTS], 26: [LATE, MILD], 27: [BURSTS, MILD]}.get(number, []):
        flows += mails(unit, midnight + 40000 * SECOND, 200, 0.3, 2000 + 200 * (number - 23))
    return sorted(flows, key=lambda one: one["time_flow_start_ns"])


# What is published at once, and what was decided before.
PARTS = [(range(0, 5), []), ([22], []), ([23], []), ([24, 25], [("exempted", MILD)]),
         ([26], [("false_positive", BURSTS)]), ([27, 28], [("released", LATE)])]

# Little memory: a minute in which nothing happens costs as much as there is to look through.
SMALL = ("--novelty-memory", "1M", "--max-units", "1000")


class Site:
    """A bus, a database, and the scorer between them."""

    def __init__(self, bus, scored, runner):
        self.bus, self.scored, self.runner = bus, scored, runner
        self.scorer = None
        self.ends = []    # of the bus after each part

    def publish(self, *parts, partitions=PARTITIONS):
        """Decides and publishes; parts with decisions want all before them read."""
        for part in parts:
            self.decide(part)
            flows = [one for number in PARTS[part][0] for one in day(number)]
            subprocess.run([self.runner.path("flowcat"), "publish", self.bus.uri, str(partitions),
                            "collector", str(part + 1)], input=lines(flows), check=True)
            self.ends.append(self.bus.ends())

    def decide(self, part):
        for kind, unit in PARTS[part][1]:
            self.scored.run("INSERT INTO postern.scorer_input (kind, unit, created_at)"
                            " VALUES (%s, %s, postern.now())", kind, unit)

    def go(self, *parts, **options):
        """Publishes part by part, each when the one before is read."""
        for part in parts:
            self.publish(part, **options)
            self.read()

    def read(self):
        """Waits until each partition stands at the end of its log."""
        ends = {n: end for n, end in self.bus.ends().items() if end > 0}
        until(lambda: all(self.scored.positions().get(n) == end for n, end in ends.items()),
              f"all is read\n{self.scorer.describe() if self.scorer else ''}", timeout_s=60)

    def arguments(self, *more):
        return ("--bus", self.bus.uri, *self.bus.options, "--database", self.scored.conninfo,
                *SMALL, *more)

    def launch(self, *more, enter=()):
        """Starts it and does not wait for its readiness."""
        command = *enter, self.runner.path("postern-scorer")
        port = free_port()
        self.scorer = self.runner.start(*command, *self.arguments(*more), "--metrics",
                                        f"127.0.0.1:{port}")
        self.scorer.url = f"http://127.0.0.1:{port}"

    def wait_ready(self):
        self.scorer.wait_ready(f"{self.scorer.url}/readyz", timeout_s=60)

    def start(self, *more, enter=()):
        self.launch(*more, enter=enter)
        self.wait_ready()

    def wait_hindered(self, words):
        until(lambda: words in readiness(self.scorer)[1], f"it says: {words}", timeout_s=60)

    def kill(self):
        self.scorer.kill()
        self.bus.next_group()

    def outcome(self):
        verdicts, activity, loss = self.scored.result()
        envelopes, waiting = self.scored.learned()
        return {"verdicts": verdicts, "activity": activity, "loss": loss, "envelopes": envelopes,
                "waiting": waiting, "applied": self.scored.applied(),
                "positions": self.scored.positions()}


@pytest.fixture(params=["embedded", "kafka"])
def bus(request, programs, bus_path):
    if request.param == "embedded":
        yield FileBus(bus_path, programs("buscat"))
        return
    topics = BrokerBus(request.getfixturevalue("kafka"))
    yield topics
    topics.replace()


@pytest.fixture
def scored(postgres, desk_template):
    own = Scored(postgres, desk_template)
    yield own
    own.drop()


@pytest.fixture
def site(bus, scored, runner):
    yield Site(bus, scored, runner)
    runner.clean_up()


@pytest.fixture(scope="module")
def control(programs, postgres, desk_template, session_dir):
    """What is written when nobody is killed."""
    folder = session_dir / "scorer-control"
    folder.mkdir()
    runner = Runner(programs, folder)
    scored = Scored(postgres, desk_template)
    undisturbed = Site(FileBus(folder / "bus.db", programs("buscat")), scored, runner)
    undisturbed.publish(0, 1)
    undisturbed.start()
    undisturbed.read()
    undisturbed.go(2, 3, 4, 5)
    outcome = undisturbed.outcome()
    runner.clean_up()
    scored.drop()
    return outcome


def test_the_four_weeks_hold_what_a_kill_could_spoil(control):
    seen = [(unit, band, crossed.day) for unit, _, band, crossed, *_ in control["verdicts"]]
    assert (NEWS, "flag", 1) in seen, "a stranger's newsletter"
    assert not [one for one in seen if one[0] == NEWS and one[2] > 4], "a known one's"
    assert (BURSTS, "block", 24) in seen and (LATE, "block", 27) in seen
    assert not [one for one in seen if one[0] == BURSTS and one[2] > 24], "it was called right"
    assert not [one for one in seen if one[0] == MILD], "it is exempted"
    assert {(row["unit"], row["fate"]) for (row,) in control["waiting"]} == {
        (BURSTS, "false-positive"), (LATE, "waiting")}
    assert len(control["envelopes"]) >= 6
    assert len(control["applied"]) == 3 * PARTITIONS
    assert {n for n, position in control["positions"].items() if position > 0} == set(
        range(PARTITIONS))


@contextlib.contextmanager
def held_at(scored, table):
    """Nobody can write into the table meanwhile: a tick comes to its statement, and no further."""
    with scored.cluster.connect(scored.name) as holder, holder.transaction():
        holder.execute(f"LOCK TABLE postern.{table} IN SHARE MODE")
        yield lambda: scored.ask("SELECT FROM pg_locks WHERE NOT granted"
                                 " AND relation = %s::regclass", f"postern.{table}")


def test_killed_within_each_tick_that_learns_or_applies(site, control):
    """S11, S2: at the statement itself, of which nothing is committed."""
    site.publish(0)
    site.start()
    site.read()
    for part, table in ((1, "unit_envelope"), (2, "verdict"), (3, "unit_waiting"),
                        (4, "scorer_input_applied"), (5, "bus_producer")):
        with held_at(site.scored, table) as is_there:
            site.publish(part)
            until(is_there, f"a tick writes into {table}")
            site.kill()
        site.start()
        site.read()
    assert site.outcome() == control


def watch(question, what, span_s=1.5):
    """Asks for as long as notes of positions take, and longer; the answer must stay true."""
    end = time.monotonic() + span_s
    while time.monotonic() < end:
        assert question(), what
        time.sleep(0.1)


def kept_in(folder):
    """The snapshots in a folder: {(partition, position)}."""
    names = [path.name for path in folder.glob("*.snapshot")]
    return {(int(name[1:name.index("-")]), int(name.split("-")[1])) for name in names}


# --- the database is away -------------------------------------------------------------------


@contextlib.contextmanager
def away(cluster):
    """It is stopped meanwhile."""
    cluster.stop()
    try:
        yield
    finally:
        cluster.start()


def test_what_comes_while_postgresql_is_away_waits_for_it(site, control, postgres, work_dir):
    """S7: the bus grows, the scorer is killed meanwhile; retention of the embedded bus comes by and
    leaves what was not read, and what the snapshots need."""
    folder = work_dir / "snapshots"
    keep = ("--snapshots", folder, "--snapshot-every", "3600")
    site.publish(0)
    site.start(*keep)
    site.read()
    assert site.scorer.stop() == 0
    snapshots = kept_in(folder)
    assert snapshots == {*site.scored.positions().items()}
    site.start(*keep)
    site.go(1)
    if site.bus.keeps_what_is_unread:
        watch(lambda: site.bus.noted() == dict(snapshots), "retention may not pass the snapshots")
    with away(postgres):
        site.publish(2)
        site.wait_hindered("database is away")
        site.kill()
        if site.bus.keeps_what_is_unread:
            assert site.bus.throw_away(site.bus.ends()) == dict(snapshots)
        site.launch(*keep)
        site.wait_hindered("database is away")
    site.wait_ready()
    site.read()
    assert site.scorer.stderr.count("snapshot loaded") == PARTITIONS
    site.go(3, 4, 5)
    assert site.outcome() == control


@pytest.mark.parametrize("bus", ["kafka"], indirect=True)
def test_what_the_broker_threw_away_unread_is_counted(site, postgres):
    """S7: a broker keeps to its own retention: the hole is told, the scorer goes on behind it."""
    site.publish(0, 1)
    site.start()
    site.read()
    read = site.ends[-1]
    with away(postgres):
        site.publish(2)
        site.wait_hindered("database is away")
        site.kill()
        holes = {n: end - read[n] for n, end in site.ends[-1].items() if end > read[n]}
        site.bus.throw_away({n: read[n] + missed for n, missed in holes.items()})
    site.start()
    missed = "postern_scorer_missed_messages_total"
    until(lambda: site.scorer.metric(missed) == sum(holes.values()), "the holes are counted")
    for n, count in holes.items():
        assert re.search(f"partition {n}: .*before they were read missed={count}\\b",
                         site.scorer.stderr)
    site.go(3)
    heard = {unit for (unit,) in site.scored.ask("SELECT DISTINCT host(unit) FROM"
             " postern.smtp_activity WHERE bucket >= '2026-05-25'")}
    assert heard >= {NEWS, MILD, BURSTS, LATE}


# --- the log begins later -------------------------------------------------------------------


def test_what_the_log_has_lost_comes_from_the_database(site, control):
    """S12: no snapshots, and retention took the days from which units are known."""
    site.publish(0)
    site.start()
    site.read()
    site.go(1, 2, 3)
    site.kill()
    learned_from = site.ends[0]
    assert site.bus.throw_away(learned_from) == learned_from
    site.start()
    site.go(4, 5)
    given_back = sum(map(int, re.findall(r"learned before the log begins units=(\d+)",
                                         site.scorer.stderr)))
    assert given_back == len({row["unit"] for (row,) in control["envelopes"]})
    assert site.outcome() == control


# --- another bus ----------------------------------------------------------------------------


def judged(outcome):
    """What was decided and counted, wherever it stood in the log."""
    return {"verdicts": [row[:5] + row[6:] for row in outcome["verdicts"]],
            "activity": outcome["activity"], "loss": outcome["loss"],
            "waiting": [(row["unit"], row["day"], row["fate"]) for (row,) in outcome["waiting"]]}


def change_partitions(scored, count):
    """As docs/scaling.md says, word for word."""
    page = (ROOT / "docs/scaling.md").read_text()
    [statement] = re.findall(r"```sql\n\s*(.*?)```", page, re.DOTALL)
    assert "(16)" in statement
    scored.run(statement.replace("(16)", f"({count})"))


@pytest.mark.parametrize("partitions", [PARTITIONS, PARTITIONS + 2])
def test_another_bus_makes_nobody_a_stranger(site, control, partitions):
    """S13: moved away or made anew; what was learned and decided before holds in it, also after a
    kill -9."""
    site.publish(0, 1)
    site.start()
    site.read()
    site.go(2, 3)
    site.kill()
    site.bus.replace()
    if partitions != PARTITIONS:
        change_partitions(site.scored, partitions)
    site.publish(4, partitions=partitions)
    site.start()
    site.read()
    site.kill()
    assert {position for *_, position in site.scored.applied()} == {-2}
    site.start()
    site.go(5, partitions=partitions)
    assert judged(site.outcome()) == judged(control)


# --- an older database ----------------------------------------------------------------------


def dump_tool(scored, *command):
    subprocess.run([*map(str, command), "--dbname", scored.cluster.conninfo(scored.name)],
                   check=True)


def test_an_older_dump_is_caught_up_with(site, control, work_dir):
    """S17: what PostgreSQL has lost is written again, once, and no snapshot is of that past."""
    folder, dump = work_dir / "snapshots", work_dir / "dump"
    keep = ("--snapshots", folder, "--snapshot-every", "1")
    site.publish(0, 1)
    site.start(*keep)
    site.read()
    site.go(2, 3)
    dump_tool(site.scored, "pg_dump", "--format=custom", "--file", dump)
    then = site.scored.positions()
    site.go(4)

    def ahead():
        return [one for one, position in kept_in(folder) if position > then[one]]
    until(ahead, "a snapshot of what will be lost")
    site.go(5)
    site.kill()
    lost = ahead()
    site.scored.make_anew()
    dump_tool(site.scored, "pg_restore", "--exit-on-error", "--single-transaction", dump)
    assert site.scored.positions() == then
    # The decisions are lost, too: people decide again. Parts 4 and 5 are in the bus as one.
    site.decide(4)
    site.start(*keep)
    site.read()
    assert site.scorer.stderr.count("ahead of PostgreSQL, which lost what it is of; removed") \
        == len(lost)
    outcome = site.outcome()
    assert outcome["verdicts"] == control["verdicts"]
    assert outcome["activity"] == control["activity"]


# --- no snapshots ---------------------------------------------------------------------------


def failed_snapshots(site):
    return site.scorer.metric_of("postern_scorer_snapshots_total", result="failed")


def test_without_a_place_for_snapshots_the_log_does(site, control, small_disk):
    """S18: full, then gone: counted and said, the stream goes on, and a kill -9 costs nothing."""
    folder = small_disk.path / "snapshots"
    from_here = small_disk.seen_from_here / "snapshots"
    keep = ("--snapshots", folder, "--snapshot-every", "1")
    site.publish(0, 1)
    site.start(*keep, enter=small_disk.enter)
    site.read()
    until(lambda: kept_in(from_here), "a snapshot")
    with small_disk.filled():
        site.go(2)
        until(lambda: failed_snapshots(site), "one failed")
        assert "No space left" in site.scorer.stderr
        site.kill()
        assert not [path for path in from_here.iterdir() if ".part" in path.name]
        site.start(*keep, enter=small_disk.enter)
        site.go(3)
    shutil.rmtree(from_here)
    before = failed_snapshots(site)
    site.go(4)
    until(lambda: failed_snapshots(site) > before, "one failed")
    site.kill()
    site.start(*keep, enter=small_disk.enter)
    site.go(5)
    assert "rebuilding state" in site.scorer.stderr
    assert "snapshot loaded" not in site.scorer.stderr
    assert site.outcome() == control


def test_snapshots_that_cannot_be_used_are_named_and_the_log_does(site, control, work_dir):
    """S15: cut, or other than their checksums say; it was killed, so nothing newer is there."""
    folder = work_dir / "snapshots"
    keep = ("--snapshots", folder, "--snapshot-every", "1")
    site.publish(0, 1)
    site.start(*keep)
    site.read()
    until(lambda: kept_in(folder), "a snapshot")
    site.kill()
    kept = sorted(folder.glob("*.snapshot"))
    for number, path in enumerate(kept):
        whole = path.read_bytes()
        path.write_bytes(whole[:len(whole) // 2] if number % 2 else
                         whole[:-100] + bytes(byte ^ 1 for byte in whole[-100:]))
    site.start("--snapshots", folder)
    assert site.scorer.stderr.count("not used") == len(kept)
    assert "snapshot loaded" not in site.scorer.stderr
    site.go(2, 3, 4, 5)
    assert site.outcome() == control


# --- a partition that is taken away ---------------------------------------------------------


def test_who_lost_its_partitions_commits_nothing_more(site, control):
    """S5: somebody took them, with a newer epoch; fenced and killed, it goes on where it was."""
    site.publish(0)
    site.start()
    site.read()
    site.scored.run("SELECT postern.take_partition(p, %s, 'the other')"
                    " FROM generate_series(0, %s) AS p", PARTITIONS, PARTITIONS - 1)
    before = site.outcome()
    site.publish(1)
    until(lambda: site.scorer.metric("postern_scorer_fenced_total") > 0, "it is fenced")
    assert "taken over" in site.scorer.stderr
    assert site.outcome() == before
    site.kill()
    site.start()
    site.read()
    site.go(2, 3, 4, 5)
    assert site.outcome() == control


# --- a partition of the table ---------------------------------------------------------------


@pytest.mark.parametrize("bus", ["embedded"], indirect=True)
def test_a_month_that_is_made_within_a_tick_only_repeats_it(site):
    """The dispatcher makes a partition while a tick waits to write into the default one."""
    site.publish(0)
    site.start()
    site.read()
    with site.scored.cluster.connect(site.scored.name) as owner, owner.transaction():
        owner.execute("LOCK TABLE postern.smtp_activity_default IN ACCESS EXCLUSIVE MODE")
        site.publish(1)
        until(lambda: site.scored.ask("SELECT FROM pg_locks WHERE NOT granted AND relation ="
                                      " 'postern.smtp_activity_default'::regclass"), "it waits")
        assert owner.execute("SELECT postern.make_partitions()").fetchone()[0] > 0
    site.read()
    assert site.scorer.metric("postern_scorer_tick_retries_total") > 0
    mails_sent = sum(len(day(number)) for number in (*range(5), 22))
    assert sum(row[2] for row in site.scored.activity()) == mails_sent
    assert site.scorer.stop() == 0


# --- readiness ------------------------------------------------------------------------------


def test_it_is_ready_when_all_its_partitions_are_its_own(site):
    """Not before: the first of them may be live while another one waits for the database."""
    site.publish(0)
    site.start()
    site.read()
    site.kill()
    with site.scored.cluster.connect(site.scored.name) as holder, holder.transaction():
        holder.execute("SELECT FROM postern.bus_offset WHERE partition = 2 FOR UPDATE")
        site.launch()
        until(lambda: site.scored.ask("SELECT FROM pg_locks WHERE NOT granted"), "it waits")
        status, text = readiness(site.scorer)
        assert status == 503
        assert "no partition is ours" in text or "more partitions" in text
    site.wait_ready()
    assert site.scorer.metric("postern_scorer_partitions") == PARTITIONS


@pytest.mark.parametrize("bus", ["kafka"], indirect=True)
def test_it_ends_when_asked_though_the_broker_hangs(site, kafka):
    """It does not wait for an answer to its farewell, and says so; nothing was left unread."""
    site.publish(0)
    site.start()
    site.read()
    kafka.pause()
    try:
        site.wait_hindered("bus is away")
        assert site.scorer.stop() == 0
    finally:
        kafka.resume()
    assert "its group learns that we left" in site.scorer.stderr
    site.bus.next_group()
    site.start()
    site.go(1)
