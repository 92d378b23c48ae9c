# SPDX-License-Identifier: Apache-2.0
"""Mails to customers, from the row to a real mail server or a maildir, with everything that can go
wrong on the way."""

import contextlib
import random
import re
import shutil
import ssl
import subprocess
import time

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from desk import CUSTOMERS, ENGLISH, GERMAN, Desk, readiness
from letters import Balance, block, mailer, parsed, text_of, warn
from waiting import until


def row(desk):
    return desk.query("SELECT state, attempts, resends, code, detail FROM postern.outbox"
                      " ORDER BY id")[0]


def wait_tried(desk, times):
    """The first mail was tried so often, its answer is written, and it waits for its next try."""
    until(lambda: desk.query("SELECT state, attempts, worker FROM postern.outbox ORDER BY id")[0]
          == ("pending", times, None), f"try {times}")


# --- what a mail is --------------------------------------------------------------------------


def test_one_recipient_a_verp_envelope_and_headers_for_robots(desk, mail_server):
    block(desk)
    mailer(desk, mail_server)
    message_id = desk.wait_mail("blocked")
    [letter] = mail_server.taken
    assert letter.recipients == ("post@mueller.example",)
    assert letter.sender == desk.value("SELECT envelope_from FROM postern.outbox")
    assert re.fullmatch(r"bounces\+[0-9a-f]+@localhost", letter.sender)
    message = parsed(letter)
    assert message["Message-ID"] == f"<{message_id}>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["To"] == "post@mueller.example"
    assert message["From"] == "Abuse desk <abuse@localhost>"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert b"\n" not in letter.content.replace(b"\r\n", b"")
    assert max(map(len, letter.content.split(b"\r\n"))) <= 998


def test_a_german_customer_reads_german_and_his_own_time(desk, mail_server):
    desk.query("UPDATE postern.setting SET value = 'file:' || %s WHERE key = 'test.clock'",
               str(frozen_clock(desk, "2026-06-01T10:00:00Z")))
    block(desk)
    mailer(desk, mail_server)
    desk.wait_mail("blocked")
    message = parsed(mail_server.taken[0])
    text = text_of(message)
    assert "ist für ausgehende Mails gesperrt" in message["Subject"]
    assert "01.06.2026 11:00 UTC" in text
    assert "01.06.2026 13:00 CEST (Europe/Berlin)" in text
    assert message["Date"] == "Mon, 01 Jun 2026 10:00:00 +0000"


def frozen_clock(desk, moment):
    path = desk.cluster.folder / "clock"
    path.write_text(moment)
    path.chmod(0o644)
    return path.resolve()


def test_a_warning_says_what_when_why_and_what_to_do(desk, mail_server):
    warn(desk, message_id="buy-now@spammer.example")
    mailer(desk, mail_server)
    desk.wait_mail("warning")
    message = parsed(mail_server.taken[0])
    text = text_of(message)
    hours = [desk.value(f"SELECT to_char(deadline - interval '{later}', 'YYYY-MM-DD HH24:')"
                        " FROM postern.warning") for later in ("1 minute", "0")]
    assert any(hour in text for hour in hours), "written up to a minute before it was accepted"
    for words in (ENGLISH, "srv-2", "C-2", "PST-", "America/New_York", "24 hours",
                  "reporter.example", "buy-now@spammer.example", "Nothing is", "systemctl stop",
                  "postqueue -p", "reverse DNS", "DKIM", "DMARC", "unsubscribe",
                  "complaints by recipients", "terms of service", "Automated: yes", "court"):
        assert words in text, f"{words}:\n{text}"
    assert "{{" not in text and "http://localhost" not in text


def test_the_table_has_at_most_twenty_rows(desk, mail_server):
    block(desk, ENGLISH)
    for number in range(1, 31):
        desk.value("SELECT postern.apply_complaint(%s)", desk.complaint(ENGLISH, number))
    desk.query("UPDATE postern.outbox SET vars = vars || jsonb_build_object('evidence',"
               " postern.mail_evidence(case_id, 'UTC'), 'evidence_total', 46)")
    mailer(desk, mail_server)
    desk.wait_mail("blocked")
    text = text_of(parsed(mail_server.taken[0]))
    assert len(re.findall(r"^20\d\d-\d\d-\d\d \d\d:\d\d:\d\d  ", text, re.M)) == 20
    assert "Evidence (20 of 46" in text


