# SPDX-License-Identifier: Apache-2.0
"""The whole product behind real exporters: the lab runs, and a person would see the right things.

Then the same with kill -9 at each part while the traffic runs: the same verdicts, one block each,
one Message-ID per mail, and no mail twice in the maildir.
"""

import json

import pytest

from installation import Installation, check_outcome, expected_states, lab
from waiting import until


def test_the_running_lab_comes_out_as_it_must(postgres, runner, bus_path, work_dir):
    site = Installation(runner, postgres, f"embedded:{bus_path}", work_dir)
    site.start()
    truth, complaint = work_dir / "truth.json", work_dir / "complaint.eml"
    process = lab("--export-to", f"127.0.0.1:{site.port}", "--truth", truth, "--complaint",
                  complaint)
    assert process.wait(120) == 0
    site.complain(mail=complaint)
    site.wait_idle()
    check_outcome(site, expected_states(truth))
    seen = dict(site.query("SELECT host(exporter), sum(received)::int FROM postern.exporter_loss"
                           " GROUP BY exporter"))
    assert set(seen) == {e["seen_as"] for e in json.loads(truth.read_text())["exporters"]}


def kill_program(name):
    def act(site, _broker):
        site.kill(name)
        site.start(name)
    return act


def kill_database(site, _broker):
    site.postgres.kill()
    site.postgres.start()


def kill_broker(_site, broker):
    broker.kill()
    broker.start()


# In the order in which their work comes.
KILLS = {
    "collector": kill_program("collector"),
    "broker": kill_broker,
    "scorer": kill_program("scorer"),
    "PostgreSQL": kill_database,
    "dispatch-desk": kill_program("dispatch-desk"),
    "dispatch-mail": kill_program("dispatch-mail"),
    "dispatch-enforce": kill_program("dispatch-enforce"),
}


def run_with_kills(site, broker, victims, speed):
    """Replays, and kills the victims one after the other once the first verdict is there."""
    site.start()
    replay = site.start_replay(speed).expect_failure()
    until(lambda: site.verdicts(), "the first verdict", 30)
    for victim in victims:
        assert replay.is_running, f"the replay was over before {victim} could be killed"
        KILLS[victim](site, broker)
    # It notices if it spoke to nobody for a moment.
    assert replay.wait() == 0 or "collector" in victims, replay.describe()
    site.complain()
    site.wait_idle()
    check_outcome(site, expected_states())


@pytest.mark.parametrize("victim", [victim for victim in KILLS if victim != "broker"])
def test_one_kill_in_the_middle_changes_nothing(own_postgres, runner, bus_path, work_dir, victim):
    site = Installation.of_the_recorded_day(runner, own_postgres, f"embedded:{bus_path}", work_dir)
    run_with_kills(site, None, [victim], speed=10)


def test_each_part_killed_once_changes_nothing(own_kafka, own_postgres, runner, work_dir):
    site = Installation.of_the_recorded_day(runner, own_postgres, own_kafka.uri, work_dir)
    run_with_kills(site, own_kafka, KILLS, speed=1)


def test_every_program_ends_when_asked_while_broker_and_database_are_away(
        own_kafka, own_postgres, runner, work_dir):
    site = Installation.of_the_recorded_day(runner, own_postgres, own_kafka.uri, work_dir)
    site.start()
    replay = site.start_replay(10).expect_failure()    # its collector will go
    until(lambda: site.verdicts(), "the first verdict", 30)
    own_kafka.kill()
    own_postgres.kill()
    for name, program in site.running.items():
        status = program.expect_failure().stop(timeout_s=40)
        # What the collector holds is lost to it now, and it says so.
        assert status == 0 or (name == "collector" and status == 1), program.describe()
    replay.stop()
