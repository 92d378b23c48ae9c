# SPDX-License-Identifier: Apache-2.0
"""A mail message as the lab's hosts send it. Invented text, example domains."""

import datetime
import email.message
import email.utils
import random

_WORDS = (
    "offer today price order letter member garden winter summer meeting minutes invoice report "
    "thanks weekend travel kitchen window music school team update news plan photo paper bridge"
).split()


def date(epoch_s):
    """A Date field's value, UTC."""
    moment = datetime.datetime.fromtimestamp(int(epoch_s), datetime.timezone.utc)
    return email.utils.format_datetime(moment)


def message_id(host, session, epoch_s):
    """The same in the message, in the truth file and in the complaint."""
    return f"<{int(epoch_s)}.{session.port}.{session.number}@{host}.customer.example>"


def compose(host, session, epoch_s):
    """Sender, recipient and the message as bytes with CRLF, 0.4 to 6 KB."""
    dice = random.Random(f"{host} {session.kind} {session.port} {session.number}")
    peer = session.server.replace(".", "-").replace(":", "-")
    sender = f"{dice.choice(_WORDS)}@{host}.customer.example"
    recipient = f"{dice.choice(_WORDS)}@mx-{peer}.example"
    message = email.message.EmailMessage()
    message["From"] = sender
    message["To"] = recipient
    message["Subject"] = " ".join(dice.sample(_WORDS, 4)).capitalize()
    message["Date"] = date(epoch_s)
    message["Message-ID"] = message_id(host, session, epoch_s)
    lines = [" ".join(dice.sample(_WORDS, 9)) + "." for _ in range(dice.randrange(4, 90))]
    message.set_content("\n".join(lines) + "\n")
    return sender, recipient, message.as_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
