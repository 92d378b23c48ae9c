# SPDX-License-Identifier: Apache-2.0
"""The recorded lab through the whole product while one part of the world is away.

While it is: the program that needs it is not ready and names it, and so does the doctor, with what
to do; whoever does not need it goes on. Afterwards: the same as without the outage, nothing lost,
nothing twice. What cannot be kept is counted.
"""

import email
import email.policy

import pytest

from desk import readiness
from installation import PROGRAMS, Installation, check_outcome, expected_states
from mailserver import MailServer
from waiting import until

OF_DATABASE = [name for name, (_program, role) in PROGRAMS.items() if role]


@pytest.fixture
def make_site(runner, work_dir):
    """An installation on the recorded day."""
    def make(postgres, bus, **options):
        return Installation.of_the_recorded_day(runner, postgres, bus, work_dir, **options)
    return make


def wait_hindered(site, names, *words):
    """Until these programs are not ready and say all of the words."""
    for name in names:
        def hindered(program=site.running[name]):
            status, text = readiness(program)
            return status == 503 and all(word in text for word in words)
        until(hindered, f"{name} says that it is hindered: {words}", 60)


def is_ready(site, *names):
    return all(readiness(site.running[name])[0] == 200 for name in names)


def wrong(site):
    """What the doctor finds, each thing with its remedy on the next line; it must find some."""
    urls = [word for program in site.running.values() for word in ("--metrics", program.url)]
    text = site.doctor(*urls, status=1).stdout
    found = [part for part in text.split("\n") if part]
    return [f"{line} {after}" for line, after in zip(found, [*found[1:], ""])
            if line.startswith("WRONG")]


def doctor_names(site, *words):
    """One finding of the doctor holds all of the words."""
    def named():
        return any(all(word in finding for word in words) for finding in wrong(site))
    until(named, f"the doctor names {words}: {wrong(site)}", 30)


def check_nothing_lost(site):
    assert site.query("SELECT * FROM api_v1.exporter_loss WHERE lost > 0") == []
    assert site.running["collector"].metric("postern_collector_batches_lost_total") == 0


def finish(site):
    """Waits until nothing is left to do; then all is as it must be."""
    site.wait_idle()
    check_outcome(site, expected_states())
    check_nothing_lost(site)


# --- PostgreSQL ----------------------------------------------------------------------------


def test_postgresql_goes_and_comes_back(own_postgres, make_site, bus_path):
    site = make_site(own_postgres, f"embedded:{bus_path}")
    site.start()
    replay = site.start_replay(10)
    until(site.verdicts, "the first verdict")
    own_postgres.stop()
    wait_hindered(site, OF_DATABASE, "database")
    doctor_names(site, "database", "start PostgreSQL")
    for name in OF_DATABASE:
        doctor_names(site, site.running[name].url, "database")
    assert replay.wait() == 0
    assert is_ready(site, "collector"), "it needs no database"
    own_postgres.start()
    site.wait_ready()
    site.complain()
    finish(site)
    assert site.running["scorer"].metric("postern_scorer_tick_retries_total") > 0


def test_postgresql_is_not_there_at_the_start(own_postgres, make_site, bus_path):
    site = make_site(own_postgres, f"embedded:{bus_path}")
    own_postgres.stop()
    for name in PROGRAMS:
        site.launch(name)
    wait_hindered(site, OF_DATABASE, "database")
    site.wait_ready("collector")
    site.replay()
    site.complain()
    own_postgres.start()
    site.wait_ready()
    finish(site)


def test_postgresql_fails_over_to_a_standby(own_postgres, make_site, bus_path, work_dir):
    """Killed in the middle of its work; the second server is read-only, then promoted."""
    second = own_postgres.standby(work_dir / "second")
    site = make_site(own_postgres, f"embedded:{bus_path}")
    def both(user):
        folders = f"{own_postgres.folder.resolve()}/socket,{second.folder.resolve()}/socket"
        return f"host={folders} user={user} dbname={site.database}"
    site.conninfo = both
    site.start()
    replay = site.start_replay(10)
    until(site.verdicts, "the first verdict")
    own_postgres.kill()
    wait_hindered(site, OF_DATABASE, "database")
    wait_hindered(site, OF_DATABASE, "session is read-only")
    assert is_ready(site, "collector"), "it needs no database"
    second.promote()
    site.postgres, site.own = second, second.conninfo(site.database)
    assert replay.wait() == 0
    site.wait_ready()
    site.complain()
    finish(site)
    second.stop()


