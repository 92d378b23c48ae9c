# SPDX-License-Identifier: Apache-2.0
"""postern doctor: says that all is well, and names each thing that is not."""

import random
import shutil
import time

import pytest

from bustool import Bench
from desk import ENGLISH, GERMAN, Desk
from exporters import NETWORKS, Exporter
from waiting import until


def doctor(desk, *arguments, status=0, role="postern_monitor", **options):
    return desk.cli("doctor", *arguments, role=role, status=status, **options).stdout


def wrong(text):
    return [line for line in text.splitlines() if line.startswith("WRONG")]


def test_all_is_well(desk):
    text = doctor(desk)
    assert wrong(text) == []
    for words in ("migrations, mode enforce", "TEST installation", "nothing waits", "none"):
        assert words in text


def test_without_networks_nothing_is_ever_judged(runner, postgres, work_dir, desk_template):
    desk = Desk(runner, postgres, work_dir, desk_template, setup=False)
    assert "postern networks add" in doctor(desk, status=1)


def test_rows_that_nobody_works_on_name_the_missing_program(desk):
    desk.verdict(GERMAN)
    assert wrong(doctor(desk)) == [], "a fresh row is no fault"
    desk.advance(minutes=2)
    text = doctor(desk, status=1)
    assert "1 rows of kind verdict are due" in text and "--work=verdict" in text


def test_alarms_are_shown_until_a_person_has_seen_to_them(desk):
    desk.query("SELECT postern.raise_alarm('mail-failed', 'mail of case X', 'no contact left')")
    text = doctor(desk, status=1)
    assert "mail-failed, mail of case X: no contact left" in text and "clear_alarm(" in text
    desk.query("SELECT postern.clear_alarm(id, 'me') FROM postern.noc_alarm")
    doctor(desk)


def test_orders_that_the_network_refuses_are_shown(desk):
    desk.value("SELECT postern.apply_verdict(%s)", desk.verdict(GERMAN))
    desk.query("SELECT postern.order_outcome('null', %s, 1, 'refused', 'no such interface')",
               GERMAN)
    assert "no such interface" in doctor(desk, status=1)


def test_mails_whose_server_is_away_are_shown_with_what_it_said(desk, free_port):
    desk.value("SELECT postern.apply_verdict(%s)", desk.verdict(GERMAN))
    program = desk.runner.start("postern-dispatch", *desk.dispatch_arguments(
        "mail", "--mail", f"smtp://127.0.0.1:{free_port()}"))
    until(lambda: "retry" in program.stderr, "tried")
    program.stop()
    text = doctor(desk, status=1)
    assert "1 mails to customers wait" in text and "connect" in text and "the mail server" in text


def test_one_mail_that_is_put_off_once_is_no_fault(desk, mail_server):
    desk.value("SELECT postern.apply_verdict(%s)", desk.verdict(GERMAN))
    mail_server.cue("4xx")
    desk.dispatch("mail", "--mail", mail_server.uri)
    until(lambda: desk.query("SELECT 1 FROM postern.outbox WHERE code = 451"), "put off")
    assert "no mail server is away" in doctor(desk)
    desk.query("UPDATE postern.outbox SET attempts = 2")
    assert "451" in doctor(desk, status=1)


def test_the_collectors_networks_file_is_compared(desk):
    path = desk.folder / "networks"
    desk.cli("networks", "export", "--output", path)
    assert "as in" in doctor(desk, "--networks", path)
    path.write_text("# mine\n198.51.100.0/24 # other\n")
    text = doctor(desk, "--networks", path, status=1)
    assert "192.0.2.0/24 is ours and not in" in text
    assert "198.51.100.0/24 stands in" in text
    assert "networks export" in text
    path.write_text("nonsense\n")
    assert "networks:1:" in doctor(desk, "--networks", path, status=1)
    assert "/nonexistent" in doctor(desk, "--networks", "/nonexistent", status=1)


