# SPDX-License-Identifier: Apache-2.0
"""postern freeze, by two people with logins of their own, and the dispatcher that carries it
out."""

import itertools

import pytest
from psycopg import sql

from desk import GERMAN
from waiting import until

numbers = itertools.count(1)
LISTED = ("--list", "zen.example", "--reason", "SBL 4711")


@pytest.fixture
def people(desk):
    """Two officers, each under a login that PostgreSQL knows."""
    names = [f"{name}_{desk.database}_{next(numbers)}" for name in ("alice", "bob")]
    with desk.cluster.connect(desk.database) as connection:
        for name in names:
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN IN ROLE postern_officer").format(
                sql.Identifier(name)))
    yield names
    with desk.cluster.connect(desk.database) as connection:
        for name in names:
            connection.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(
                sql.Identifier(name)))


def test_two_people_and_a_day_freeze_an_address_for_ever(desk, people):
    alice, bob = people
    desk.dispatch("deadline")
    done = desk.cli("freeze", "propose", GERMAN, *LISTED, role=alice)
    assert "freeze-proposed" in done.stdout and "somebody else approves" in done.stdout
    assert desk.state(GERMAN) == "freeze_proposed"
    refused = desk.cli("freeze", "approve", GERMAN, "--reason", "sure", role=alice, status=1,
                       env={"SUDO_USER": "bob"})
    assert "approved by another login" in refused.stderr and alice in refused.stderr
    done = desk.cli("freeze", "approve", GERMAN, "--reason", "looked at it", role=bob)
    assert "freeze-scheduled, for " in done.stdout and "the customer is told" in done.stdout
    text = desk.cli("freeze", "list", role=bob).stdout
    assert alice in text and bob in text and "if confirmed" in text
    assert "freezes" in desk.cli("ip", "show", GERMAN).stdout
    refused = desk.cli("ip", "release", GERMAN, "--reason", "x", role=bob, status=1).stderr
    assert "Reject the freeze proposal first" in refused and "zen.example" in refused
    assert "not earlier" in desk.cli("freeze", "confirm", GERMAN, "--reason", "x", role=bob,
                                     status=1).stderr
    desk.advance(hours=24)
    assert "freeze-confirmed" in desk.cli("freeze", "confirm", GERMAN, "--reason", "still there",
                                          role=bob).stdout
    desk.wait_state(GERMAN, "frozen", 60)
    assert "frozen" in desk.cli("freeze", "list", role=bob).stdout
    refused = desk.cli("ip", "release", GERMAN, "--reason", "x", role=bob, status=1).stderr
    for words in ("frozen for ever", "zen.example", "another address"):
        assert words in refused
    assert "frozen for ever" in desk.cli("freeze", "reject", GERMAN, "--reason", "x", role=bob,
                                         status=1).stderr


def test_a_freeze_that_nobody_confirms_alarms_and_is_taken_back(desk, people):
    alice, bob = people
    desk.cli("freeze", "propose", GERMAN, *LISTED, role=alice)
    desk.cli("freeze", "approve", GERMAN, "--reason", "yes", role=bob)
    desk.advance(hours=24)
    desk.dispatch("deadline")
    until(lambda: "freeze-unconfirmed" in desk.alarms(), "somebody is asked")
    assert desk.state(GERMAN) == "freeze_scheduled"
    done = desk.cli("freeze", "reject", GERMAN, "--reason", "delisted", role=alice)
    assert "state unblocking" in done.stdout and desk.alarms() == []


def test_what_is_never_frozen_is_refused_with_its_reason(desk, people):
    alice, _bob = people
    desk.cli("freeze", "never", "192.0.2.0/28", "--reason", "NAT pool", role=alice)
    assert "NAT pool" in desk.cli("freeze", "never-list", role=alice).stdout
    assert "never frozen: NAT pool" in desk.cli("freeze", "propose", GERMAN, *LISTED, role=alice,
                                                status=1).stderr
    assert "stands there already" in desk.cli("freeze", "never", "192.0.2.0/28", "--reason", "x",
                                              role=alice).stdout
    desk.cli("freeze", "never", "192.0.2.0/28", "--end", "--reason", "sold", role=alice)
    assert "does not stand there" in desk.cli("freeze", "never", "192.0.2.0/28", "--end",
                                              "--reason", "x", role=alice, status=1).stderr


@pytest.mark.parametrize("arguments, status, words", [
    (("propose", GERMAN, "--reason", "x"), 2, "which blocklist"),
    (("propose", GERMAN, "--list", "zen.example"), 2, "needs --reason"),
    (("propose", "somebody", *LISTED), 2, "is no address"),
    (("propose", "198.51.100.1", *LISTED), 1, "belongs to no customer"),
    (("approve", GERMAN, "--reason", "x"), 1, "nothing is known"),
    (("reject", GERMAN), 2, "needs --reason"),
    (("confirm", GERMAN, "--reason", "x"), 1, "No freeze is announced"),
    (("never", "192.0.2.1/28", "--reason", "x"), 2, "did you mean 192.0.2.0/28?"),
    (("never", "192.0.2.0/28"), 2, "needs --reason"),
    (("restore", "/nowhere/file"), 2, "there is no /nowhere/file"),
])
def test_what_cannot_be_says_why(desk, arguments, status, words):
    assert words in desk.cli("freeze", *arguments, status=status).stderr


def test_who_is_no_officer_freezes_nothing(desk):
    for arguments in (("propose", GERMAN, *LISTED), ("never", "192.0.2.0/28", "--reason", "x")):
        done = desk.cli("freeze", *arguments, role="postern_analyst", status=1)
        assert "permission denied" in done.stderr
