# SPDX-License-Identifier: Apache-2.0
"""Much that happens to a customer at once: one mail, over a real mail server."""

import re

import pytest

from desk import CUSTOMERS
from letters import mailer, parsed, text_of, warn
from waiting import until


def attack(desk, *hosts):
    """Warnings about so many units of the English customer."""
    for host in hosts:
        warn(desk, f"192.0.2.{host}", host)


def gathered(desk, state):
    """The newest digest, once it is in this state, and the number of its parts."""
    rows = desk.query("SELECT d.message_id, d.state, (SELECT count(*) FROM postern.outbox p"
                      " WHERE p.digest_id = d.id AND p.state = 'digested')"
                      " FROM postern.outbox d WHERE d.kind = 'digest' ORDER BY d.id DESC LIMIT 1")
    return (rows[0][0], rows[0][2]) if rows and rows[0][1] == state else None


@pytest.fixture
def digests(desk):
    """Mails are gathered, after a minute."""
    desk.query("SELECT postern.set_setting('mail.digest_from', '5', 'test'),"
               " postern.set_setting('page.url', 'https://abuse.example', 'test')")
    return desk


def test_many_warnings_of_one_customer_are_one_mail_and_each_clock_starts(digests, mail_server):
    attack(digests, *range(17, 24))
    mailer(digests, mail_server)
    digests.wait_mail("warning", "pending")
    until(lambda: mail_server.taken, "the first mail")
    digests.advance(minutes=2)
    message_id, parts = until(lambda: gathered(digests, "done"), "the digest")
    assert parts == 6 and len(mail_server.taken) == 2
    message = parsed(mail_server.taken[1])
    assert message["Message-ID"] == f"<{message_id}>"
    assert "Spam from 6 of your addresses" in message["Subject"]
    rows = digests.query("SELECT host(w.unit), c.public_id, to_char(w.deadline - interval"
                         " '1 minute', 'YYYY-MM-DD HH24:') FROM postern.warning w JOIN"
                         " postern.spam_case c ON c.id = w.case_id WHERE w.state = 'running'")
    assert len(rows) == 7
    for kind in ("plain", "html"):
        text = text_of(message, kind)
        for unit, case, deadline in rows:
            assert (unit in text) == (case in text)
            assert unit not in text or deadline in text
            assert unit not in text or f"https://abuse.example/ip/{unit}" in text
        assert "reporter.example reported spam" in text and "court" in text
    assert all(len(line) <= 76 or "http" in line or "Message-ID" in line or "spam-" in line
               for line in text_of(message).split("\n"))


def test_a_refused_digest_goes_to_the_next_contact_as_one(digests, mail_server):
    digests.import_csv(CUSTOMERS.replace("desk@example.org",
                                         "desk@example.org owner:boss@example.org"))
    attack(digests, *range(17, 24))
    mailer(digests, mail_server)
    until(lambda: mail_server.taken, "the first mail")
    mail_server.cue("5xx")
    digests.advance(minutes=2)
    until(lambda: gathered(digests, "done"), "the digest for the next contact")
    assert [letter.recipients for letter in mail_server.taken] == [("desk@example.org",),
                                                                   ("boss@example.org",)]
    assert digests.value("SELECT count(*) FROM postern.warning WHERE state = 'running'") == 7
    assert "mail-failed" in digests.alarms()


@pytest.mark.parametrize("cue", ["silence", "drop", "drop-after-taking"])
def test_kill_9_within_a_digest_loses_no_warning_and_keeps_its_name(digests, mail_server, cue):
    attack(digests, *range(17, 24))
    program = mailer(digests, mail_server)
    until(lambda: mail_server.taken, "the first mail")
    mail_server.cue(cue, cue, cue)
    digests.advance(minutes=2)
    until(lambda: mail_server.tries >= 2, "the digest is on its way")
    program.kill()
    assert digests.value("SELECT count(*) FROM postern.warning WHERE state = 'running'") == 1
    mail_server.forget()
    digests.advance(minutes=30)
    mailer(digests, mail_server)
    message_id, parts = until(lambda: gathered(digests, "done"), "the digest")
    names = [parsed(letter)["Message-ID"] for letter in mail_server.taken[1:]]
    assert set(names) == {f"<{message_id}>"} and parts == 6
    assert len(names) == (2 if cue == "drop-after-taking" else 1)
    assert digests.value("SELECT count(*) FROM postern.warning WHERE state = 'running'") == 7


def test_a_digest_is_previewed(digests):
    attack(digests, *range(17, 24))
    case = digests.value("SELECT min(public_id) FROM postern.spam_case")
    for locale, words in (("en", "Spam from 7 of your addresses"),
                          ("de", "Spam von 7 Ihrer Adressen")):
        text = digests.cli("mail", "preview", "digest", "--case", case, "--locale", locale).stdout
        assert words in text and all(f"192.0.2.{n}" in text for n in range(17, 24))


def test_dispatchers_beside_each_other_tell_of_each_address_once(digests, mail_server):
    attack(digests, *range(17, 32), *range(1, 15))
    for _ in range(3):
        mailer(digests, mail_server)
    until(lambda: len(mail_server.taken) == 2, "the first of each customer")
    digests.advance(minutes=2)
    until(lambda: digests.value("SELECT count(*) FROM postern.warning WHERE state = 'running'")
          == 29, "all clocks run")
    told = [unit for letter in mail_server.taken
            for unit in set(re.findall(r"192\.0\.2\.\d+", text_of(parsed(letter))))]
    assert len(told) == len(set(told)) == 29
