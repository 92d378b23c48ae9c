# SPDX-License-Identifier: Apache-2.0
"""What goes after a while: by the dispatcher itself, and by hand."""

from desk import ENGLISH, GERMAN
from waiting import until


def flows(desk):
    return desk.value("SELECT count(*) FROM postern.evidence WHERE kind = 'flow'")


def a_history(desk):
    desk.value("SELECT postern.apply_verdict(%s)", desk.verdict(GERMAN))
    desk.value("SELECT postern.apply_complaint(%s)", desk.complaint(ENGLISH))


def test_the_dispatcher_takes_what_is_old_by_itself(desk):
    a_history(desk)
    assert flows(desk) == 16
    desk.advance(hours=24 * 91)
    desk.dispatch("deadline")
    until(lambda: flows(desk) == 0, "the flows are gone")
    assert desk.value("SELECT message_id FROM postern.complaint").startswith("hash:")
    assert desk.value("SELECT count(*) FROM postern.block") == 1


def test_by_hand_it_is_announced_first(desk):
    a_history(desk)
    desk.advance(hours=24 * 91)
    announced = desk.cli("expire", "--dry-run").stdout
    assert "flows of cases" in announced and flows(desk) == 16
    done = desk.cli("expire").stdout.splitlines()
    assert "flows of cases: 16" in done and "flows of verdicts: 1" in done
    assert flows(desk) == 0
    assert {line.rsplit(" ", 1)[1] for line in desk.cli("expire").stdout.splitlines()} == {"0"}
