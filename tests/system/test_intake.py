# SPDX-License-Identifier: Apache-2.0
"""postern-intake as a mail server runs it: mails in, statuses out, evidence on a real bus."""

import contextlib
import hashlib
import json
import re
import sqlite3
import subprocess
from datetime import datetime, timezone

import pytest

from conftest import ROOT
from letters import BROKEN_REPORT as BROKEN, REPORT

CORPUS = ROOT.parent / "shared" / "corpus"
SISIMAI = CORPUS / "mail-sisimai-arf"
STALWART = CORPUS / "mail-stalwart-arf"
KEYS = ["outcome", "format", "feedback_type", "category", "source_ip", "source_port", "arrived_at",
        "message_id", "reported_domain", "reporter", "authenticated", "incidents", "sha256"]

NORMAL = "From: a@example.org\nSubject: Hello\n\nHow are you?\n"


def needs(folder):
    return pytest.mark.skipif(not folder.is_dir(), reason=f"{folder} is absent")


@pytest.fixture
def intake(programs):
    """intake(ARGUMENT…, mail=TEXT) runs the program to its end."""
    def run(*arguments, mail=""):
        data = mail if isinstance(mail, bytes) else mail.encode()
        return subprocess.run([programs("postern-intake"), *map(str, arguments)], input=data,
                              capture_output=True, timeout=60, check=False)
    return run


def parsed(result):
    assert result.returncode == 0, result.stderr.decode()
    return [json.loads(line) for line in result.stdout.decode().splitlines()]


def evidence(message):
    """What protoc reads in a message: name → text."""
    command = ["protoc", f"-I{ROOT}/common", "--decode=postern.Evidence",
               f"{ROOT}/common/evidence.proto"]
    text = subprocess.run(command, input=message, capture_output=True, check=True).stdout.decode()
    return dict(re.findall(r"^(\w+): (.*)$", text, re.M))


def on_embedded_bus(path):
    """Everything on postern.evidence, as (partition, fields)."""
    with sqlite3.connect(path) as bus:
        rows = bus.execute("SELECT partition, data FROM messages WHERE topic = 'postern.evidence'"
                           " ORDER BY time, partition, \"offset\"")
        return [(partition, evidence(data)) for partition, data in rows]


# --- what a person sees -------------------------------------------------------------------------


def test_prints_what_it_would_publish(intake):
    lines = parsed(intake("--parse", "--authserv-id", "mx.ours.example", "-", mail=REPORT))
    assert len(lines) == 1
    assert list(lines[0])[:len(KEYS)] == KEYS
    assert {key: lines[0][key] for key in KEYS} == {
        "outcome": "complaint", "format": "arf", "feedback_type": "abuse", "category": "spam",
        "source_ip": "192.0.2.77", "source_port": None, "arrived_at": "2026-03-05T11:00:00Z",
        "message_id": "spam-1@customer.example", "reported_domain": None,
        "reporter": "reporter.example", "authenticated": True, "incidents": 1,
        "sha256": hashlib.sha256(REPORT.encode()).hexdigest()}


@pytest.mark.parametrize("arguments, status, words", [
    ([], 2, "standard input"),
    (["--parse", "a", "b"], 2, "one FILE"),
    (["-"], 2, "no bus"),
    (["--bus", "carrier:pigeon", "-"], 2, "kafka://"),
    (["--bus", "embedded:x", "--networks", "192.0.2.0/99", "-"], 2, "192.0.2.0/99"),
    (["--no-such-option"], 2, "no-such-option"),
    (["--parse", "/nonexistent/mail"], 1, "/nonexistent/mail"),
    (["--parse", "maildir:/nonexistent"], 2, "maildir"),
    (["--help"], 0, ""),
])
def test_says_what_is_wrong_with_its_arguments(intake, arguments, status, words):
    result = intake(*arguments)
    assert result.returncode == status
    assert words in result.stderr.decode()


@pytest.mark.parametrize("mail, outcome", [
    (NORMAL, "not-a-complaint"), (BROKEN, "unreadable"), ("", "not-a-complaint"),
    (b"\0\xff\r" * 1000, "not-a-complaint")])
