# SPDX-License-Identifier: Apache-2.0
"""SIGTERM, SIGINT and SIGHUP: at the start, under work, idle, and while something is away.

A service ends in order on the first two, with status 0, and the next one goes on where it stood;
SIGHUP makes it read its files again and nothing else. A command ends at once, like any other, and
has then changed nothing.
"""

import os
import pty
import signal
import subprocess
import time

import pytest

from desk import CUSTOMERS
from installation import DEMO, PROGRAMS, Installation, check_outcome, expected_states
from waiting import until

SERVICES = [name for name in PROGRAMS if name != "collector"]
ENDING = [signal.SIGTERM, signal.SIGINT]
ALL = [*ENDING, signal.SIGHUP]
MOMENTS_S = (0, 0.005, 0.02, 0.05)    # into its start: libraries, options, bus and database


@pytest.fixture(autouse=True)
def as_on_a_terminal():
    """A run in the background, or behind nohup, would hand ignored signals down to programs; those
    that we take ourselves are theirs to take."""
    before = {number: signal.signal(number, lambda *_: None) for number in ALL
              if signal.getsignal(number) == signal.SIG_IGN}
    yield
    for number, action in before.items():
        signal.signal(number, action)


@pytest.fixture
def site(postgres, runner, bus_path, work_dir):
    return Installation.of_the_recorded_day(runner, postgres, f"embedded:{bus_path}", work_dir)


def end_all(site, number):
    """Each service ends in order."""
    for name in SERVICES:
        site.running[name].process.send_signal(number)
    for name in SERVICES:
        program = site.running[name]
        assert program.wait() == 0, program.describe()


def ask_all_to_reload(site):
    for name in SERVICES:
        site.running[name].process.send_signal(signal.SIGHUP)
    site.wait_ready(*SERVICES)


@pytest.mark.parametrize("number", ALL)
def test_under_work_and_idle(site, number):
    site.start()
    replay = site.start_replay(10)
    until(site.verdicts, "the first verdict")
    if number == signal.SIGHUP:
        ask_all_to_reload(site)
    else:
        end_all(site, number)
        site.start(*SERVICES)
    assert replay.wait() == 0
    site.complain()
    site.wait_idle()
    if number == signal.SIGHUP:
        ask_all_to_reload(site)
    end_all(site, signal.SIGTERM if number == signal.SIGHUP else number)
    check_outcome(site, expected_states())
    assert site.query("SELECT count(*) FROM postern.outbox WHERE state = 'sending'") == [(0,)]


@pytest.mark.parametrize("name", SERVICES)
def test_at_its_start(site, name):
    """Until it listens to signals they do what they do to anybody."""
    site.start("collector")    # the scorer waits for topics
    for number in ALL:
        for moment in MOMENTS_S:
            site.launch(name)
            program = site.running[name].expect_failure()
            time.sleep(moment)    # the moment is the experiment
            program.process.send_signal(number)
            if number == signal.SIGHUP:
                time.sleep(0.02)
                if program.is_running:
                    assert program.stop() in (0, -signal.SIGTERM), program.describe()
                    continue
            assert program.wait() in (0, -number), program.describe()


@pytest.mark.parametrize("number", ENDING)
@pytest.mark.parametrize("name", SERVICES)
def test_while_its_database_is_away(site, work_dir, name, number):
    site.start("collector")
    site.conninfo = lambda user: f"host={work_dir} dbname=absent user={user}"
    site.launch(name)
    program = site.running[name]
    until(lambda: "away" in program.stderr, f"it says so: {program.stderr}")
    program.process.send_signal(number)
    assert program.wait() == 0, program.describe()


# --- commands ----------------------------------------------------------------------------------



@pytest.mark.parametrize("number", ALL)
def test_a_mail_that_is_not_yet_read_is_not_taken(runner, bus_path, number):
    reading, writing = os.pipe()
    with open(reading, "rb") as pipe, open(writing, "wb") as mail:
        program = runner.start("postern-intake", "--bus", f"embedded:{bus_path}", "-",
                               stdin=pipe).expect_failure()
        mail.write(DEMO.joinpath("complaint.eml").read_bytes()[:1000])
        mail.flush()
        until(lambda: os.path.exists(bus_path), "it waits for the rest")
        program.process.send_signal(number)
        assert program.wait() == -number


@pytest.mark.parametrize("number", ALL)
def test_a_mail_for_a_bus_that_is_away_is_not_taken(runner, free_port, number):
    program = runner.start("postern-intake", "--bus", f"kafka://127.0.0.1:{free_port()}",
                           "--bus-timeout", "60s", DEMO / "complaint.eml").expect_failure()
    until(lambda: "onnect" in program.stderr, f"it tries: {program.stderr}")
    program.process.send_signal(number)
    assert program.wait() == -number


@pytest.mark.parametrize("number", ALL)
def test_a_report_is_whole_or_not_there(desk, number):
    with desk.cluster.connect(desk.database) as other:
        other.autocommit = False
        other.execute("LOCK TABLE postern.exporter_loss")
        program = desk.runner.start("postern-report", "--database",
                                    desk.conninfo("postern_analyst")).expect_failure()
        until(lambda: desk.query("SELECT 1 FROM pg_locks WHERE NOT granted"), "it waits")
        program.process.send_signal(number)
        assert program.wait() == -number
        assert program.stdout == ""


def test_ctrl_c_at_a_question_is_a_no(desk):
    path = desk.folder / "more.csv"
    path.write_text(CUSTOMERS + "192.0.2.32/28,C-3,New One,vps,n,,,\n")
    terminal, theirs = pty.openpty()
    command = [desk.runner.path("postern"), "customers", "import", path, "--database",
               desk.conninfo()]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs,
                          start_new_session=True) as process:
        os.close(theirs)
        screen = b""
        while b"[y/N]" not in screen:
            screen += os.read(terminal, 4096)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == -signal.SIGINT
    os.close(terminal)
    assert b"C-3" in screen
    assert desk.value("SELECT count(*) FROM postern.customer") == 2
