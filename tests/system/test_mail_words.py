# SPDX-License-Identifier: Apache-2.0
"""What mails say: freezes, reasons in the customer's language, blocklists, our own mistakes."""

import re

from desk import ENGLISH, GERMAN
from letters import Balance, block, mailer, parsed, text_of, warn


def freeze(desk, unit=GERMAN):
    """On the way to a freeze, and its case."""
    block(desk, unit)
    for event, actor in (("listed", "dnsbl"), ("freeze_approved", "alice")):
        desk.query("SELECT postern.transition(%s, %s, %s, %s)", unit, event, actor,
                   '{"zone": "zen.spamhaus.org"}')
    return desk.value("SELECT public_id FROM postern.spam_case WHERE unit = %s", unit)


def test_a_freeze_is_announced_and_told_with_the_page_of_the_list(desk, mail_server):
    freeze(desk)
    mailer(desk, mail_server)
    desk.wait_mail("freeze-notice")
    text = text_of(parsed(mail_server.taken[-1]))
    at = desk.value("SELECT to_char(freeze_at AT TIME ZONE 'UTC', 'DD.MM.YYYY HH24:MI')"
                    " FROM postern.freeze_proposal")
    for words in ("endgültig", at, "Spamhaus ZEN: https://check.spamhaus.org/query/ip/192.0.2.1",
                  "nein, von einem Menschen entschieden", "auf einer Sperrliste"):
        assert words in text, f"{words}:\n{text}"
    desk.advance(hours=25)
    desk.query("UPDATE postern.freeze_proposal SET confirmed_at = postern.now()")
    desk.query("SELECT postern.commit_freeze(id) FROM postern.freeze_proposal")
    desk.wait_mail("frozen")
    text = text_of(parsed(mail_server.taken[-1]))
    assert "Das lässt sich nicht rückgängig" in text and "Spamhaus ZEN" in text


FACTS = """[{"name": "burst", "points": 950, "text": "420 new destinations in samples on port 25"
 " within 5 min", "counted": "destinations", "pair": "smtp", "window_seconds": 300, "seen": 420,
 "allowed": 1.1, "history": "none", "sampling": 1000},
 {"name": "burst", "points": 0, "text": "4 new sessions", "counted": "sessions", "pair": "smtp",
 "window_seconds": 60, "seen": 4, "allowed": 0.011, "one_in": 90, "history": "little",
 "sampling": 72},
 {"name": "few-servers", "points": -10, "text": "its sessions", "servers": 4, "needed": 5},
 {"name": "ports", "points": 0, "text": "destination ports 25, 587", "ports": [25, 587]},
 {"name": "new-kind", "points": 0, "text": "a reason of a later version"}]""".replace('"\n "', "")


def test_reasons_are_german_for_a_german_and_what_is_unknown_stays(desk, mail_server):
    number = desk.verdict(GERMAN)
    desk.query("UPDATE postern.verdict SET reasons = %s WHERE id = %s", FACTS, number)
    desk.value("SELECT postern.apply_verdict(%s)", number)
    mailer(desk, mail_server)
    desk.wait_mail("blocked")
    text = " ".join(text_of(parsed(mail_server.taken[0])).split())
    for words in ("420 neue Ziele in Stichproben auf Port 25 innerhalb von 5 min; einer Adresse"
                  " ohne bisherigen Mailverkehr stehen bis zu 1,1 zu", "Zielports: 25, 587",
                  "mit wenig Mailverkehr steht in 90 solchen Zeiträumen eine zu",
                  "gingen bisher zu 4 Servern",
                  "teils nur auf Englisch", "a reason of a later version"):
        assert words in text, f"{words}:\n{text}"
    assert "new destinations" not in text


def test_a_list_that_holds_the_address_is_named_with_its_page(desk, mail_server):
    warn(desk)
    desk.query("UPDATE postern.outbox SET vars = vars || '{\"listing\": \"listed\","
               " \"listing_zones\": [\"bl.spamcop.net\", \"own.example\"]}'")
    mailer(desk, mail_server)
    desk.wait_mail("warning")
    message = parsed(mail_server.taken[0])
    text = text_of(message)
    assert "SpamCop: https://www.spamcop.net/w3m?action=checkblock&ip=192.0.2.17" in text
    assert "* own.example\n" in text and "do not know at present" not in text
    assert 'checkblock&amp;ip=192.0.2.17"' in text_of(message, "html")


def test_a_false_alarm_is_said_to_be_one(desk, mail_server):
    block(desk)
    mailer(desk, mail_server)
    desk.wait_mail("blocked")
    desk.cli("ip", "release", GERMAN, "--false-positive", "--reason", "newsletter")
    desk.dispatch("enforce")
    desk.wait_mail("released")
    text = text_of(parsed(mail_server.taken[-1]))
    assert "ein Irrtum von uns" in text and "sehen wir genauer hin" not in text


def previews(desk):
    """(kind, locale, text, page) of every kind of mail in every language."""
    warn(desk)
    frozen = freeze(desk)
    warned = desk.value("SELECT public_id FROM postern.spam_case WHERE unit = %s", ENGLISH)
    cases = {kind: warned for kind in ("warning", "reminder", "resolved", "digest")}
    cases |= {kind: frozen for kind in ("blocked", "released", "freeze-notice", "frozen")}
    for kind, case in cases.items():
        for locale in ("en", "de"):
            show = ("mail", "preview", kind, "--case", case, "--locale", locale)
            text = desk.cli(*show).stdout.split("\n\n", 1)[1]
            yield kind, locale, text, desk.cli(*show, "--html").stdout


def is_table(line):
    return re.match(r"20\d\d-\d\d-\d\d |Time \(UTC\)|Zeit \(UTC\)", line) or "http" in line


def test_every_kind_in_every_language_fits_76_columns_and_has_no_hole(desk):
    desk.query("SELECT postern.set_setting('page.url', 'https://abuse.example', 'test')")
    seen = set()
    for kind, locale, text, page in previews(desk):
        seen.add((kind, locale))
        wide = [line for line in text.split("\n") if len(line) > 76 and not is_table(line)]
        assert not wide, f"{kind} {locale}: {wide}"
        assert text.startswith("Guten Tag," if locale == "de" else "Hello,")
        assert "\n\n\n" not in text and "{{" not in text + page
        assert f'<html lang="{locale}">' in page and page.rstrip().endswith("</html>")
        assert not re.search(r"\(\)|: *\n\n\n|  ,", text), f"{kind} {locale}:\n{text}"
        balance = Balance()
        balance.feed(page)
        assert balance.open == [], f"{kind} {locale}:\n{page}"
    assert len(seen) == 16