def test_names_of_strangers_cannot_add_headers_or_markup(desk, mail_server):
    hostile = '<img src=x onerror="alert(1)"> & Söhne'
    desk.import_csv(CUSTOMERS.replace("Example Ltd", hostile.replace('"', "'")))
    warn(desk, message_id="a@b {{unit}} <script>alert(1)</script>")
    mailer(desk, mail_server)
    desk.wait_mail("warning")
    message = parsed(mail_server.taken[0])
    html = text_of(message, "html")
    assert "<img" not in html and "<script" not in html
    assert "&lt;img src=x onerror=&#39;alert(1)&#39;&gt; &amp; Söhne" in html
    assert "<img src=x onerror='alert(1)'> & Söhne" in text_of(message)
    assert "a@b {{unit}}" in text_of(message)


@pytest.mark.parametrize("unit", [GERMAN, ENGLISH])
def test_the_html_of_every_kind_is_well_formed(desk, mail_server, unit):
    warn(desk, unit)
    mailer(desk, mail_server)
    desk.wait_mail("warning")
    block_by_verdict = desk.verdict(unit)
    desk.value("SELECT postern.apply_verdict(%s)", block_by_verdict)
    desk.cli("ip", "release", unit, "--reason", "done")
    desk.dispatch("enforce")
    desk.wait_mail("released")
    kinds = [m[0] for m in desk.mails()]
    assert {"warning", "blocked", "released"} <= set(kinds)
    for letter in mail_server.taken:
        page = text_of(parsed(letter), "html")
        balance = Balance()
        balance.feed(page)
        assert balance.open == [], page
        assert page.count("<table") >= 1 and unit in page


def test_a_preview_says_what_the_mail_says_and_sends_nothing(desk, mail_server):
    warn(desk)
    case = desk.value("SELECT public_id FROM postern.spam_case")
    shown = desk.cli("mail", "preview", "warning", "--case", case.lower()).stdout
    by_number = desk.cli("mail", "preview", "warning", "--case", str(int(case[9:]))).stdout
    assert row(desk)[:2] == ("pending", 0)
    mailer(desk, mail_server)
    desk.wait_mail("warning")
    message = parsed(mail_server.taken[0])
    assert f"To: desk@example.org\nSubject: {message['Subject'][:40]}" in shown
    # Between them a minute may have passed, and the mail names minutes.
    minutes = re.compile(r"\d\d:\d\d ")
    name = re.compile(r"(HELO name\.).*?(\n\* Publish)", re.S)    # what the resolver says
    sent = name.sub(r"\1\2", minutes.sub("", text_of(message)))
    assert sent.strip() in name.sub(r"\1\2", minutes.sub("", shown))
    assert name.sub("", minutes.sub("", by_number)) == name.sub("", minutes.sub("", shown))
    page = desk.cli("mail", "preview", "warning", "--case", case, "--html", "--locale", "de").stdout
    assert page.startswith("<!DOCTYPE html>") and "unerwünschte Mails" in page
    assert "no case PST-1" in desk.cli("mail", "preview", "warning", "--case", "PST-1",
                                       status=1).stderr
    assert "never had a block" in desk.cli("mail", "preview", "blocked", "--case", case,
                                           status=1).stderr
    desk.cli("mail", "preview", "warning", status=2)
    desk.cli("mail", "preview", "birthday", "--case", case, status=1)
    assert len(mail_server.taken) == 1


def test_later_mails_refer_to_the_first_of_the_case(desk, mail_server):
    warn(desk)
    mailer(desk, mail_server)
    first = desk.wait_mail("warning")
    number = desk.verdict(ENGLISH)
    desk.value("SELECT postern.apply_verdict(%s)", number)
    desk.wait_mail("blocked")
    message = parsed(mail_server.taken[1])
    assert message["References"] == message["In-Reply-To"] == f"<{first}>"
    assert parsed(mail_server.taken[0])["References"] is None


def test_no_mail_leaves_in_shadow_mode(desk, mail_server):
    block(desk)
    desk.cli("mode", "shadow")
    mailer(desk, mail_server)
    desk.advance(hours=1)
    time.sleep(2.5)     # two polls
    assert mail_server.tries == 0 and row(desk)[0] == "pending"
    desk.cli("mode", "enforce", "--yes")
    desk.wait_mail("blocked")


# --- what mail servers do --------------------------------------------------------------------


