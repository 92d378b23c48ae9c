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


@pytest.mark.skipif(not postfix.is_there(), reason="no Postfix, or not root")
def test_a_real_bounce_stops_the_clock(way, desk, mail_server):
    """The relay accepts the warning; the customer's server refuses it; Postfix tells us."""
    mail_server.cue("5xx-rcpt")
    with postfix.Postfix(int(mail_server.uri.rsplit(":", 1)[1])) as relay:
        warned(desk, ENGLISH, relay.uri)
        assert warning(desk)[0] == "running"
        until(lambda: mail_server.taken, f"the bounce: {relay.log()}")
    [letter] = mail_server.taken
    sent_from, = desk.query("SELECT envelope_from FROM postern.outbox")[0]
    assert letter.sender == "<>" and letter.recipients == (sent_from,)
    assert way.take(letter.content) == "bounced"
    assert warning(desk) == ("suspended", None)
    assert {"mail-failed", "deadline-suspended"} <= set(desk.alarms())
    [(detail,)] = desk.query("SELECT detail FROM postern.outbox WHERE state = 'failed'")
    assert "550" in detail and "not wanted" in detail
    assert desk.value("SELECT count(*) FROM postern.evidence WHERE kind = 'bounce'") == 1


@pytest.mark.skipif(not postfix.is_there(), reason="no Postfix, or not root")
def test_a_real_delay_changes_nothing(way, desk, mail_server):
    mail_server.cue("4xx-rcpt", "4xx-rcpt")
    with postfix.Postfix(int(mail_server.uri.rsplit(":", 1)[1]),
                         "delay_warning_time = 1s\nqueue_run_delay = 1s\n"
                         "minimal_backoff_time = 1s\nmaximal_backoff_time = 1s") as relay:
        warned(desk, ENGLISH, relay.uri)
        until(lambda: any(letter.sender == "<>" for letter in mail_server.taken),
              "the notice of delay", 30)
    notice = next(letter for letter in mail_server.taken if letter.sender == "<>")
    assert b"Action: delayed" in notice.content
    assert way.take(notice.content) == "stored"
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
