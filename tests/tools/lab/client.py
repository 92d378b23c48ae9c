# SPDX-License-Identifier: Apache-2.0
"""The side that opens connections: SMTP (25, 465, 587) and a little HTTP, over plain sockets."""

import asyncio
import base64
import contextlib
import ssl

import letter

CONNECT_S = 4.0
SESSION_S = 25.0
TLS_FIRST = (465, 443)

_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_tls.check_hostname = False
_tls.verify_mode = ssl.CERT_NONE


class Refused(Exception):
    """The other side said no, in words; the text is its outcome's name."""


class Smtp:
    """One SMTP session, RFC 5321."""

    def __init__(self, reader, writer, session):
        self.reader, self.writer, self.session = reader, writer, session

    async def reply(self):
        while True:
            line = await self.reader.readline()
            if not line:
                raise ConnectionResetError
            if line[3:4] != b"-":
                return int(line[:3])

    async def say(self, text):
        self.writer.write(text.encode("ascii") + b"\r\n")
        return await self.reply()

    async def expect(self, text, refusal):
        if await self.say(text) >= 400:
            await self.say("QUIT")
            raise Refused(refusal)

    async def open(self):
        if await self.reply() != 220:
            await self.say("QUIT")
            raise Refused("rejected")
        await self.say(f"EHLO {self.session.host}.customer.example")
        if self.session.port == 587:
            await self.say("STARTTLS")
            await self.writer.start_tls(_tls)
            await self.say(f"EHLO {self.session.host}.customer.example")
        if self.session.port in (465, 587):
            secret = base64.b64encode(b"\0somebody\0stolen-or-own").decode("ascii")
            await self.expect(f"AUTH PLAIN {secret}", "rejected")

    async def send(self, sender, recipient, message):
        await self.say(f"MAIL FROM:<{sender}>")
        if (code := await self.say(f"RCPT TO:<{recipient}>")) >= 400:
            await self.say("QUIT")
            raise Refused("greylisted" if code < 500 else "unknown user")
        await self.say("DATA")
        self.writer.write(message.replace(b"\r\n.", b"\r\n.."))
        await self.expect(".", "rejected")
        await self.say("QUIT")


async def _converse(session, reader, writer, epoch_s):
    if session.kind in ("web", "visited"):
        writer.write(b"GET / HTTP/1.1\r\nHost: www.example\r\nConnection: close\r\n\r\n")
        while await reader.read(65536):
            pass
        return "fetched", None
    smtp = Smtp(reader, writer, session)
    await smtp.open()
    if session.kind == "probe":
        await smtp.say("QUIT")
        return "greeted", None
    await smtp.send(*letter.compose(session.host, session, epoch_s))
    return "accepted", letter.message_id(session.host, session, epoch_s)


async def _close(writer):
    writer.close()
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(2.0):
            await writer.wait_closed()


async def run(session, epoch_s):
    """Play one session. Returns (outcome, Message-ID of an accepted message or None)."""
    tls = _tls if session.port in TLS_FIRST else None
    writer = None
    try:
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await asyncio.open_connection(
                session.server, session.port, ssl=tls, local_addr=(session.client, 0)
            )
        async with asyncio.timeout(SESSION_S):
            return await _converse(session, reader, writer, epoch_s)
    except Refused as refusal:
        return str(refusal), None
    except ConnectionRefusedError:
        return "refused", None
    except TimeoutError:
        return "no answer" if writer is None else "stalled", None
    except OSError as error:
        return f"broken: {error}", None
    finally:
        if writer is not None:
            await _close(writer)
