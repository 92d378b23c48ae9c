# SPDX-License-Identifier: Apache-2.0
"""postern-dispatch on a real PostgreSQL: every kind of work under its own role, and what happens
when the database goes or the dispatcher dies (docs/recovery.md)."""

import re
import time

import pytest

from desk import ENGLISH, GERMAN, STRANGER, Desk, readiness
from waiting import until

ALL = ("verdict,deadline", "mail", "enforce")


def start_all(desk):
    return [desk.dispatch(work) for work in ALL]


def test_a_verdict_becomes_a_block_an_order_and_a_mail(desk):
    start_all(desk)
    desk.verdict(GERMAN)
    desk.wait_state(GERMAN, "blocked")
    message_id = desk.wait_mail("blocked")
    assert list(desk.delivered()) == [message_id]
    until(lambda: desk.query("SELECT adapter, action, ports, state FROM postern.enforcement")
          == [("null", "block_ports", [25], "applied")], "the order is confirmed")
    assert desk.value("SELECT enforced_at IS NOT NULL FROM postern.block")


def test_work_begins_when_it_is_written_not_when_the_next_poll_comes(desk):
    arguments = list(desk.dispatch_arguments("verdict"))
    arguments[arguments.index("--poll") + 1] = "1h"
    program = desk.runner.start_ready("postern-dispatch", *arguments)
    until(lambda: "connected" in program.stderr, "first round")
    desk.verdict(GERMAN)
    desk.wait_state(GERMAN, "blocked", timeout_s=10)


def test_a_complaint_warns_and_the_deadline_runs_from_the_mails_acceptance(desk):
    verdict = desk.dispatch("verdict")
    desk.complaint(ENGLISH)
    desk.wait_state(ENGLISH, "warned")
    verdict.stop()
    assert desk.value("SELECT deadline FROM postern.warning") is None
    desk.advance(hours=2)
    desk.dispatch("mail")
    desk.wait_mail("warning")
    late = desk.value("SELECT extract(epoch FROM w.deadline - o.accepted_at)"
                      " FROM postern.warning w, postern.outbox o")
    assert abs(float(late) - 24 * 3600) < 1


def test_a_missed_deadline_blocks_and_a_met_one_resolves(desk):
    start_all(desk)
    desk.complaint(ENGLISH, 1)
    desk.complaint(GERMAN, 2)
    desk.wait_mail("warning")
    until(lambda: [m[1] for m in desk.mails()] == ["done", "done"], "both warnings are out")
    desk.advance(hours=6)
    desk.verdict(ENGLISH, "watch", 320)
    desk.advance(hours=19)
    desk.wait_state(ENGLISH, "blocked")
    desk.wait_state(GERMAN, "clear")
    desk.wait_mail("blocked")
    desk.wait_mail("resolved")
    assert desk.query("SELECT host(unit), cause FROM postern.block") == [(ENGLISH, "deadline")]


def test_reminders_are_sent_on_the_way_to_the_deadline(desk):
    start_all(desk)
    desk.complaint(ENGLISH)
    first = desk.wait_mail("warning")
    desk.advance(hours=12, minutes=1)
    reminder = desk.wait_mail("reminder")
    assert desk.delivered()[reminder]["References"] == f"<{first}>"


def test_a_release_opens_the_network_first_and_then_says_so(desk):
    verdict, _, enforce = start_all(desk)
    desk.verdict(GERMAN)
    desk.wait_state(GERMAN, "blocked")
    enforce.stop()
    desk.cli("ip", "release", GERMAN, "--reason", "cleaned up")
    assert desk.state(GERMAN) == "unblocking"
    assert not [m for m in desk.mails() if m[0] == "released"]
    desk.dispatch("enforce")
    desk.wait_state(GERMAN, "clear")
    desk.wait_mail("released")
    assert verdict.is_running


