# SPDX-License-Identifier: Apache-2.0
"""The scorer between a real bus and a real PostgreSQL: what it writes, and that a kill -9 at any
moment changes nothing of it (docs/recovery.md, S1 to S10)."""

import json
import random
import shutil
import subprocess
import time

import pytest

from desk import make_template
from letters import BROKEN_REPORT, REPORT
from program import Runner
from scoring import PARTITIONS, SECOND, Scored, ends_of, flow, lines
from waiting import until

T0 = 1777638896 * 10**9
BAD, MILD = "192.0.2.10", "198.51.100.20"
NETWORKS = "192.0.2.0/24,198.51.100.0/24"


def traffic(seconds=120):
    """One unit bursts at 5/s, another sends a mail every 10 s, in the order of export."""
    flows = []
    for n in range(seconds * 5):
        flows.append(flow(BAD, f"203.0.{n // 200}.{n % 200 + 1}", T0 + n * SECOND // 5,
                          20000 + n % 40000))
        if n % 50 == 0:
            flows.append(flow(MILD, f"203.0.113.{n // 50 % 200 + 1}", T0 + n * SECOND // 5,
                              30000 + n))
    return flows


def has_read_all(desk, bus_path):
    return desk.has_read(ends_of(bus_path))


@pytest.fixture
def desk(postgres, desk_template):
    own = Scored(postgres, desk_template)
    yield own
    own.drop()


@pytest.fixture
def publish(programs):
    def put(uri, flows, producer="collector", epoch=1, copies=1, partitions=PARTITIONS):
        subprocess.run([programs("flowcat"), "publish", uri, str(partitions), producer, str(epoch),
                        str(copies)], input=lines(flows), check=True)
    return put


@pytest.fixture
def start(runner, bus_path):
    """start(desk) runs a scorer and waits until it is ready."""
    def go(desk, *more, bus=None):
        return runner.start_ready("postern-scorer", "--bus", bus or f"embedded:{bus_path}",
                                  "--database", desk.conninfo, *more)
    return go


@pytest.fixture(scope="module")
def expected(programs, postgres, desk_template, session_dir):
    """What an undisturbed scorer writes for traffic(), on an embedded bus."""
    folder = session_dir / "scorer-reference"
    folder.mkdir()
    bus = folder / "bus.db"
    desk = Scored(postgres, desk_template)
    subprocess.run([programs("flowcat"), "publish", f"embedded:{bus}", str(PARTITIONS), "collector",
                    "1"], input=lines(traffic()), check=True)
    runner = Runner(programs, folder)
    scorer = runner.start_ready("postern-scorer", "--bus", f"embedded:{bus}", "--database",
                                desk.conninfo)
    until(lambda: has_read_all(desk, bus), f"everything read\n{scorer.stderr}")
    assert scorer.stop() == 0
    runner.clean_up()
    result = desk.result()
    desk.drop()
    return result


def bands(verdicts):
    return [(unit, band) for unit, _, band, *_ in verdicts]


def test_a_burst_crosses_each_band_once_and_a_trickle_none(expected):
    verdicts, activity, loss = expected
    assert bands(verdicts) == [(BAD, "watch"), (BAD, "flag"), (BAD, "block")]
    assert sum(row[2] for row in activity if row[0] == BAD) == 600
    assert sum(row[2] for row in activity if row[0] == MILD) == 12
    assert loss == [(612,)]


def test_a_backtest_of_the_same_flows_says_the_same(runner, work_dir, expected):
    path = work_dir / "flows.json"
    path.write_bytes(lines(traffic()))
    done = runner.run("postern-scorer", "--backtest", "--networks", NETWORKS, "--format", "json",
                      path)
    *verdicts, last = map(json.loads, done.stdout.splitlines())
    assert [(one["unit"], one["band"]) for one in verdicts] == bands(expected[0])
    assert [one["score"] for one in verdicts] == [row[7] for row in expected[0]]
    assert last["summary"]["flows"] == 612
    assert last["summary"]["units"] == 2
    assert last["summary"]["refused"] == 0


