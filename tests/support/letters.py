# SPDX-License-Identifier: Apache-2.0
"""Rows that become mails, their dispatcher, reading what arrived; and a complaint."""

import email
import email.policy
import html.parser

from desk import ENGLISH, GERMAN

# A complaint in ARF, and one that names no address.
REPORT = """\
Received: from out.reporter.example (out.reporter.example [198.51.100.5]) by mx.ours.example; \
Thu, 5 Mar 2026 12:01:00 +0100
Authentication-Results: mx.ours.example; dkim=pass header.d=reporter.example
From: Feedback <fbl@reporter.example>
To: abuse@ours.example
Subject: FW: Buy
Message-ID: <report-1@reporter.example>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="b1"

--b1
Content-Type: text/plain

This is an abuse report.
--b1
Content-Type: message/feedback-report

Feedback-Type: abuse
User-Agent: Reporter/1.0
Version: 1
Source-IP: 192.0.2.77
Arrival-Date: Thu, 05 Mar 2026 12:00:00 +0100

--b1
Content-Type: message/rfc822

Received: from x (x [192.0.2.77]) by mx.reporter.example; Thu, 5 Mar 2026 12:00:00 +0100
Message-ID: <spam-1@customer.example>
Subject: Buy

Buy now.
--b1--
"""
BROKEN_REPORT = REPORT.replace("Source-IP: 192.0.2.77\n", "").replace("[192.0.2.77]",
                                                                       "[somewhere]")


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