def test_a_verdict_on_nobodys_address_is_kept_and_nobody_is_told(desk):
    desk.dispatch("verdict")
    number = desk.verdict(STRANGER)
    until(lambda: desk.value("SELECT action FROM postern.verdict WHERE id = %s", number)
          == "unassigned", "applied")
    assert desk.mails() == [] and desk.query("SELECT 1 FROM postern.block") == []


def test_a_verdict_that_cannot_be_applied_is_kept_alarms_and_stops_no_other(desk):
    desk.query("DELETE FROM postern.state_transition WHERE state = 'clear'"
               " AND event = 'verdict_block'")
    program = desk.dispatch("verdict")
    bad = desk.verdict(GERMAN)
    desk.verdict(ENGLISH, "flag", 700)
    desk.wait_state(ENGLISH, "warned")
    until(lambda: desk.value("SELECT apply_error FROM postern.verdict WHERE id = %s", bad),
          "the error is kept")
    assert "apply-error" in desk.alarms()
    assert desk.value("SELECT applied_at FROM postern.verdict WHERE id = %s", bad) is None
    assert program.is_running
    assert program.metric("postern_dispatch_rows_total") == 2


def test_two_dispatchers_apply_every_verdict_once(desk):
    programs = [desk.dispatch("verdict") for _ in range(2)]
    units = [f"192.0.2.{n}" for n in range(32)]
    for unit in units:
        desk.verdict(unit)
    until(lambda: desk.value("SELECT count(*) FROM postern.verdict WHERE applied_at IS NULL") == 0,
          "all are applied")
    assert desk.value("SELECT count(*) FROM postern.block") == len(units)
    assert desk.value("SELECT count(*) FROM postern.outbox") == len(units)
    assert all(program.is_running for program in programs)


def test_kill_9_at_any_moment_gives_each_unit_one_block_and_one_mail(desk):
    units = [f"192.0.2.{n}" for n in range(32)]
    for unit in units:
        desk.verdict(unit)
    left = "SELECT count(*) FROM postern.verdict WHERE applied_at IS NULL"
    while (before := desk.value(left)) > 0:
        program = desk.runner.start("postern-dispatch",
                                    *desk.dispatch_arguments("verdict,deadline"))
        until(lambda: desk.value(left) < before, "some are applied", pause_s=0.001)
        program.kill()
    assert desk.value("SELECT count(*) = count(DISTINCT unit) FROM postern.block")
    assert desk.value("SELECT count(*) FROM postern.block") == len(units)
    assert desk.value("SELECT count(*) FROM postern.outbox") == len(units)


def test_kill_9_while_deadlines_pass_fires_each_once(desk):
    units = [f"192.0.2.{n}" for n in range(32)]
    for number, unit in enumerate(units):
        assert desk.value("SELECT postern.apply_complaint(%s)",
                          desk.complaint(unit, number)) == "warned"
    mail = desk.dispatch("mail")
    until(lambda: {m[1] for m in desk.mails()} == {"done"}, "all warnings are out")
    mail.stop()
    desk.advance(hours=25)
    left = "SELECT count(*) FROM postern.timer WHERE fired_at IS NULL AND due_at <= postern.now()"
    while (before := desk.value(left)) > 0:
        program = desk.runner.start("postern-dispatch", *desk.dispatch_arguments("deadline"))
        until(lambda: desk.value(left) < before, "some are fired", pause_s=0.001)
        program.kill()
    assert desk.query("SELECT state, count(*) FROM postern.warning GROUP BY 1") == [
        ("resolved", len(units))]
    assert desk.query("SELECT count(*), count(DISTINCT unit) FROM postern.outbox"
                      " WHERE kind = 'resolved'") == [(len(units), len(units))]


