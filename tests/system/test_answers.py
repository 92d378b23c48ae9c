# SPDX-License-Identifier: Apache-2.0
"""What comes back to our mails, from the mailbox through intake, bus and scorer to the desk."""

import email.policy
from email.message import EmailMessage
from email.parser import BytesParser

import pytest

import postfix
from desk import ENGLISH, GERMAN
from waiting import until


def parsed(content):
    return BytesParser(policy=email.policy.default).parsebytes(content)


class Way:
    """Mails go in as a mail server pipes them; what became of them stands in the database."""

    def __init__(self, runner, desk, bus_path):
        self.runner, self.desk, self.bus = runner, desk, f"embedded:{bus_path}"
        self._started = False

    def take(self, content, *arguments):
        path = self.desk.folder / "incoming.eml"
        path.write_bytes(content)
        self.runner.run("postern-intake", "--bus", self.bus, *arguments, path)
        before = self.desk.value("SELECT count(*) FROM postern.complaint")
        if not self._started:
            self.runner.start_ready("postern-scorer", "--bus", self.bus, "--database",
                                    self.desk.conninfo("postern_ingest"))
            self.desk.dispatch("verdict")
            self._started = True
        until(lambda: self.desk.value("SELECT count(*) FROM postern.complaint WHERE applied_at"
                                      " IS NOT NULL") > before, "it is applied")
        return self.desk.value("SELECT action FROM postern.complaint ORDER BY id DESC LIMIT 1")


@pytest.fixture
def way(runner, desk, bus_path):
    return Way(runner, desk, bus_path)


def warned(desk, unit, transport):
    """A warning that a mail server has accepted."""
    number = desk.complaint(unit, 1)
    assert desk.value("SELECT postern.apply_complaint(%s)", number) == "warned"
    program = desk.dispatch("mail", "--mail", transport)
    desk.wait_mail("warning")
    return program


def warning(desk):
    return desk.query("SELECT state, deadline FROM postern.warning")[0]


def postfix_report(letter, action, answer):
    """What Postfix writes about a mail: for ordinary users, who cannot run its master process."""
    return (f"Return-Path: <>\nFrom: MAILER-DAEMON@relay.example (Mail Delivery System)\n"
            f"To: {letter.sender}\nAuto-Submitted: auto-replied\nMIME-Version: 1.0\n"
            "Content-Type: multipart/report; report-type=delivery-status; boundary=\"b/relay\"\n\n"
            "--b/relay\nContent-Description: Notification\n\nI'm sorry to have to tell you.\n\n"
            "--b/relay\nContent-Description: Delivery report\n"
            "Content-Type: message/delivery-status\n\nReporting-MTA: dns; relay.example\n"
            f"X-Postfix-Sender: rfc822; {letter.sender}\n\n"
            f"Final-Recipient: rfc822; {letter.recipients[0]}\nAction: {action}\n"
            f"Status: {answer[4:9]}\nDiagnostic-Code: smtp; {answer}\n\n"
            "--b/relay\nContent-Type: message/rfc822\n\n").encode() + letter.content + \
        b"\n--b/relay--\n"


def refused_later(desk, mail_server, *cues, more="", action, answer):
    """A relay has accepted the warning; the customer's server answers with `cues`. The relay's
    report about that."""
    if not postfix.is_there():
        warned(desk, ENGLISH, mail_server.uri)
        return postfix_report(mail_server.taken[0], action, answer)
    mail_server.cue(*cues)
    with postfix.Postfix(int(mail_server.uri.rsplit(":", 1)[1]), more) as relay:
        warned(desk, ENGLISH, relay.uri)
        assert warning(desk)[0] == "running"
        until(lambda: any(letter.sender == "<>" for letter in mail_server.taken), "the report")
    letter = next(letter for letter in mail_server.taken if letter.sender == "<>")
    assert letter.recipients == desk.query("SELECT envelope_from FROM postern.outbox")[0]
    return letter.content


def test_a_bounce_stops_the_clock(way, desk, mail_server):
    report = refused_later(desk, mail_server, "5xx-rcpt", action="failed",
                           answer="550 5.7.1 not wanted")
    assert b"Action: failed" in report
    assert way.take(report) == "bounced"
    assert warning(desk) == ("suspended", None)
    assert {"mail-failed", "deadline-suspended"} <= set(desk.alarms())
    [(detail,)] = desk.query("SELECT detail FROM postern.outbox WHERE state = 'failed'")
    assert "550" in detail and "not wanted" in detail
    assert desk.value("SELECT count(*) FROM postern.evidence WHERE kind = 'bounce'") == 1


def test_a_delay_changes_nothing(way, desk, mail_server):
    report = refused_later(desk, mail_server, "4xx-rcpt", "4xx-rcpt", action="delayed",
                           answer="451 4.3.0 not now, try later",
                           more="delay_warning_time = 1s\nqueue_run_delay = 1s\n"
                                "minimal_backoff_time = 1s\nmaximal_backoff_time = 1s")
    assert b"Action: delayed" in report
    assert way.take(report) == "stored"
    assert warning(desk)[0] == "running" and desk.alarms() == []


def test_a_reply_waits_for_the_desk(way, desk, mail_server):
    warned(desk, GERMAN, mail_server.uri)
    ours = parsed(mail_server.taken[0].content)
    reply = EmailMessage()
    reply["From"] = "Erika Müller <post@mueller.example>"
    reply["To"] = ours["From"]
    reply["Subject"] = "AW: " + ours["Subject"]
    reply["Message-ID"] = "<reply-1@mueller.example>"
    reply["In-Reply-To"] = reply["References"] = ours["Message-ID"]
    reply.set_content("Das Formular ist geschlossen, das Kennwort geändert.\n\n> " +
                      ours.get_body(("plain",)).get_content().replace("\n", "\n> "))
    assert way.take(bytes(reply)) == "reply"
    [(number, sender, proved, text)] = desk.query(
        "SELECT id, sender, proved, text FROM api_v1.replies")
    assert (sender, proved) == ("Erika Müller <post@mueller.example>", True)
    assert text == "Das Formular ist geschlossen, das Kennwort geändert."
    assert warning(desk)[0] == "running" and desk.alarms() == ["reply"]
    desk.query("SELECT postern.settle_reply(%s, 'disputed', 'alice')", number)
    assert warning(desk)[0] == "disputed"


def test_an_answering_machine_is_not_heard(way, desk, mail_server):
    warned(desk, GERMAN, mail_server.uri)
    ours = parsed(mail_server.taken[0].content)
    reply = EmailMessage()
    reply["From"] = "post@mueller.example"
    reply["Auto-Submitted"] = "auto-replied (vacation)"
    reply["Subject"] = "Auto: " + ours["Subject"]
    reply["In-Reply-To"] = ours["Message-ID"]
    reply.set_content("I am away.\n")
    assert way.take(bytes(reply), "--recipient", mail_server.taken[0].sender) == "stored"
    assert warning(desk)[0] == "running" and desk.alarms() == []
    assert desk.query("SELECT * FROM api_v1.replies") == []