def test_loss_is_named_with_its_exporter_its_kind_and_a_remedy(desk):
    desk.query("INSERT INTO postern.exporter_loss (hour, exporter, domain, received, lost_kernel)"
               " VALUES (date_trunc('hour', postern.now()), '203.0.113.9', 7, 9000, 1000),"
               " (date_trunc('hour', postern.now()), '203.0.113.8', 0, 100000, 1)")
    text = doctor(desk, status=1)
    assert "203.0.113.9" in text and "rcvbuf" in text and "203.0.113.8" not in text
    assert "10000" not in doctor(desk, "203.0.113.8", status=1).split("loss")[0]
    assert "100000" in doctor(desk, "203.0.113.8", status=1)
    assert "nothing was ever heard of 203.0.113.1" in doctor(desk, "203.0.113.1", status=1)
    assert "is no exporter" in desk.cli("doctor", "router", status=2).stderr


def test_an_exporters_ledger_is_told_in_words_with_remedies(desk):
    desk.query("INSERT INTO postern.exporter_ledger VALUES"
               " ('203.0.113.9', 7, 1, 10000, 600, 10, 1000, -2500, postern.now()),"
               " ('203.0.113.9', 8, 2, 600, 60, 9, 0, 90000, postern.now() - interval '1 hour')")
    desk.query("INSERT INTO postern.exporter_loss (hour, exporter, domain, expected, received,"
               " twice, lost_spool, lost_down, lost_network, expected_datagrams, lost_datagrams)"
               " SELECT date_trunc('hour', postern.now()), '203.0.113.9', r.* FROM (VALUES"
               " (7, 10000, 8005, 10, 1500, 500, 5, 600, 30),"
               " (8, 600, 500, 0, 0, 0, 0, 60, 10), (9, 1000, 700, 0, 0, 400, 0, 50, 0)) AS r")
    text = doctor(desk, "203.0.113.9", status=1)
    for words in ("domain 7: IPFIX", "it samples 1 of 1000", "its clock is 2.5 s behind ours",
                  "10000 records sent, 8005 received (10 of them twice)",
                  "1500 records lost in the spool (15.00 %)", "spool_bytes",
                  "500 records lost while no collector ran", "5 records lost before our socket",
                  "domain 8: NetFlow v9", "was not heard for 60 min",
                  "its clock is wrong by 90.0 s", "60 sent, 10 lost",
                  "100 records are not accounted for",
                  "domain 9: a collector was killed; of 400 records that the next one took for lost"
                  " 100 had reached the bus", "domain 9: 300 records lost while no collector ran",
                  "domain 9 within 24 hours: 1000 records sent, 700 received"):
        assert words in text, f"{words}:\n{text}"


def test_what_waits_in_a_collectors_spool_is_told(runner, work_dir, free_port):
    port, metrics = free_port(), free_port()
    program = runner.start(
        "postern-collector", "--listen", f"udp://127.0.0.1:{port}", "--networks", NETWORKS,
        "--output", f"kafka://127.0.0.1:{free_port()}", "--spool", work_dir / "spool",
        "--state", "none", "--metrics", f"127.0.0.1:{metrics}")
    program.url = f"http://127.0.0.1:{metrics}"

    def told():
        return runner.run("postern", "doctor", "--database", f"host={work_dir} dbname=x",
                          "--metrics", program.url, status=1).stdout
    until(lambda: "nothing waits in its spool" in told(), "it tells of its spool")
    exporter = Exporter(10, ("127.0.0.1", port), "127.0.0.10", 7, random.Random(1))
    exporter.send_good(5)
    until(lambda: program.metric("postern_collector_spool_batches") > 0, "batches are spooled", 60)
    text = told()
    assert "wait in its spool, the oldest for" in text and "bring the bus back" in text, text


def test_a_program_that_is_not_ready_is_shown_with_its_reasons(own_desk, free_port):
    program = own_desk.dispatch("verdict")
    assert f"{program.url} is ready" in doctor(own_desk, "--metrics", program.url)
    nobody = f"http://127.0.0.1:{free_port()}"
    assert "nobody answers" in doctor(own_desk, "--metrics", program.url, "--metrics", nobody,
                                      status=1)
    own_desk.cluster.stop()
    text = doctor(own_desk, "--metrics", program.url, status=1)
    assert "start PostgreSQL" in text and f"{program.url} is" in text, "it goes on without it"
    assert "write http://" in _usage(own_desk, "--metrics", "ftp://x")