def test_orders_of_a_killed_dispatcher_are_carried_out_by_the_next(desk):
    desk.dispatch("verdict")
    desk.verdict(GERMAN)
    desk.wait_state(GERMAN, "blocked")
    desk.query("SELECT * FROM postern.claim_orders('null', 'one that died', 10)")
    desk.dispatch("enforce")
    desk.advance(minutes=2)
    until(lambda: desk.value("SELECT state FROM postern.enforcement") == "applied", "confirmed")


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_database_that_goes_and_comes_back_is_waited_for(own_desk, how):
    programs = start_all(own_desk)
    getattr(own_desk.cluster, how)()
    for program in programs:
        until(lambda: readiness(program)[0] == 503, "/readyz says so")
        assert "database" in readiness(program)[1]
    own_desk.cluster.start()
    own_desk.verdict(GERMAN)
    own_desk.wait_state(GERMAN, "blocked")
    own_desk.wait_mail("blocked")
    assert len(own_desk.delivered()) == 1
    for program in programs:
        until(lambda: readiness(program)[0] == 200, "ready again")
        assert program.stop() == 0


def test_it_starts_while_the_database_is_away(own_desk):
    own_desk.cluster.stop()
    program = own_desk.runner.start("postern-dispatch", *own_desk.dispatch_arguments("verdict"))
    until(lambda: "away" in program.stderr, "it says so")
    own_desk.cluster.start()
    own_desk.verdict(GERMAN)
    own_desk.wait_state(GERMAN, "blocked")


def test_an_idle_dispatcher_asks_at_most_once_a_second(desk):
    desk.query(f"ALTER DATABASE {desk.database} SET track_functions = 'all'")
    calls = ("SELECT coalesce(sum(calls), 0) FROM pg_stat_user_functions"
             " WHERE funcname IN ('claim_verdicts', 'claim_complaints', 'due_timers')")
    desk.dispatch("verdict,deadline", "--poll", "1s")
    until(lambda: desk.value(calls) >= 3, "the first round is counted")
    before, seconds = desk.value(calls), 10
    time.sleep(seconds)
    # PostgreSQL counts with some delay.
    assert 3 <= desk.value(calls) - before <= seconds + 3


def test_it_ends_in_order_on_sigterm(desk):
    assert desk.dispatch("verdict,deadline,enforce").stop() == 0


def test_an_empty_database_is_named_and_ends_it(runner, postgres, database):
    done = runner.run("postern-dispatch", "--database", postgres.conninfo(database), "--work",
                      "verdict", status=2)
    assert "postern schema install" in done.stderr


@pytest.mark.parametrize("arguments, words", [
    ((), "--database is missing"),
    (("--database", "dbname=x"), "--work is missing"),
    (("--database", "dbname=x", "--work", "dnsbl"), "comes with the blocklist checks"),
    (("--database", "dbname=x", "--work", "verdict,sweep"), "there is no such work"),
    (("--database", "dbname=x", "--work", "mail"), "needs --mail"),
    (("--database", "dbname=x", "--work", "mail", "--mail", "ftp://x"), "smtp://HOST"),
    (("--database", "dbname=x", "--work", "enforce", "--adapters", "nft"), "this version has null"),
    (("--database", "nonsense", "--work", "verdict"), "connection string cannot be read"),
    (("--colour",), "--colour"),
])
def test_wrong_use_is_explained(runner, arguments, words):
    done = runner.run("postern-dispatch", *arguments, status=2)
    assert words in done.stderr
    assert not re.search(r"\bCRITICAL\b|assert", done.stderr)


def test_help_names_every_kind_of_work(runner):
    text = runner.run("postern-dispatch", "--help").stdout
    for word in ("verdict", "deadline", "mail", "enforce", "dnsbl", "Exit status"):
        assert word in text


def test_shadow_mode_records_and_tells_nobody(runner, postgres, work_dir, desk_template):
    desk = Desk(runner, postgres, work_dir, desk_template)
    desk.cli("mode", "shadow")
    start_all(desk)
    desk.verdict(GERMAN)
    until(lambda: desk.query("SELECT action FROM postern.verdict WHERE applied_at IS NOT NULL")
          == [("shadow-blocked",)], "recorded")
    assert desk.mails() == [] and desk.query("SELECT 1 FROM postern.enforcement") == []
    assert "blocked 1: 1 addresses" in desk.cli("mode", "enforce", "--yes").stdout
