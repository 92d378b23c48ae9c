# SPDX-License-Identifier: Apache-2.0
"""The parts that tests rely on are real and do what the other tests assume."""

import signal
import smtplib
import socket
import subprocess
import urllib.error
import urllib.request

import psycopg
import pytest

from broker import NotProduced
from program import Runner
from waiting import until

SENDER, RECIPIENT = "abuse@example.org", "customer@example.org"


def kcat(kafka, *arguments, stdin=None):
    return subprocess.run(["kcat", "-b", kafka.bootstrap, *arguments], input=stdin, check=True,
                          capture_output=True, text=True, timeout=30).stdout


def test_kafka_gives_back_what_kcat_sent(kafka):
    kafka.create_topic("support.kcat", 3)
    kcat(kafka, "-P", "-t", "support.kcat", "-p", "2", stdin="one\ntwo\n")
    assert kcat(kafka, "-C", "-t", "support.kcat", "-p", "2", "-e", "-q") == "one\ntwo\n"
    assert kafka.partitions("support.kcat") == 3
    assert kafka.read_all("support.kcat", 2) == [b"one", b"two"]


def test_kafka_makes_no_topic_by_itself(kafka):
    with pytest.raises(NotProduced):
        kafka.produce("support.absent", 0, b"lost")
    assert kafka.partitions("support.absent") == 0


def test_kafka_returns_with_its_data_after_kill(own_kafka):
    own_kafka.create_topic("support.kill", 1)
    own_kafka.produce("support.kill", 0, b"kept")
    own_kafka.kill()
    with pytest.raises(OSError), socket.create_connection(own_kafka.bootstrap.split(":"), 1):
        pass
    own_kafka.start()
    assert own_kafka.read_all("support.kill", 0) == [b"kept"]


def test_postgres_has_no_network_port(postgres):
    with postgres.connect() as connection:
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)


def test_postgres_gives_each_test_an_empty_database(postgres, database):
    with postgres.connect(database) as connection:
        connection.execute("CREATE TABLE only_here ()")
    other = postgres.create_database()
    with postgres.connect(other) as connection, pytest.raises(psycopg.errors.UndefinedTable):
        connection.execute("TABLE only_here")
    postgres.drop_database(other)


def test_postgres_keeps_what_was_committed_through_kill(own_postgres):
    with own_postgres.connect() as connection:
        assert connection.execute("SHOW fsync").fetchone() == ("on",)
        connection.execute("CREATE TABLE kept AS SELECT 1 AS number")
        own_postgres.kill()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("TABLE kept")
    own_postgres.start()
    with own_postgres.connect() as connection:
        assert connection.execute("TABLE kept").fetchone() == (1,)


def send(server, text, patience_s=30):
    host, port = server.uri.removeprefix("smtp://").split(":")
    with smtplib.SMTP(host, int(port), timeout=patience_s) as client:
        client.sendmail(SENDER, [RECIPIENT], f"Subject: {text}\r\n\r\n{text}\r\n")


def test_mail_server_takes_mail(mail_server):
    send(mail_server, "hello")
    [letter] = mail_server.taken
    assert (letter.sender, letter.recipients) == (SENDER, (RECIPIENT,))
    assert b"Subject: hello" in letter.content


@pytest.mark.parametrize("cue, error, taken", [
    ("4xx", smtplib.SMTPDataError, 0),
    ("5xx", smtplib.SMTPDataError, 0),
    ("4xx-rcpt", smtplib.SMTPRecipientsRefused, 0),
    ("5xx-rcpt", smtplib.SMTPRecipientsRefused, 0),
    ("silence", smtplib.SMTPServerDisconnected, 0),
    ("drop", smtplib.SMTPServerDisconnected, 0),
    ("drop-after-taking", smtplib.SMTPServerDisconnected, 1),
])
def test_mail_server_misbehaves_once_per_cue(mail_server, cue, error, taken):
    mail_server.cue(cue)
    with pytest.raises(error):
        send(mail_server, "first", patience_s=2 if cue == "silence" else 30)
    assert len(mail_server.taken) == taken
    send(mail_server, "second")
    assert len(mail_server.taken) == taken + 1
    assert mail_server.tries == 2


def test_swaks_can_send(mail_server):
    host_port = mail_server.uri.removeprefix("smtp://")
    subprocess.run(["swaks", "--server", host_port, "--from", SENDER, "--to", RECIPIENT,
                    "--silent", "2"], check=True, timeout=30)
    assert len(mail_server.taken) == 1


def test_runner_waits_for_readiness_and_ends_the_program(runner, free_port, work_dir):
    port = free_port()
    (work_dir / "readyz").write_text("ready\n")
    program = runner.start("/usr/bin/python3", "-m", "http.server", "--bind", "127.0.0.1",
                           "--directory", work_dir, port)
    program.wait_ready(f"http://127.0.0.1:{port}/readyz")
    assert "GET /readyz" in program.stderr
    assert program.stop() == -signal.SIGTERM
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5)


def test_runner_reports_a_crash(work_dir):
    runner = Runner(None, work_dir)
    program = runner.start("/bin/sh", "-c", "echo what happened >&2; kill -SEGV $$")
    until(lambda: not program.is_running, "the shell ended")
    with pytest.raises(AssertionError, match="what happened"):
        runner.clean_up()


def test_runner_takes_a_wanted_kill_as_it_is(runner):
    program = runner.start("/bin/sleep", "60")
    program.kill()
    assert not program.is_running


def test_small_disk_is_full_when_it_is_full(small_disk, runner):
    done = runner.run("/usr/bin/env", *small_disk.enter, "dd", "if=/dev/zero", "bs=1M", "count=9",
                      f"of={small_disk.path}/big", status=1)
    assert "No space left on device" in done.stderr
    assert (small_disk.seen_from_here / "big").stat().st_size == small_disk.size_bytes
