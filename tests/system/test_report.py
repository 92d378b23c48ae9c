# SPDX-License-Identifier: Apache-2.0
"""postern-report over a database in which things have happened."""

import csv
import io
import json
import re

import pytest

from desk import CUSTOMERS, ENGLISH, GERMAN, STRANGER, Desk

SECTIONS = ["health", "new_blocks", "new_warnings", "releases", "deadlines", "shadow_actions",
            "top_senders", "repeat_offenders", "complaints", "unparsed", "not_acted_on", "mails",
            "false_positives", "trend", "times", "exporter_loss", "alarms"]


def report(desk, *arguments, role="postern_analyst", status=0):
    return desk.runner.run("postern-report", "--database", desk.conninfo(role), *arguments,
                           status=status)


def as_json(desk, *arguments):
    return json.loads(report(desk, "--format", "json", *arguments).stdout)


@pytest.fixture
def eventful(desk):
    """A block, a warning, a complaint that nobody could read, a stranger's verdict, a loss."""
    path = (desk.cluster.folder / "clock").resolve()
    path.write_text("2026-06-03T12:00:00Z")
    path.chmod(0o644)
    desk.query("UPDATE postern.setting SET value = %s WHERE key = 'test.clock'", f"file:{path}")
    for unit in (GERMAN, STRANGER):
        desk.value("SELECT postern.apply_verdict(%s)", desk.verdict(unit))
    desk.value("SELECT postern.apply_complaint(%s)", desk.complaint(ENGLISH))
    desk.value("SELECT postern.record_evidence(0, 9, 'unreadable', 'arf', NULL, NULL, NULL, 0,"
               " NULL, postern.now(), NULL, NULL, 'odd.example', false, 'r', 'no second part', 1,"
               " 99, sha256('u'))")
    desk.query("INSERT INTO postern.exporter_loss (hour, exporter, domain, received, lost_network)"
               " VALUES (date_trunc('hour', postern.now()), '203.0.113.9', 0, 9800, 200)")
    desk.query("INSERT INTO postern.smtp_activity VALUES (%s, date_trunc('hour', postern.now()),"
               " 420, 380, 99999, 2000, 12, 1)", GERMAN)
    return desk


def test_text_tells_a_person_what_happened(eventful):
    text = report(eventful, "--at", "2026-06-03").stdout
    for words in ("day from 2026-06-03 00:00 to 2026-06-04 00:00 UTC", "New blocks", GERMAN,
                  "420 new mail connections", "New warnings", ENGLISH, "reporter.example",
                  "odd.example", "no second part", STRANGER, "unassigned", "203.0.113.9",
                  "200 (2.000 %)", "first sighting to block"):
        assert words in text, f"{words}:\n{text}"
    assert "postern.smtp_activity" not in text and "{" not in text


def test_text_fits_a_terminal_and_a_long_reason_stands_below_its_row(eventful):
    lines = report(eventful, "--at", "2026-06-03").stdout.splitlines()
    assert max(map(len, lines)) <= 100, max(lines, key=len)
    row = next(i for i, line in enumerate(lines) if GERMAN in line and "block" not in line[:4])
    assert "420 new mail connections" in " ".join(lines[row:row + 3])
    assert lines[row + 1].startswith("      ") and "case id PST-" in " ".join(lines[row:row + 3])


def test_thirty_days_and_false_alarms(eventful):
    eventful.cli("ip", "release", GERMAN, "--reason", "newsletter", "--false-positive")
    sections = as_json(eventful, "--at", "2026-06-03")["sections"]
    trend = {row["what"]: row for row in sections["trend"]}
    assert trend["blocks"]["days"] == [0] * 29 + [1]
    assert trend["blocks"]["trend"] == "▁" * 29 + "█"
    assert trend["complaints"]["total"] == 1 and trend["warnings"]["total"] == 1
    assert trend["verdicts that flag or block"]["total"] == 2
    assert sections["false_positives"] == [{
        "cause": "verdict", "band": "block", "blocks": 1, "false_positives": 1, "percent": 100.0}]