def _usage(desk, *arguments):
    desk.cluster.start()
    return desk.cli("doctor", *arguments, status=2).stderr


def test_a_database_that_is_away_or_empty_is_named(runner, postgres, database, work_dir):
    done = runner.run("postern", "doctor", "--database", f"host={work_dir} dbname=x", status=1)
    assert str(work_dir) in done.stdout and "start PostgreSQL" in done.stdout
    done = runner.run("postern", "doctor", "--database", postgres.conninfo(database), status=1)
    assert "postern schema install" in done.stderr


# --- the bus and waiting -----------------------------------------------------------------------


@pytest.fixture
def filled_bus(desk, bus_path, programs):
    """An embedded bus with two partitions: five messages in partition 1 of postern.smtp."""
    uri = f"embedded:{bus_path}"
    bench = Bench(programs("buscat"), uri)
    bus = bench.open(producer="test")
    for topic in ("postern.smtp", "postern.evidence"):
        bus.topic(topic, 2)
    for number in range(1, 6):
        bus.publish("postern.smtp", 1, number, "x")
    bus.flush()
    bench.end()
    desk.query("SELECT postern.take_partition(p, 2, 'test') FROM generate_series(0, 1) AS p")
    return uri


def read_to(desk, position):
    desk.query("UPDATE postern.bus_offset SET position = %s"
               " WHERE topic = 'postern.smtp' AND partition = 1", position)


def test_a_scorer_that_is_behind_is_named_with_its_partition(desk, filled_bus):
    text = doctor(desk, "--bus", filled_bus, status=1)
    assert "postern.smtp partition 1" in text and "postern-scorer" in text
    assert len(wrong(text)) == 1
    read_to(desk, 1 << 40)
    assert "read to its end" in doctor(desk, "--bus", filled_bus)


def test_a_bus_that_is_not_there_is_not_made(desk, work_dir):
    path = work_dir / "absent.db"
    assert "there is no bus at" in doctor(desk, "--bus", f"embedded:{path}", status=1)
    assert not path.exists()


def test_a_disk_that_fills_under_the_bus_is_named(desk, small_disk, programs):
    path = small_disk.path / "bus.db"
    bench = Bench(programs("buscat"), f"embedded:{path}")
    bus = bench.open(small_disk.enter, producer="test")
    for topic in ("postern.smtp", "postern.evidence"):
        bus.topic(topic, 2)
    bus.flush()
    bench.end()
    desk.query("SELECT postern.take_partition(p, 2, 'test') FROM generate_series(0, 1) AS p")

    def look(status):
        return desk.runner.run(shutil.which("nsenter"), *small_disk.enter[1:],
                               desk.runner.path("postern"), "doctor", "--bus", f"embedded:{path}",
                               "--database", desk.conninfo("postern_monitor"), status=status).stdout

    assert "nearly full" not in look(0)
    with open(small_disk.seen_from_here / "filler", "wb", buffering=0) as file:
        file.write(b"x" * int(small_disk.size_bytes * 0.96))
    assert "nearly full" in look(1)


def test_waiting_ends_when_all_is_done(desk, filled_bus):
    read_to(desk, 1 << 40)
    started = time.monotonic()
    assert "idle" in doctor(desk, "--wait-idle", 2, "--bus", filled_bus)
    assert 1.5 < time.monotonic() - started < 20


def test_waiting_that_is_in_vain_says_what_is_stuck(desk, filled_bus):
    desk.verdict(ENGLISH)
    text = doctor(desk, "--wait-idle", 1, "--timeout", 3, "--bus", filled_bus, status=1)
    assert "not idle after 3 s" in text
    assert "postern.smtp partition 1" in text and "1 rows of kind verdict" in text


def test_waiting_sees_work_end(desk):
    for number in range(1, 9):
        desk.verdict(f"192.0.2.{number}")
    waiting = desk.runner.start("postern", "doctor", "--wait-idle", "1", "--database",
                                desk.conninfo("postern_monitor"))
    time.sleep(2)
    assert waiting.is_running
    for work in ("verdict", "mail", "enforce"):
        desk.dispatch(work)
    assert waiting.wait() == 0
    until(lambda: desk.value("SELECT count(*) FROM postern.outbox WHERE state = 'done'") == 8, "")
