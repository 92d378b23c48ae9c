# SPDX-License-Identifier: Apache-2.0
"""The side that answers: SMTP on 25, 465 and 587 and HTTP on 80 and 443, for every address here.

A server looks up its own address to learn its manners (scenario: [manners]), so that one process
can be the whole internet. It waits a little before each greeting and verdict, as servers do.
"""

import asyncio
import ipaddress
import random
import ssl
import subprocess

SMTP_PORTS = (25, 587)
IDLE_S = 30.0
MAX_MESSAGE = 1 << 20


class Server:
    """All services of one namespace."""

    def __init__(self, manner_of, certificate):
        self.manner_of = manner_of
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(certificate)
        self.dice = random.Random()
        self.open = []

    async def start(self):
        for port, handler, tls in (
            (25, self.smtp, None),
            (587, self.smtp, None),
            (465, self.smtp, self.tls),
            (80, self.http, None),
            (443, self.http, self.tls),
        ):
            self.open.append(
                await asyncio.start_server(handler, None, port, ssl=tls, backlog=512)
            )

    async def smtp(self, reader, writer):
        await self._guard(self._smtp, reader, writer)

    async def http(self, reader, writer):
        await self._guard(self._http, reader, writer)

    async def _guard(self, handler, reader, writer):
        try:
            async with asyncio.timeout(IDLE_S):
                await handler(reader, writer)
        except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
            pass  # the client tells the outcome
        finally:
            writer.close()

    async def _pause(self):
        await asyncio.sleep(self.dice.uniform(0.03, 0.25))

    async def _http(self, reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        await self._pause()
        body = b"x" * self.dice.randrange(500, 20000)
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode("ascii") + body)
        await writer.drain()

    async def _smtp(self, reader, writer):
        manner = self.manner_of(ipaddress.ip_address(writer.get_extra_info("sockname")[0]))

        async def answer(text):
            writer.write(text.encode("ascii") + b"\r\n")
            await writer.drain()

        await self._pause()
        if manner == "reject":
            await answer("554 5.7.1 no mail from you")
        else:
            await answer("220 mx.example ESMTP")
        while line := await reader.readline():
            verb = line[:4].upper()
            if verb == b"EHLO":
                await answer("250-mx.example\r\n250-STARTTLS\r\n250-AUTH PLAIN\r\n250 8BITMIME")
            elif verb == b"STAR":
                await answer("220 go ahead")
                await writer.start_tls(self.tls)
            elif verb == b"AUTH":
                await answer("235 2.7.0 welcome")
            elif verb == b"RCPT" and manner == "greylist":
                await answer("451 4.7.1 greylisted, come back later")
            elif verb == b"RCPT" and manner == "unknown-user":
                await answer("550 5.1.1 no such user here")
            elif verb == b"DATA":
                await answer("354 end with a dot")
                await self._read_message(reader)
                await self._pause()
                await answer("250 2.0.0 queued")
            elif verb == b"QUIT":
                await answer("221 2.0.0 bye")
                return
            else:
                await answer("250 2.1.0 ok")

    @staticmethod
    async def _read_message(reader):
        size = 0
        while (line := await reader.readline()) != b".\r\n":
            size += len(line)
            if not line or size > MAX_MESSAGE:
                raise ConnectionResetError


def make_certificate(path):
    """A self-made certificate with its key in one file, good for two days."""
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    subprocess.run(
        [*command.split(), "-subj", "/CN=mx.example", "-keyout", path, "-out", path + ".crt"],
        check=True,
        capture_output=True,
    )
    with open(path, "a", encoding="ascii") as both, open(path + ".crt", encoding="ascii") as crt:
        both.write(crt.read())