# --- the bus -------------------------------------------------------------------------------


def test_the_disk_of_the_bus_is_full_and_has_room_again(postgres, make_site, small_disk):
    site = make_site(postgres, f"embedded:{small_disk.path}/bus.db", enter=small_disk.enter)
    site.start()
    with small_disk.filled():
        site.replay()
        wait_hindered(site, ["collector"], f"{small_disk.path}/bus.db", "make room")
        doctor_names(site, "disk", "make room")
        doctor_names(site, site.running["collector"].url, "make room")
        site.complain("--bus-timeout", "1s", status=75)
        assert site.verdicts() == []
    site.wait_ready()
    site.complain()
    finish(site)


def test_what_a_full_disk_makes_the_bus_give_up_is_counted(postgres, make_site, small_disk):
    site = make_site(postgres, f"embedded:{small_disk.path}/bus.db", enter=small_disk.enter)
    site.launch("collector", "--delivery-timeout-s", "1s")
    site.start("scorer")
    site.wait_ready("collector")
    collector = site.running["collector"]
    with small_disk.filled():
        site.replay()
        until(lambda: collector.metric("postern_collector_batches_lost_total") > 0, "given up")
        wait_hindered(site, ["collector"], "make room")
    site.wait_ready("collector")
    records = sum(collector.metric(f"postern_collector_{kind}_total")
                  for kind in ("records", "options_records"))
    def told():
        (received, lost, others), = site.query("SELECT sum(received), sum(lost_bus),"
                                               " sum(lost - lost_bus) FROM api_v1.exporter_loss")
        return received + lost == records and lost > 0 and others == 0
    until(told, f"all {records} records are in the database's ledger, the lost ones as such")
    doctor_names(site, "given up by the bus", "look after the bus")


def test_the_broker_hangs_and_then_is_stopped(postgres, own_kafka, make_site):
    site = make_site(postgres, own_kafka.uri)
    site.start()
    replay = site.start_replay(1)
    until(site.verdicts, "the first verdict")
    for leave, come_back in ((own_kafka.pause, own_kafka.resume),
                             (own_kafka.stop, own_kafka.start)):
        assert replay.is_running
        leave()
        try:
            wait_hindered(site, ["collector"], own_kafka.uri)
            wait_hindered(site, ["scorer"], "bus")
            doctor_names(site, "WRONG  bus", "is the broker running")
            site.complain("--bus-timeout", "1s", status=75)
            assert is_ready(site, "dispatch-desk", "dispatch-mail"), "they need no bus"
        finally:
            come_back()
        site.wait_ready()
    assert replay.wait() == 0
    site.complain()
    finish(site)


# --- mails ---------------------------------------------------------------------------------


def test_the_mail_server_is_away_and_then_not_in_the_mood(postgres, make_site, bus_path):
    server = MailServer()
    site = make_site(postgres, f"embedded:{bus_path}", transport=server.uri)
    site.mails = lambda: [email.message_from_bytes(letter.content, policy=email.policy.default)
                          for letter in server.taken]
    site.start()
    site.replay()
    site.complain()
    wait_hindered(site, ["dispatch-mail"], "mail", "connect")
    doctor_names(site, "mails to customers wait", "connect", "look after the mail server")
    assert is_ready(site, "dispatch-desk", "scorer", "collector")
    server.otherwise = "4xx"
    with server:
        until(lambda: len(site.outbox()) >= 3, "three mails")
        site.advance(minutes=6)
        wait_hindered(site, ["dispatch-mail"], "451")
        doctor_names(site, "mails to customers wait", "451", "look after the mail server")
        server.otherwise = "accept"
        site.advance(minutes=20)
        site.wait_ready()
        finish(site)


def test_the_disk_of_the_maildir_is_full_and_has_room_again(postgres, make_site, bus_path,
                                                            small_disk):
    site = make_site(postgres, f"embedded:{bus_path}", enter=small_disk.enter,
                     transport=f"maildir:{small_disk.path}/mail")
    site.mail = small_disk.seen_from_here / "mail"
    site.start()
    with small_disk.filled():
        site.replay()
        site.complain()
        wait_hindered(site, ["dispatch-mail"], "No space left")
        doctor_names(site, "mails to customers wait", "No space left")
        assert site.mails() == []
    site.advance(minutes=6)
    site.wait_ready()
    finish(site)