@pytest.mark.parametrize("cue", ["4xx", "4xx-rcpt"])
def test_not_now_is_tried_again_on_the_schedule_under_the_same_name(desk, mail_server, cue):
    mail_server.cue(cue, cue)
    block(desk)
    mailer(desk, mail_server)
    wait_tried(desk, 1)
    assert row(desk)[3] == 451 and "not now, try later" in row(desk)[4]
    desk.advance(minutes=6)
    wait_tried(desk, 2)
    desk.advance(minutes=6)
    time.sleep(1.5)
    assert row(desk)[1] == 2, "the second pause is longer"
    desk.advance(minutes=11)
    message_id = desk.wait_mail("blocked")
    assert [parsed(letter)["Message-ID"] for letter in mail_server.taken] == [f"<{message_id}>"]
    assert row(desk)[2] == 0


@pytest.mark.parametrize("cue", ["5xx", "5xx-rcpt"])
def test_never_goes_to_the_next_contact_and_to_a_person(desk, mail_server, cue):
    mail_server.cue(cue)
    block(desk)
    mailer(desk, mail_server)
    until(lambda: [m[1] for m in desk.mails()] == ["failed", "done"], "next contact has it")
    assert row(desk)[3] == 550 and "not wanted" in row(desk)[4]
    assert [letter.recipients for letter in mail_server.taken] == [("chef@mueller.example",)]
    assert "mail-failed" in desk.alarms()
    ids = [m[2] for m in desk.mails()]
    assert ids[0] != ids[1]


def test_a_warning_that_nobody_takes_starts_no_clock(desk, mail_server):
    mail_server.otherwise = "5xx"
    warn(desk)
    mailer(desk, mail_server)
    until(lambda: row(desk)[0] == "failed", "refused")
    assert desk.query("SELECT state, deadline FROM postern.warning") == [("suspended", None)]


def test_silence_after_data_is_uncertain_and_sent_once_more(desk, mail_server):
    mail_server.cue("silence")
    block(desk)
    mailer(desk, mail_server)
    until(lambda: row(desk)[0] == "sending" and row(desk)[4], "uncertain is written down")
    assert mail_server.taken == []
    desk.advance(minutes=6)
    message_id = desk.wait_mail("blocked")
    assert [parsed(letter)["Message-ID"] for letter in mail_server.taken] == [f"<{message_id}>"]
    assert row(desk)[2] == 1


def test_broken_off_twice_after_data_alarms_and_is_not_sent_a_third_time(desk, mail_server):
    mail_server.otherwise = "drop-after-taking"
    block(desk)
    mailer(desk, mail_server)
    until(lambda: row(desk)[0] == "sending" and row(desk)[4], "first")
    desk.advance(minutes=6)
    until(lambda: row(desk)[0] == "uncertain", "second")
    desk.advance(hours=48)
    time.sleep(1.5)
    assert "mail-uncertain" in desk.alarms()
    assert len({parsed(letter)["Message-ID"] for letter in mail_server.taken}) == 1
    assert len(mail_server.taken) == 2


def test_a_server_that_is_away_keeps_the_mail_waiting(desk, free_port):
    block(desk)
    program = desk.dispatch("mail", "--mail", f"smtp://127.0.0.1:{free_port()}")
    wait_tried(desk, 1)
    assert row(desk)[2] == 0 and program.is_running


def test_no_letter_goes_in_the_clear_when_tls_is_required(desk, mail_server):
    block(desk)
    mailer(desk, mail_server, "--mail-tls", "require")
    wait_tried(desk, 1)
    assert mail_server.tries == 0
    assert "SSL" in row(desk)[4] or "TLS" in row(desk)[4]


def test_a_contact_that_is_no_address_is_refused_without_a_server(desk, mail_server):
    block(desk)
    desk.query("UPDATE postern.outbox SET contact_email = 'x@y RCPT TO:<z@example.org>'")
    mailer(desk, mail_server)
    until(lambda: row(desk)[0] == "failed", "refused")
    assert "is no mail address" in row(desk)[4]


class Login:
    """A server that wants user and password, and TLS if it is given a context."""

    def __init__(self, port, context=None, implicit=False):
        self.names, self.letters = [], []
        options = {"ssl_context": context} if implicit else {"tls_context": context}
        self._controller = Controller(
            self, hostname="127.0.0.1", port=port, authenticator=self._check, auth_required=True,
            auth_require_tls=context is not None and not implicit,
            require_starttls=context is not None and not implicit, **options)

    def _check(self, server, session, envelope, mechanism, data):
        self.names.append(data.login.decode())
        return AuthResult(success=data.password == b"s3cret:word", handled=False)

    async def handle_DATA(self, server, session, envelope):  # pylint: disable=invalid-name
        self.letters.append(envelope.content)
        return "250 2.0.0 taken"

    def __enter__(self):
        self._controller.start()
        return self

    def __exit__(self, *unused):
        self._controller.stop()


