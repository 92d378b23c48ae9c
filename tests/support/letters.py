# SPDX-License-Identifier: Apache-2.0
"""Rows that become mails, the dispatcher that sends them, and reading what arrived."""

import email
import email.policy
import html.parser

from desk import ENGLISH, GERMAN


def parsed(letter):
    return email.message_from_bytes(letter.content, policy=email.policy.default)


def text_of(message, kind="plain"):
    message = email.message_from_bytes(bytes(message), policy=email.policy.default)
    return message.get_body((kind,)).get_content()


def block(desk, unit=GERMAN):
    """Writes the row of a mail `blocked`."""
    number = desk.verdict(unit)
    assert desk.value("SELECT postern.apply_verdict(%s)", number) == "blocked"


def warn(desk, unit=ENGLISH, number=1, **options):
    number = desk.complaint(unit, number, **options)
    assert desk.value("SELECT postern.apply_complaint(%s)", number) == "warned"


def mailer(desk, server, *arguments):
    return desk.dispatch("mail", "--mail", server.uri, "--mail-timeout", "3s", *arguments)


class Balance(html.parser.HTMLParser):
    """Fails where a tag is closed that is not the last one opened."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> in {self.open}"
