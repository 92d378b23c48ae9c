# SPDX-License-Identifier: Apache-2.0
"""Every question of docs/sql-cookbook.md has its known answer over a small history.

Asked as postern_analyst, in one database: a block, a false alarm of the quarter before, a customer
who was blocked before and is warned again, a warning that nobody took, a verdict on an address of
nobody.
"""

import datetime
import ipaddress
import re

import pytest

from conftest import ROOT
from desk import ENGLISH, GERMAN, STRANGER

ALARM, OLD, AGAIN, UNHEARD = "192.0.2.2", ENGLISH, "192.0.2.18", "192.0.2.19"


def block(desk, unit):
    number = desk.verdict(unit)
    assert desk.value("SELECT postern.apply_verdict(%s)", number) == "blocked"
    return number


def release(desk, unit, *more):
    desk.cli("ip", "release", unit, "--reason", "cleaned up", *more)
    desk.value("SELECT postern.order_outcome('null', %s, desired_generation, 'done', '')"
               " FROM postern.enforcement WHERE unit = %s", unit, unit)
    assert desk.state(unit) == "clear"


def move_back(desk, unit, number, to):
    """The block and its verdict were then, and lasted a day."""
    desk.query("UPDATE postern.verdict SET first_at = {0} - interval '1 minute' WHERE id = %s"
               .format(to), number)
    desk.query(f"UPDATE postern.block SET during = tstzrange({to}, {to} + interval '1 day')"
               " WHERE unit = %s", unit)


def warn(desk, unit, number):
    complaint = desk.complaint(unit, number)
    assert desk.value("SELECT postern.apply_complaint(%s)", complaint) == "warned"


def more_history(desk):
    """A neighbourhood, a complaint about nobody, a quiet router, an exemption, a shadow."""
    desk.query("UPDATE postern.verdict SET reasons = reasons || %s::jsonb WHERE unit = %s",
               '[{"name": "neighbourhood"}]', GERMAN)
    desk.value("SELECT postern.apply_complaint(%s)", desk.complaint("203.0.113.77", 3))
    desk.query("INSERT INTO postern.exporter_ledger VALUES"
               " ('203.0.113.9', 7, 1, 9, 9, 10, 0, 0, now() - interval '1 minute'),"
               " ('203.0.113.10', 0, 1, 9, 9, 9, 0, 0, now() - interval '1 hour')")
    desk.query("SELECT postern.ip_exempt('192.0.2.3', 500, now() + interval '1 day',"
               " 'newsletter', 'alice')")
    desk.query("SELECT postern.never_block_add('192.0.2.4', 'our relay', 'alice')")
    desk.query("INSERT INTO postern.shadow_action (case_id, unit, customer, action, at, reason)"
               " SELECT id, unit, customer, 'warned', now(), 'Two.' FROM postern.spam_case"
               " WHERE unit = %s AND closed_at IS NULL", OLD)
    desk.query("UPDATE postern.outbox SET accepted_at = created_at + interval '1 minute',"
               " state = 'done' WHERE unit = %s AND kind = 'warning'", OLD)
    # Three blocks within the hour, each soon after the release before.
    desk.query("INSERT INTO postern.block (unit, customer, case_id, scope, ports, during, level,"
               " hold_until, cause, reason, actor, released_by)"
               " SELECT unit, customer, case_id, scope, ports, tstzrange(now() - minutes, now() -"
               " minutes + interval '5 minutes'), level, now(), cause, reason, actor, 'customer'"
               " FROM postern.block, unnest(ARRAY['60 minutes', '45 minutes', '30 minutes']"
               "::interval[]) AS minutes WHERE unit = %s", AGAIN)