def login_arguments(desk, password):
    path = desk.folder / "password"
    path.write_text(password + "\n")
    return "--mail-user", "postern", "--mail-password-file", path


def test_user_and_password_are_given_and_a_wrong_one_costs_no_mail(desk, free_port):
    port = free_port()
    with Login(port) as server:
        block(desk)
        program = desk.dispatch("mail", "--mail", f"smtp://127.0.0.1:{port}",
                                *login_arguments(desk, "wrong"))
        wait_tried(desk, 1)
        assert server.letters == [] and "s3cret" not in program.stderr + program.stdout
        program.stop()
        desk.dispatch("mail", "--mail", f"smtp://127.0.0.1:{port}",
                      *login_arguments(desk, "s3cret:word"))
        desk.advance(minutes=6)
        desk.wait_mail("blocked")
        assert len(server.letters) == 1 and set(server.names) == {"postern"}


@pytest.fixture
def certificate(work_dir):
    """A server's context and the file that makes its certificate trusted."""
    key, cert = work_dir / "key.pem", work_dir / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
                    "-keyout", key, "-out", cert], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context, cert


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_tls_is_spoken_only_with_a_server_that_is_who_it_should_be(desk, free_port, certificate,
                                                                  scheme):
    context, trusted = certificate
    port = free_port()
    with Login(port, context, implicit=scheme == "smtps") as server:
        block(desk)
        arguments = ("--mail", f"{scheme}://127.0.0.1:{port}", "--mail-tls", "require",
                     *login_arguments(desk, "s3cret:word"))
        program = desk.dispatch("mail", *arguments)
        wait_tried(desk, 1)
        assert "certificate" in row(desk)[4] and server.letters == []
        program.stop()
        desk.dispatch("mail", *arguments, "--mail-ca-file", trusted)
        desk.advance(minutes=6)
        desk.wait_mail("blocked")
        assert len(server.letters) == 1


# --- what happens to us ----------------------------------------------------------------------


def test_kill_9_between_sending_and_its_answer_sends_once_more_under_the_same_name(
        desk, mail_server):
    mail_server.cue("silence")
    block(desk)
    program = desk.dispatch("mail", "--mail", mail_server.uri, "--mail-timeout", "60s")
    until(lambda: mail_server.tries == 1, "DATA is over")
    assert row(desk)[0] == "sending"
    program.kill()
    mailer(desk, mail_server)
    time.sleep(1.5)
    assert mail_server.tries == 1, "the lease of the dead one still runs"
    desk.advance(minutes=3)
    message_id = desk.wait_mail("blocked")
    assert [parsed(letter)["Message-ID"] for letter in mail_server.taken] == [f"<{message_id}>"]
    assert row(desk)[2] == 1


def test_kill_9_at_any_moment_never_doubles_a_mail_in_a_maildir(desk):
    units = [f"192.0.2.{n}" for n in range(32)]
    for unit in units:
        block(desk, unit)
    chance = random.Random(4)
    count = "SELECT count(*) FROM postern.outbox WHERE state IN ('done', 'uncertain')"
    while (before := desk.value(count)) < len(units):
        program = desk.runner.start("postern-dispatch", *desk.dispatch_arguments("mail"))
        until(lambda: desk.value(count) > before, "one more is settled", pause_s=0.001)
        time.sleep(chance.uniform(0, 0.02))
        program.kill()
        desk.advance(minutes=30)
    delivered = desk.delivered()    # fails where a Message-ID is there twice
    done = {message_id for _, state, message_id in desk.mails() if state == "done"}
    assert len(done) == len(units) and done == set(delivered)


def test_the_answer_is_kept_until_the_database_is_back(own_desk, mail_server):
    mail_server.cue("silence")
    block(own_desk)
    program = own_desk.dispatch("mail", "--mail", mail_server.uri, "--mail-timeout", "8s")
    until(lambda: mail_server.tries == 1, "DATA is over")
    own_desk.cluster.kill()
    until(lambda: "uncertain" in program.stderr, "it gave up waiting")
    own_desk.cluster.start()
    until(lambda: row(own_desk)[0] == "sending" and row(own_desk)[4], "written down")
    assert row(own_desk)[2] == 0 and mail_server.tries == 1