def test_takes_any_bytes(intake, mail, outcome):
    lines = parsed(intake("--parse", "-", mail=mail))
    assert [line["outcome"] for line in lines] == [outcome]


def test_takes_ten_times_its_limit(intake):
    mail = REPORT.encode() + b"x" * (20 << 20)
    line, = parsed(intake("--parse", "--mail-max", "2M", "-", mail=mail))
    assert line["outcome"] == "complaint"
    assert line["sha256"] == hashlib.sha256(mail).hexdigest()


# --- the bus ------------------------------------------------------------------------------------


def test_puts_a_complaint_on_the_embedded_bus(intake, bus_path):
    result = intake("--bus", f"embedded:{bus_path}", "--authserv-id", "mx.ours.example", "-",
                    mail=REPORT)
    assert result.returncode == 0, result.stderr.decode()
    (_, fields), = on_embedded_bus(bus_path)
    assert "outcome" not in fields    # 0, COMPLAINT
    assert fields["source_ip"] == r'"\300\000\002M"'
    assert fields["message_id"] == '"spam-1@customer.example"'
    assert fields["reporter"] == '"reporter.example"'
    assert fields["report_id"] == '"report-1@reporter.example"'
    assert fields["authenticated"] == "true"
    assert fields["arrived_ns"] == "1772708400000000000"
    assert fields["size_bytes"] == str(len(REPORT))


def test_the_same_neighbourhood_has_the_same_partition(intake, bus_path):
    for address in ("192.0.2.1", "192.0.2.200", "2001:db8:5::1", "2001:db8:5:ffff::2"):
        result = intake("--bus", f"embedded:{bus_path}", "-",
                        mail=REPORT.replace("Source-IP: 192.0.2.77", f"Source-IP: {address}"))
        assert result.returncode == 0
    places = [partition for partition, _ in on_embedded_bus(bus_path)]
    assert places[0] == places[1] and places[2] == places[3]


def test_puts_a_complaint_into_kafka(intake, kafka):
    assert intake("--bus", kafka.uri, "-", mail=REPORT).returncode == 0
    found = [evidence(payload) for partition in range(kafka.partitions("postern.evidence"))
             for payload in kafka.read_all("postern.evidence", partition)]
    assert '"report-1@reporter.example"' in [fields["report_id"] for fields in found]


def test_an_unreadable_complaint_alarms_and_is_published(intake, bus_path):
    result = intake("--bus", f"embedded:{bus_path}", "-", mail=BROKEN)
    assert result.returncode == 0
    assert "unreadable" in result.stderr.decode()
    (_, fields), = on_embedded_bus(bus_path)
    assert fields["outcome"] == "UNREADABLE"
    assert "Source-IP" in fields["reason"]


def test_takes_the_time_from_its_clock(intake, bus_path):
    moment = datetime(2026, 3, 6, tzinfo=timezone.utc)
    clock = bus_path.with_name("clock")
    clock.write_text(moment.isoformat())
    assert intake("--bus", f"embedded:{bus_path}", "--clock", f"file:{clock}", "-",
                  mail=REPORT).returncode == 0
    (_, fields), = on_embedded_bus(bus_path)
    assert fields["received_ns"] == str(int(moment.timestamp()) * 10**9)


# --- when the bus is away -----------------------------------------------------------------------


def away(free_port):
    return ["--bus", f"kafka://127.0.0.1:{free_port()}", "--bus-timeout", "1s"]


def test_leaves_the_mail_to_the_mail_server_when_the_bus_is_away(intake, free_port):
    assert intake(*away(free_port), "-", mail=REPORT).returncode == 75
    assert intake("--bus", "embedded:/nonexistent/bus", "-", mail=REPORT).returncode == 75


def test_spools_and_moves_the_spool_when_the_bus_is_back(intake, free_port, bus_path):
    spool = ["--spool", f"embedded:{bus_path.with_name('spool')}"]
    assert intake(*away(free_port), *spool, "-", mail=REPORT).returncode == 0
    other = REPORT.replace("report-1", "report-2")
    assert intake("--bus", f"embedded:{bus_path}", *spool, "-", mail=other).returncode == 0
    ids = [fields["report_id"] for _, fields in on_embedded_bus(bus_path)]
    assert ids == ['"report-1@reporter.example"', '"report-2@reporter.example"']