@pytest.fixture
def history(desk):
    number = block(desk, ALARM)
    release(desk, ALARM, "--false-positive")
    move_back(desk, ALARM, number, "(date_trunc('quarter', now()) - interval '10 days')")
    number = block(desk, OLD)
    release(desk, OLD)
    move_back(desk, OLD, number, "(now() - interval '200 days')")
    warn(desk, OLD, 1)
    desk.query("UPDATE postern.warning SET state = 'running', deadline = now() - interval '1 h',"
               " accepted_at = now() - interval '25 h' WHERE unit = %s", OLD)
    warn(desk, UNHEARD, 2)
    desk.query("UPDATE postern.warning SET state = 'suspended' WHERE unit = %s", UNHEARD)
    desk.query("UPDATE postern.outbox SET state = 'failed', attempts = 1, code = 550,"
               " detail = 'not wanted' WHERE unit = %s", UNHEARD)
    block(desk, GERMAN)
    block(desk, AGAIN)
    desk.query("SELECT postern.order_outcome('null', %s, 1, 'done', '')", AGAIN)
    desk.query("SELECT postern.order_outcome('null', %s, 1, 'refused', 'no such interface')",
               GERMAN)
    desk.value("SELECT postern.apply_verdict(%s)", desk.verdict(STRANGER, "flag", 700))
    desk.query("INSERT INTO postern.smtp_activity VALUES"
               " (%s, {0} - interval '14 hours', 420, 380, 99999, 2000, 105, 1),"
               " (%s, {0} - interval '13 hours', 10, 5, 999, 20, 0, 1),"
               " (%s, {0}, 999, 9, 999, 20, 0, 1)".format("date_trunc('day', now(), 'UTC')"),
               GERMAN, ENGLISH, ENGLISH)
    desk.query("INSERT INTO postern.exporter_loss (hour, exporter, domain, received, lost_network)"
               " VALUES (date_trunc('hour', now()), '203.0.113.9', 7, 9800, 200)")
    more_history(desk)
    desk.query("SELECT postern.raise_alarm('no-contact', 'C-9', 'nobody to write to')")
    return desk


def questions():
    text = (ROOT / "docs/sql-cookbook.md").read_text()
    return dict(re.findall(r"^## (.*?)\n.*?^```sql\n(.*?)^```", text, re.M | re.S))