def test_batches_sent_twice_count_once(desk, publish, start, bus_path, expected):
    publish(f"embedded:{bus_path}", traffic(), copies=2)
    scorer = start(desk)
    until(lambda: has_read_all(desk, bus_path), "everything read")
    assert scorer.metric("postern_scorer_duplicates_total") > 0
    verdicts, activity, loss = desk.result()
    for ours, theirs in zip(verdicts, expected[0], strict=True):
        assert ours[:5] + ours[6:] == theirs[:5] + theirs[6:], "all but the position"
    assert (activity, loss) == expected[1:]


QUICK = ("--bus-options", "session.timeout.ms=6000;heartbeat.interval.ms=500")


class Place:
    """A bus of either kind, and what its scorers need to be told."""

    def __init__(self, uri, options, sessions):
        self.uri = uri
        self.options = options
        self.sessions = sessions    # on Kafka a killed reader keeps its partitions for 6 s

    @staticmethod
    def has_read_all(desk):
        return sum(row[2] for row in desk.activity()) == 612


@pytest.fixture(params=["embedded", "kafka"])
def place(request, bus_path):
    """One after the other: a bus in a file, a real broker of this test's own."""
    if request.param == "embedded":
        return Place(f"embedded:{bus_path}", (), 6)
    return Place(request.getfixturevalue("own_kafka").uri, QUICK, 2)


@pytest.mark.parametrize(("place", "seed"), [("embedded", 0), ("embedded", 1), ("kafka", 2)],
                         indirect=["place"])
