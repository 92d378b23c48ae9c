# SPDX-License-Identifier: Apache-2.0
"""The complaint of a recipient's mail provider about a message that was really sent.

An abuse report (ARF, RFC 5965) as it arrives here: the reporter signed it, our own mail server
checked the signature and said so in an Authentication-Results field (RFC 8601).
"""

import ipaddress

import letter
import traffic


class ComplaintError(Exception):
    """The scenario's complaint is about something that did not happen."""


def _subject_of(scenario, told):
    about = scenario.complaint["about"]
    accepted = sorted(
        (e for e in told if e["host"] == about and e["message_id"]), key=lambda e: e["began"]
    )
    number = scenario.complaint["message"]
    if len(accepted) < number:
        raise ComplaintError(f"'{about}' got {len(accepted)} messages accepted, not {number}")
    return accepted[number - 1]


def _original(entry, sender_name, message):
    """The offending message as the provider stored it: with the line its server added on top."""
    stamp = letter.date(entry["ended"])
    received = (
        f"Received: from {sender_name} ({sender_name} [{entry['client']}])\r\n"
        f"\tby mx1.{entry['reporter']} with ESMTP; {stamp}\r\n"
    )
    return received.encode("ascii") + message


def compose(scenario, told):
    """The complaint as bytes, lines ended by LF as in a file."""
    rules = scenario.complaint
    entry = {**_subject_of(scenario, told), "reporter": rules["reporter"]}
    host = next(h for h in scenario.hosts if h.name == rules["about"])
    session = traffic.Session(**{k: entry[k] for k in traffic.Session.__dataclass_fields__})
    sender, recipient, message = letter.compose(host.name, session, entry["began"])
    arrived = letter.date(entry["ended"])
    domain = sender.rsplit("@", 1)[1]
    fields = (
        "Feedback-Type: abuse",
        f"User-Agent: {rules['reporter']} feedback loop/3.1",
        "Version: 1",
        f"Original-Mail-From: <{sender}>",
        f"Original-Rcpt-To: <{recipient}>",
        f"Arrival-Date: {arrived}",
        f"Source-IP: {ipaddress.ip_address(entry['client'])}",
        f"Reported-Domain: {domain}",
        "",
    )
    boundary = "=_feedback_1"
    note = (
        f"This is an abuse report for a message received from {entry['client']} on {arrived}.",
        'Our user pressed the button "this is spam".',
    )
    sent = letter.date(entry["ended"] + 20)
    head = (
        f"Return-Path: <fbl@{rules['reporter']}>",
        f"Authentication-Results: {rules['authserv_id']};",
        f"\tdkim=pass header.d={rules['reporter']} header.s=fbl1;",
        f"\tspf=pass smtp.mailfrom=fbl@{rules['reporter']};",
        f"\tdmarc=pass header.from={rules['reporter']}",
        f"Received: from out1.{rules['reporter']} (out1.{rules['reporter']} [198.18.1.200])",
        f"\tby {rules['authserv_id']} with ESMTPS; {sent}",
        f"From: Feedback Loop <fbl@{rules['reporter']}>",
        f"To: {rules['abuse_address']}",
        f"Date: {sent}",
        f"Message-ID: <fbl.{session.number}.{int(entry['began'])}@{rules['reporter']}>",
        f"Subject: FW: {_subject(message)}",
        "MIME-Version: 1.0",
        "Content-Type: multipart/report; report-type=feedback-report;",
        f'\tboundary="{boundary}"',
        "",
    )
    parts = (
        ("text/plain; charset=us-ascii", "\n".join(note) + "\n"),
        ("message/feedback-report", "\n".join(fields)),
        ("message/rfc822", _original(entry, host.domain, message).decode("ascii")),
    )
    body = "".join(
        f"--{boundary}\nContent-Type: {kind}\n\n{text}\n" for kind, text in parts
    )
    return ("\n".join(head) + f"\n{body}--{boundary}--\n").replace("\r\n", "\n").encode("ascii")


def _subject(message):
    for line in message.split(b"\r\n"):
        if line.lower().startswith(b"subject: "):
            return line[9:].decode("ascii")
    raise ComplaintError("the message has no subject")