def be_standby(desk, is_standby):
    """Whoever connects from now on finds a server that only answers, as a standby does."""
    with desk.cluster.connect() as connection:
        connection.execute(f"ALTER DATABASE {desk.database} "
                           + ("SET default_transaction_read_only = on" if is_standby
                              else "RESET default_transaction_read_only"))
    desk.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
               " WHERE datname = current_database() AND pid <> pg_backend_pid()")


def test_a_standby_that_answers_sends_nothing_and_forgets_nothing(desk, mail_server):
    block(desk)
    be_standby(desk, True)
    program = mailer(desk, mail_server)
    until(lambda: "read-only" in readiness(program)[1], "it says what is wrong")
    assert readiness(program)[0] == 503 and mail_server.tries == 0
    mail_server.cue("silence")
    be_standby(desk, False)
    until(lambda: mail_server.tries == 1, "promoted: it sends")
    be_standby(desk, True)
    until(lambda: "uncertain" in program.stderr, "and cannot write down what came of it")
    be_standby(desk, False)
    until(lambda: row(desk)[0] == "sending" and row(desk)[4], "until it can")
    desk.advance(minutes=6)
    desk.wait_mail("blocked")
    assert mail_server.tries == 2 and len(mail_server.taken) == 1


def test_a_full_disk_keeps_mails_waiting_and_leaves_nothing_half(desk, small_disk):
    block(desk)
    folder = small_disk.path / "mail"
    filler = small_disk.seen_from_here / "filler"
    arguments = desk.dispatch_arguments("mail", "--mail", f"maildir:{folder}")
    program = desk.runner.path("postern-dispatch")
    with open(filler, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    desk.runner.start(shutil.which("nsenter"), *small_disk.enter[1:], program, *arguments)
    wait_tried(desk, 1)
    assert "No space left" in row(desk)[4]
    here = small_disk.seen_from_here / "mail"
    assert [path for part in ("tmp", "new", "cur") if (here / part).exists()
            for path in (here / part).iterdir()] == []
    filler.unlink()
    desk.advance(minutes=6)
    desk.wait_mail("blocked")
    assert len(list((here / "new").iterdir())) == 1


# --- templates -------------------------------------------------------------------------------


def test_an_operators_template_takes_the_place_of_ours(desk, mail_server):
    folder = desk.folder / "templates"
    folder.mkdir()
    (folder / "blocked.de.txt").write_text("Subject: Eigener Betreff {{unit}}\n\nEigener Text\n")
    block(desk)
    program = mailer(desk, mail_server, "--mail-templates", folder)
    desk.wait_mail("blocked")
    message = parsed(mail_server.taken[0])
    assert message["Subject"] == f"Eigener Betreff {GERMAN}"
    assert text_of(message).strip() == "Eigener Text"

    (folder / "blocked.de.txt").write_text("Subject: kaputt {{was}}\n\nx\n")
    program.process.send_signal(1)
    until(lambda: "kept as they were" in program.stderr and "blocked.de.txt:1" in program.stderr,
          "the mistake is named, the old one stays")
    assert program.is_running


def test_a_wrong_template_stops_the_start_with_file_and_line(desk):
    folder = desk.folder / "templates"
    folder.mkdir()
    (folder / "warning.en.html").write_text("<p>\n{{#samples}}\n<td>{{nope}}\n{{/samples}}")
    arguments = desk.dispatch_arguments("mail", "--mail-templates", folder)
    done = desk.runner.run("postern-dispatch", *arguments, status=2)
    assert "warning.en.html:3: unknown variable {{nope}}" in done.stderr


def test_a_setting_that_is_no_address_is_named_and_mended(runner, postgres, work_dir,
                                                          desk_template, mail_server):
    desk = Desk(runner, postgres, work_dir, desk_template)
    desk.query("UPDATE postern.setting SET value = 'nobody' WHERE key = 'mail.from'")
    block(desk)
    mailer(desk, mail_server)
    wait_tried(desk, 1)
    assert "mail.from" in row(desk)[4]
    desk.query("UPDATE postern.setting SET value = 'Desk <desk@h.example>' WHERE key = 'mail.from'")
    desk.advance(minutes=6)
    desk.wait_mail("blocked")