def test_leaves_the_mail_to_the_mail_server_when_the_spool_fails_too(intake, free_port):
    result = intake(*away(free_port), "--spool", "embedded:/nonexistent/spool", "-", mail=REPORT)
    assert result.returncode == 75


def test_leaves_the_mail_to_the_mail_server_when_the_disk_is_full(programs, small_disk):
    command = [*small_disk.enter, programs("postern-intake"), "--bus",
               f"embedded:{small_disk.path / 'bus'}", "-"]
    filler = small_disk.seen_from_here / "filler"

    def run():
        return subprocess.run(command, input=REPORT.encode(), check=False, timeout=60).returncode
    with open(filler, "wb", buffering=0) as out, contextlib.suppress(OSError):
        while True:
            out.write(bytes(65536))
    assert run() == 75
    filler.unlink()
    assert run() == 0


# --- maildir ------------------------------------------------------------------------------------


def deliver(maildir, **mails):
    for name, mail in mails.items():
        (maildir / "new" / name).write_text(mail)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_empties_a_maildir(intake, bus_path, maildir):
    deliver(maildir, a=REPORT, b=NORMAL, c=BROKEN)
    assert intake("--bus", f"embedded:{bus_path}", f"maildir:{maildir}").returncode == 0
    assert names(maildir / "new") == []
    assert names(maildir / "cur") == ["a:2,S", "b:2,S", "c:2,S"]
    assert len(on_embedded_bus(bus_path)) == 3


def test_leaves_a_maildir_alone_when_the_bus_is_away(intake, free_port, maildir):
    deliver(maildir, a=REPORT, b=NORMAL)
    assert intake(*away(free_port), f"maildir:{maildir}").returncode == 75
    assert names(maildir / "new") == ["a", "b"]


def test_only_looks_at_a_maildir_with_parse(intake, maildir):
    deliver(maildir, a=REPORT, b=NORMAL)
    outcomes = [line["outcome"] for line in parsed(intake("--parse", f"maildir:{maildir}"))]
    assert outcomes == ["complaint", "not-a-complaint"]
    assert names(maildir / "new") == ["a", "b"]


# --- recorded complaints ------------------------------------------------------------------------


def corpus_mails(folder, pattern):
    return sorted(folder.glob(pattern)) if folder.is_dir() else []


@needs(SISIMAI)
@pytest.mark.parametrize("path", corpus_mails(SISIMAI, "*/*.eml"),
                         ids=lambda path: "/".join(path.parts[-2:]))
def test_reads_the_feedback_type_of_recorded_mails(intake, path):
    expected = json.loads((SISIMAI / "expected.json").read_text())["expected"]
    wanted, = set(expected[path.stem.split("-")[1]])
    line, = parsed(intake("--parse", path))
    assert line["feedback_type"] == wanted
    assert line["outcome"] in ("complaint", "not-a-complaint")
    if line["outcome"] == "complaint":
        assert line["source_ip"] and line["arrived_at"]


@needs(STALWART)
@pytest.mark.parametrize("path", corpus_mails(STALWART, "*.eml"), ids=lambda p: p.stem)
def test_reads_the_fields_of_recorded_mails(intake, path):
    golden = json.loads(path.with_suffix(".json").read_text())
    line, = parsed(intake("--parse", path))
    words = re.sub(r"(?<!^)([A-Z])", r"-\1", golden["feedback_type"]).lower()
    assert line["feedback_type"] == words
    assert line["incidents"] == golden["incidents"]
    assert line["source_port"] == (golden["source_port"] or None)
    assert line["reported_domain"] == next(iter(golden["reported_domain"]), None)
    if golden["source_ip"]:    # where the report names none, ours comes from Received
        assert line["source_ip"] == golden["source_ip"]
    if golden["arrival_date"]:
        arrived = datetime.fromtimestamp(golden["arrival_date"], timezone.utc)
        assert line["arrived_at"] == arrived.strftime("%Y-%m-%dT%H:%M:%SZ")