# The question: the columns to look at, and their rows in the order of the query.
ANSWERS = {
    "What is closed right now, and who may open it himself?": (
        "unit customer level ports unblockable",
        [(AGAIN, "C-2", 1, (25,), False), (GERMAN, "C-1", 1, (25,), False)]),
    "What is the history of this address over its tenants?": (
        "what customer text",
        [("assigned", "C-1", "192.0.2.0/28 vps vps-1"),
         ("verdict block", "C-1", "420 new mail connections."),
         ("state blocked", "C-1", "verdict block from clear"),
         ("mail blocked", "C-1", "to post@mueller.example pending"),
         ("hold ends", "C-1", "level 1, ports")]),
    "What is known about this net?": (
        "unit state level blocks",
        [(GERMAN, "blocked", 1, 1), (ALARM, "clear", 0, 1), (OLD, "warned", 1, 1),
         (AGAIN, "blocked", 1, 4), (UNHEARD, "warned", 0, 0)]),
    "Who will miss a deadline today and has been blocked before?": (
        "unit customer blocks_before then_scope", [(OLD, "C-2", 1, "ports")]),
    "Which warnings wait for a person?": ("unit state", [(UNHEARD, "suspended")]),
    "Which customers' blocks were false alarms in the last quarter?": (
        "customer false_alarms units last_reason", [("C-1", 1, (ALARM,), "cleaned up")]),
    "How often are we wrong, by rule?": (
        "cause band pair blocks false_positives false_positive_percent",
        [("verdict", "-", "-", 3, 0, 0), ("verdict", "block", "smtp", 2, 0, 0),
         ("verdict", "block", "smtp", 1, 1, 100),
         ("verdict", "block", "smtp", 1, 0, 0)]),
    "How long from the first spam to the block?": (
        "blocks median p95", [(2, 60, 60), (1, 60, 60), (1, 60, 60)]),
    "Who sent most yesterday?": (
        "unit customer sessions destinations failed_share state",
        [(GERMAN, "C-1", 420, 380, 0.25, "blocked"), (OLD, "C-2", 10, 5, 0, "warned")]),
    "Who keeps coming back?": (
        "customer blocks units highest_level open_now", [("C-2", 5, 2, 1, 1)]),
    "Which mails did not arrive?": (
        "kind customer state code detail", [("warning", "C-2", "failed", 550, "not wanted")]),
    "What does the network not do yet that it should?": (
        "unit adapter action error", [(GERMAN, "null", "block_ports", "no such interface")]),
    "What did the detector say about addresses that belong to nobody?": (
        "unit band action", [(STRANGER, "flag", "unassigned")]),
    "Who complains, and how much of it counts?": (
        "reporter enrolled complaints counted authenticated_percent",
        [("reporter.example", True, 3, 2, 100)]),
    "What did we not see?": (
        "exporter domain received lost lost_percent", [("203.0.113.9", 7, 9800, 200, 2)]),
    "What has to be looked at?": (
        "kind subject times", [("order-failed", f"null: {GERMAN}", 1), ("no-contact", "C-9", 1)]),
    "Who did what to this address?": (
        "event from_state to_state", [("verdict_block", "clear", "blocked")]),
    "Whose is this address, and who is written to?": (
        "net customer service_name contacts",
        [("192.0.2.0/28", "C-1", "vps-1",
          ("abuse:post@mueller.example", "owner:chef@mueller.example"))]),
    "Which /24s are bad this week?": (
        "net units customers blocks worst", [("192.0.2.0/24", 5, 2, 4, 950)]),
    "Who spreads his spam over many addresses?": (
        "customer net units", [("C-1", "192.0.2.0/24", 1)]),
    "Which customers had three blocks within 90 days?": (
        "customer blocks units", [("C-2", 4, 1)]),
    "Who was released too early?": (
        "unit customer released_by", 3 * [(AGAIN, "C-2", "customer")]),
    "Which warnings bounced, so that no deadline runs?": (
        "unit customer contact_email code", [(UNHEARD, "C-2", "desk@example.org", 550)]),
    "Do warnings help?": ("category warnings heeded missed", [("spam", 2, 0, 0)]),
    "Which complaints did nobody hear of, and why?": (
        "action complaints addresses", [("not-ours", 1, 1)]),
    "How long from a complaint to our mail?": ("cases", [(1,)]),
    "Which router has gone quiet?": (
        "exporter domain protocol received", [("203.0.113.10", 0, "NetFlow v9", 0)]),
    "Who may send much, and until when?": (
        "net kind ceiling reason",
        [("192.0.2.3", "volume", 500, "newsletter"), ("192.0.2.4", "never", None, "our relay")]),
    "What would have been done in shadow mode?": (
        "unit customer action reason", [(OLD, "C-2", "warned", "Two.")]),
}


def plain(value):
    """Addresses as text, spans as whole seconds, arrays as tuples."""
    if isinstance(value, list):
        return tuple(plain(one) for one in value)
    if isinstance(value, datetime.timedelta):
        return int(value.total_seconds())
    is_address = isinstance(value, (ipaddress.IPv4Address, ipaddress.IPv4Network))
    return str(value) if is_address else value


def ask(desk, query, names):
    with desk.cluster.connect(desk.database, "postern_analyst") as connection:
        cursor = connection.execute(query)
        places = [[column.name for column in cursor.description].index(name) for name in names]
        return [tuple(plain(row[place]) for place in places) for row in cursor]


def test_every_question_has_its_answer(history):
    queries = questions()
    assert set(queries) == set(ANSWERS)
    for question, (names, rows) in ANSWERS.items():
        assert ask(history, queries[question], names.split()) == rows, question