def test_json_has_every_section_with_numbers_as_numbers(eventful):
    data = as_json(eventful, "--at", "2026-06-03")
    assert (data["from"], data["to"]) == ("2026-06-03T00:00:00Z", "2026-06-04T00:00:00Z")
    assert list(data["sections"]) == SECTIONS
    [block] = data["sections"]["new_blocks"]
    assert block["address"] == GERMAN and block["ports"] == [25] and block["level"] == 1
    [sender] = data["sections"]["top_senders"]
    assert sender["sessions"] == 420 and sender["state"] == "blocked"
    assert len(sender["slices"]) == 24 and sum(sender["slices"]) == 420
    assert sender["over_time"].count("█") == 1 and sender["over_time"].count("▁") == 23
    times = {row["what"]: row for row in data["sections"]["times"]}
    assert times["first sighting to block"]["n"] == 1
    assert times["first sighting to block"]["p50_s"] == 60
    assert [row["exporter"] for row in data["sections"]["exporter_loss"]] == ["203.0.113.9"]
    assert data["sections"]["releases"] == []


def test_csv_is_one_line_a_value_and_holds_no_formula(eventful):
    eventful.import_csv(CUSTOMERS.replace("C-1", '"=1+1"'), "--force")
    eventful.value("SELECT postern.apply_verdict(%s)", eventful.verdict("192.0.2.3"))
    rows = list(csv.DictReader(io.StringIO(
        report(eventful, "--at", "2026-06-03", "--format", "csv").stdout)))
    assert {"section", "row", "name", "value"} == set(rows[0])
    customers = {row["value"] for row in rows if row["name"] == "customer"}
    assert "'=1+1" in customers and "=1+1" not in customers
    assert {row["section"] for row in rows} <= {"period", *SECTIONS}


@pytest.mark.parametrize("period, at, start, end", [
    ("day", None, "2026-06-02", "2026-06-03"),
    ("day", "today", "2026-06-03", "2026-06-04"),
    ("day", "2026-06-03T23:59:59Z", "2026-06-03", "2026-06-04"),
    ("day", "2026-06-04T00:30:00+01:00", "2026-06-03", "2026-06-04"),
    ("week", None, "2026-05-25", "2026-06-01"),
    ("week", "2026-06-03", "2026-06-01", "2026-06-08"),
    ("month", None, "2026-05-01", "2026-06-01"),
    ("month", "2026-02-11", "2026-02-01", "2026-03-01"),
])
def test_bounds_are_midnights_of_utc_by_the_databases_clock(eventful, period, at, start, end):
    arguments = ("--period", period, *(("--at", at) if at else ()))
    data = as_json(eventful, *arguments)
    assert (data["from"], data["to"]) == (f"{start}T00:00:00Z", f"{end}T00:00:00Z")
    inside = start <= "2026-06-03" < end
    assert len(data["sections"]["new_blocks"]) == (1 if inside else 0)


def test_the_same_period_gives_the_same_report(eventful):
    first, second = (as_json(eventful, "--at", "2026-06-03") for _ in range(2))
    assert first == second
    eventful.query("UPDATE postern.setting SET value = 'system' WHERE key = 'test.clock'")
    later = as_json(eventful, "--at", "2026-06-03")
    for name in ("new_blocks", "new_warnings", "complaints", "unparsed", "times", "exporter_loss"):
        assert later["sections"][name] == first["sections"][name], name


def test_an_empty_database_gives_an_empty_report(runner, postgres, work_dir, desk_template):
    desk = Desk(runner, postgres, work_dir, desk_template, setup=False)
    text = report(desk).stdout
    assert "New blocks: none" in text
    data = as_json(desk)
    assert list(data["sections"]) == SECTIONS and data["sections"]["new_blocks"] == []
    report(desk, "--format", "csv")


def test_the_operators_command_leads_to_it(eventful):
    done = eventful.cli("report", "--at", "2026-06-03")
    assert done.stdout.startswith("POSTERN REPORT")


@pytest.mark.parametrize("arguments, words", [
    (("--format", "html"), "text, json and csv"),
    (("--period", "year"), "day, week or month"),
    (("--at", "yesterday-ish"), "write a day like 2026-05-01"),
    (("--at", "2026-13-01"), "write a day like 2026-05-01"),
    (("extra",), 'what is "extra"'),
])
def test_wrong_use_is_explained(desk, arguments, words):
    assert words in report(desk, *arguments, status=2).stderr


def test_half_a_report_is_never_written(runner, postgres, database):
    done = runner.run("postern-report", "--database", postgres.conninfo(database), status=1)
    assert done.stdout == "" and re.search(r"postern", done.stderr)
    assert "--database is missing" in runner.run("postern-report", status=2).stderr