def test_kill_9_at_any_moment_changes_nothing(desk, publish, start, place, expected, seed):
    """S1 to S4, S9: killed while it rebuilds, reads, writes and commits."""
    moments = random.Random(seed)
    flows = traffic()
    kills = place.sessions
    for number in range(kills):
        part = flows[number * len(flows) // kills:(number + 1) * len(flows) // kills]
        publish(place.uri, part, epoch=number + 1)
        read = sum(row[2] for row in desk.activity())
        scorer = start(desk, *place.options, bus=place.uri)
        if place.options:    # it gets its partitions when the dead one's session is over
            until(lambda: sum(row[2] for row in desk.activity()) > read, "it reads", pause_s=0,
                  timeout_s=60)
        time.sleep(moments.uniform(0, 1.5))    # the moment is the experiment
        scorer.kill()
    start(desk, *place.options, bus=place.uri)
    until(lambda: place.has_read_all(desk), "everything read", timeout_s=60)
    same_but_positions(desk.result(), expected)


def same_but_positions(result, expected):
    """Other batches have other positions; all else must be equal."""
    for ours, theirs in zip(result[0], expected[0], strict=True):
        assert ours[:5] + ours[6:] == theirs[:5] + theirs[6:]
    assert result[1:] == expected[1:]


def test_postgresql_killed_within_ticks(own_postgres, publish, runner, start, place, expected):
    """S6: the tick in hand waits, /readyz says so, and it is written once."""
    desk = Scored(own_postgres, make_template(runner, own_postgres))
    flows = traffic()
    publish(place.uri, flows[:200])
    scorer = start(desk, bus=place.uri)
    until(lambda: sum(row[2] for row in desk.activity()) == 200, "the first are read",
          timeout_s=60)
    for number in range(2):
        own_postgres.kill()
        publish(place.uri, flows[200 + number * 200:400 + number * 200], epoch=number + 2)
        until(lambda: "database is away" in readiness(scorer), "it says that the database is away")
        own_postgres.start()
        scorer.wait_ready(f"{scorer.url}/readyz")
    publish(place.uri, flows[600:], epoch=9)
    until(lambda: place.has_read_all(desk), "everything read", timeout_s=60)
    same_but_positions(desk.result(), expected)
    assert scorer.stop() == 0


def test_starts_without_its_database_and_says_so(own_postgres, publish, runner, bus_path,
                                                 free_port):
    desk = Scored(own_postgres, make_template(runner, own_postgres))
    publish(f"embedded:{bus_path}", traffic(5))
    own_postgres.stop()
    port = free_port()
    scorer = runner.start("postern-scorer", "--bus", f"embedded:{bus_path}", "--database",
                          desk.conninfo, "--metrics", f"127.0.0.1:{port}")
    scorer.url = f"http://127.0.0.1:{port}"
    until(lambda: "database is away" in readiness(scorer), "it says that the database is away")
    own_postgres.start()
    until(lambda: has_read_all(desk, bus_path), "everything read")
    assert scorer.stop() == 0


def readiness(program):
    done = subprocess.run(["curl", "-s", f"{program.url}/readyz"], capture_output=True, text=True,
                          check=False)
    return done.stdout


def test_a_scorer_whose_partition_was_taken_commits_nothing(desk, publish, start, bus_path):
    """S5: a newer epoch in the database fences it."""
    publish(f"embedded:{bus_path}", traffic(10))
    scorer = start(desk)
    until(lambda: has_read_all(desk, bus_path), "everything read")
    desk.run("SELECT postern.take_partition(p, %s, 'the other') FROM generate_series(0, %s) AS p",
             PARTITIONS, PARTITIONS - 1)
    before = desk.result(), desk.positions()
    publish(f"embedded:{bus_path}", traffic(60)[50:], epoch=2)
    until(lambda: scorer.metric("postern_scorer_fenced_total") > 0, "it is fenced")
    assert (desk.result(), desk.positions()) == before
    assert "taken over" in scorer.stderr


def test_a_decision_is_applied_once_and_again_at_its_place(desk, publish, start, bus_path):
    """S8: a release restarts the unit; a rebuild repeats it before the same message."""
    flows = traffic(240)
    uri = f"embedded:{bus_path}"
    publish(uri, flows[:400])
    scorer = start(desk)
    until(lambda: has_read_all(desk, bus_path), "the first half read")
    desk.run("INSERT INTO postern.scorer_input (kind, unit, created_at)"
             " VALUES ('released', %s, postern.now())", BAD)
    publish(uri, flows[400:500], epoch=2)
    until(lambda: has_read_all(desk, bus_path), "the release's tick")
    applied = desk.ask("SELECT partition, input_id, position FROM postern.scorer_input_applied"
                       " ORDER BY 1")
    assert applied
    scorer.kill()
    publish(uri, flows[500:], epoch=3)
    start(desk)
    until(lambda: has_read_all(desk, bus_path), "the rest read")
    verdicts = desk.verdicts()
    episodes = {episode for unit, episode, *_ in verdicts if unit == BAD}
    assert len(episodes) == 2, "the release ended the first episode"
    again = desk.ask("SELECT partition, input_id, position FROM postern.scorer_input_applied"
                     " WHERE partition = ANY (%s) ORDER BY 1", [row[0] for row in applied])
    assert again == applied


def test_another_number_of_partitions_is_refused(desk, publish, runner, start, bus_path, work_dir):
    publish(f"embedded:{bus_path}", traffic(5))
    start(desk).stop()
    other = work_dir / "other.db"
    publish(f"embedded:{other}", traffic(5), partitions=PARTITIONS + 1)
    done = runner.run("postern-scorer", "--bus", f"embedded:{other}", "--database", desk.conninfo,
                      status=2)
    assert "5 partitions" in done.stderr and "4" in done.stderr


def test_a_database_without_the_schema_is_named_with_the_remedy(postgres, database, publish, runner,
                                                               bus_path):
    publish(f"embedded:{bus_path}", traffic(5))
    done = runner.run("postern-scorer", "--bus", f"embedded:{bus_path}", "--database",
                      postgres.conninfo(database), status=2)
    assert "postern schema install" in done.stderr


def test_ends_in_order_and_goes_on_where_it_stood(desk, publish, start, bus_path, expected):
    flows = traffic()
    publish(f"embedded:{bus_path}", flows[:300])
    assert start(desk).stop() == 0
    publish(f"embedded:{bus_path}", flows[300:], epoch=2)
    scorer = start(desk)
    until(lambda: has_read_all(desk, bus_path), "everything read")
    assert scorer.stop() == 0
    same_but_positions(desk.result(), expected)


def test_a_bus_that_was_moved_away_starts_over(desk, publish, start, bus_path):
    """S10, after the remedy: positions move back, no verdict is written twice."""
    publish(f"embedded:{bus_path}", traffic(60))
    scorer = start(desk)
    until(lambda: has_read_all(desk, bus_path), "everything read")
    scorer.stop()
    verdicts = desk.verdicts()
    shutil.move(bus_path, f"{bus_path}.away")
    publish(f"embedded:{bus_path}", traffic(20), epoch=2)
    scorer = start(desk)
    until(lambda: "this is another bus" in scorer.stderr, "it says so")
    until(lambda: desk.positions() and all(
        desk.positions()[p] == end for p, end in ends_of(bus_path).items()), "read again")
    assert desk.verdicts() == verdicts


def test_a_damaged_bus_stops_it_with_the_remedy(desk, publish, runner, bus_path):
    publish(f"embedded:{bus_path}", traffic(5))
    with open(bus_path, "r+b") as file:
        file.write(b"this is no database at all" * 100)
    done = runner.run("postern-scorer", "--bus", f"embedded:{bus_path}", "--database",
                      desk.conninfo, status=1)
    assert str(bus_path) in done.stderr


def test_two_scorers_share_a_kafka_bus_and_one_dies(own_kafka, desk, publish, start, expected):
    """S5 on Kafka: the survivor takes the dead one's partitions over and rebuilds them."""
    flows = traffic()
    uri = own_kafka.uri
    publish(uri, flows[:300])
    quick = ("--bus-options", "session.timeout.ms=6000;heartbeat.interval.ms=500")
    first = start(desk, *quick, bus=uri)
    until(lambda: sum(p > 0 for p in desk.positions().values()) >= 2, "the first half read")
    second = start(desk, *quick, bus=uri)
    publish(uri, flows[300:450], epoch=2)
    first.kill()
    publish(uri, flows[450:], epoch=3)
    until(lambda: len(desk.activity()) and sum(row[2] for row in desk.activity()) == 612,
          "everything read", timeout_s=60)
    same_but_positions(desk.result(), expected)
    assert second.metric("postern_scorer_partitions") == PARTITIONS


def test_partitions_move_between_living_scorers_on_kafka(own_kafka, desk, publish, start, expected,
                                                         work_dir):
    """S5, S16a: both topics of a partition go together, nobody is fenced, nothing is left unread,
    and who gets it begins with the snapshot that was left when it was given up."""
    flows = traffic()
    uri = own_kafka.uri
    shared = ("--snapshots", work_dir / "shared", "--snapshot-every", "3600")
    publish(uri, flows[:200])
    first = start(desk, *shared, bus=uri)
    until(lambda: sum(row[2] for row in desk.activity()) == 200, "the first are read",
          timeout_s=60)
    second = start(desk, *shared, bus=uri)

    def held():
        return (first.metric("postern_scorer_partitions"),
                second.metric("postern_scorer_partitions"))
    until(lambda: held() == (PARTITIONS / 2, PARTITIONS / 2), "they share", timeout_s=60)
    for scorer in first, second:
        until(lambda: scorer.metric("postern_scorer_partitions_rebuilding") == 0, "they are live")
    assert kept_in(work_dir / "shared")
    assert "snapshot loaded" in first.stderr + second.stderr
    assert second.metric("postern_scorer_rebuild_messages_total") == 0
    publish(uri, flows[200:400], epoch=2)
    until(lambda: sum(row[2] for row in desk.activity()) == 400, "both read", timeout_s=60)
    assert second.stop() == 0
    publish(uri, flows[400:], epoch=3)
    until(lambda: sum(row[2] for row in desk.activity()) == 612, "everything read", timeout_s=60)
    same_but_positions(desk.result(), expected)
    assert first.metric("postern_scorer_partitions") == PARTITIONS
    assert first.metric("postern_scorer_fenced_total") == 0


def test_a_kafka_broker_killed_and_back(own_kafka, desk, publish, start, expected):
    """C6, S1: what was acknowledged is there, and is read once."""
    flows = traffic()
    publish(own_kafka.uri, flows[:300])
    scorer = start(desk, bus=own_kafka.uri)
    until(lambda: sum(row[2] for row in desk.activity()) > 0, "some of it is read")
    own_kafka.kill()
    until(lambda: "bus is away" in readiness(scorer), "it says that the bus is away")
    own_kafka.start()
    publish(own_kafka.uri, flows[300:], epoch=2)
    until(lambda: sum(row[2] for row in desk.activity()) == 612, "everything read", timeout_s=60)
    scorer.wait_ready(f"{scorer.url}/readyz")
    same_but_positions(desk.result(), expected)


def kept_in(folder, pattern="*.snapshot"):
    return sorted(path.name for path in folder.glob(pattern))


def test_snapshots_make_a_start_quick_and_change_nothing(desk, publish, start, bus_path, expected,
                                                         work_dir):
    """S14, S15: after SIGTERM nothing is read again; without snapshots everything is."""
    flows = traffic()
    state = work_dir / "state"
    state.mkdir()
    publish(f"embedded:{bus_path}", flows[:300])
    scorer = start(desk, "--state", state)
    until(lambda: has_read_all(desk, bus_path), "the first half read")
    assert scorer.stop() == 0
    kept = kept_in(state / "snapshots")
    assert len(kept) == len(ends_of(bus_path))
    scorer = start(desk, "--state", state)
    until(lambda: scorer.stderr.count("snapshot loaded") == len(kept), "all are loaded")
    assert scorer.metric("postern_scorer_rebuild_messages_total") == 0
    publish(f"embedded:{bus_path}", flows[300:], epoch=2)
    until(lambda: has_read_all(desk, bus_path), "everything read")
    assert scorer.stop() == 0
    for path in (state / "snapshots").iterdir():
        path.write_bytes(path.read_bytes()[:100])
    before = desk.result()
    scorer = start(desk, "--state", state)
    until(lambda: scorer.metric("postern_scorer_rebuild_messages_total") > 0, "it reads again")
    assert scorer.stderr.count("not used") == len(kept_in(state / "snapshots"))
    assert desk.result() == before
    # the key of the folder is another one than the reference's, and samples are drawn by it
    assert bands(before[0]) == bands(expected[0])
    assert before[1:] == expected[1:]


def test_kill_9_while_a_snapshot_is_written_changes_nothing(desk, publish, start, place, expected,
                                                            work_dir):
    """S14: what is half written is never used, and is removed; the verdicts stay."""
    moments = random.Random(1)
    folder = work_dir / "snapshots"
    options = (*place.options, "--snapshots", folder, "--snapshot-every", "1",
               "--novelty-memory", "64M")
    flows = traffic()
    kills = place.sessions
    caught = 0
    for number in range(kills):
        part = flows[number * len(flows) // kills:(number + 1) * len(flows) // kills]
        publish(place.uri, part, epoch=number + 1)
        scorer = start(desk, *options, bus=place.uri)
        until(lambda: kept_in(folder, "*.part-*") or place.has_read_all(desk),
              "it writes one, or is idle", pause_s=0, timeout_s=60)
        time.sleep(moments.uniform(0, 0.1))    # the moment is the experiment
        scorer.kill()
        caught += bool(kept_in(folder, "*.part-*"))
    scorer = start(desk, *options, bus=place.uri)
    until(lambda: place.has_read_all(desk), "everything read", timeout_s=60)
    until(lambda: scorer.metric("postern_scorer_partitions") == PARTITIONS, "all are its own",
          timeout_s=60)
    assert scorer.stop() == 0
    same_but_positions(desk.result(), expected)
    assert not kept_in(folder, "*.part-*")
    assert kept_in(folder)
    print(f"killed {caught} times while it wrote")


def test_a_partition_that_moves_on_kafka_comes_from_the_shared_snapshot(own_kafka, desk, publish,
                                                                        start, expected, work_dir):
    """S16: killed or stopped, the other scorer begins with what the first one left in the shared
    folder: no verdict twice, none lost, no cold start."""
    flows = traffic()
    uri = own_kafka.uri
    options = ("--bus-options", "session.timeout.ms=6000;heartbeat.interval.ms=500",
               "--snapshots", work_dir / "shared", "--snapshot-every", "1")
    publish(uri, flows[:300])
    first = start(desk, *options, bus=uri)
    until(lambda: sum(row[2] for row in desk.activity()) == 300, "the first half read")
    until(lambda: kept_in(work_dir / "shared"), "a snapshot")
    publish(uri, flows[300:450], epoch=2)
    first.kill()
    second = start(desk, *options, bus=uri)
    publish(uri, flows[450:600], epoch=3)
    until(lambda: "snapshot loaded" in second.stderr, "it begins with a snapshot", timeout_s=60)
    assert second.stop() == 0
    third = start(desk, *options, bus=uri)
    publish(uri, flows[600:], epoch=4)
    until(lambda: sum(row[2] for row in desk.activity()) == 612, "everything read", timeout_s=60)
    same_but_positions(desk.result(), expected)
    assert "snapshot loaded" in third.stderr


def test_a_complaint_mail_becomes_one_row_however_often_it_comes(desk, runner, start, publish,
                                                                bus_path):
    """I1, I2: the mail server runs intake again."""
    uri = f"embedded:{bus_path}"
    publish(uri, traffic(1))
    for _ in range(2):
        runner.run("postern-intake", "--bus", uri, "--partitions", PARTITIONS, "-", stdin=REPORT)
    broken = BROKEN_REPORT.replace("report-1", "report-2")
    runner.run("postern-intake", "--bus", uri, "--partitions", PARTITIONS, "-", stdin=broken)
    scorer = start(desk)
    until(lambda: desk.ask("SELECT FROM postern.complaint_unparsed"), "the unreadable one")
    until(lambda: scorer.metric("postern_scorer_complaints_total") == 3, "all are handed on")
    rows = desk.ask("SELECT host(source_ip), category, message_id FROM postern.complaint")
    assert rows == [("192.0.2.77", "spam", "spam-1@customer.example")]
    scorer.kill()
    second = start(desk)
    until(lambda: second.metric("postern_scorer_partitions") == PARTITIONS, "it has begun again")
    assert second.stop() == 0
    assert len(desk.ask("SELECT FROM postern.complaint")) == 1


def test_says_what_is_missing(runner):
    assert "--bus is missing" in runner.run("postern-scorer", status=2).stderr
    assert "--database is missing" in runner.run("postern-scorer", "--bus", "embedded:/x",
                                                 status=2).stderr
    assert "needs at least one FILE" in runner.run("postern-scorer", "--backtest", status=2).stderr
    assert "neither" in runner.run("postern-scorer", "--backtest", "--networks", "/nonexistent",
                                   "-", status=2, stdin="").stderr
    assert runner.run("postern-scorer", "--help").stdout.count("--backtest") >= 2
