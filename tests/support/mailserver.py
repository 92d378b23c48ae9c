# SPDX-License-Identifier: Apache-2.0
"""A mail server on 127.0.0.1 that takes mail, or misbehaves on cue."""

import asyncio
from collections import deque
from dataclasses import dataclass

from aiosmtpd.controller import Controller

from ports import free_port

ANSWERS = {
    "accept": "250 2.0.0 taken",
    "4xx": "451 4.3.0 not now, try later",
    "5xx": "550 5.7.1 not wanted",
}
CUES = (*ANSWERS, "4xx-rcpt", "5xx-rcpt", "silence", "drop", "drop-after-taking")


@dataclass(frozen=True)
class Letter:
    """One message that was taken."""
    sender: str
    recipients: tuple
    content: bytes


class MailServer:
    """Listens while it is used as a context.

    cue(...) says what happens to the next messages, one word each; after them, `otherwise` is
    done. The words: accept; 4xx, 5xx (the answer to DATA's end); 4xx-rcpt, 5xx-rcpt (the answer to
    RCPT); silence (no answer to DATA's end, the connection stays); drop (the connection breaks
    after DATA's end, the message is not taken); drop-after-taking (it is taken, but the client
    never hears so: the case in which a second copy is right).
    """

    def __init__(self):
        self.taken = []
        self.tries = 0
        self.otherwise = "accept"
        self._cues = deque()
        self._controller = Controller(self, hostname="127.0.0.1", port=free_port())

    @property
    def uri(self):
        return f"smtp://127.0.0.1:{self._controller.port}"

    def cue(self, *words):
        unknown = set(words) - set(CUES)
        assert not unknown, f"no such cue: {unknown}"
        self._cues.extend(words)

    def forget(self):
        """Takes the cues back that no message has met yet."""
        self._cues.clear()

    def __enter__(self):
        self._controller.start()
        return self

    def __exit__(self, *unused):
        self._controller.stop()

    def _next(self, at_rcpt):
        """The cue for this step; one that belongs to the other step stays in the queue."""
        word = self._cues[0] if self._cues else self.otherwise
        if word.endswith("-rcpt") != at_rcpt:
            return None
        if self._cues:
            self._cues.popleft()
        return word

    # pylint: disable=invalid-name; aiosmtpd gives these names
    async def handle_RCPT(self, server, session, envelope, address, options):
        word = self._next(at_rcpt=True)
        if word:
            self.tries += 1
            return ANSWERS[word.removesuffix("-rcpt")]
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 yes"

    async def handle_DATA(self, server, session, envelope):
        self.tries += 1
        word = self._next(at_rcpt=False) or "accept"
        if word == "silence":
            await asyncio.Event().wait()
        if word in ("accept", "drop-after-taking"):
            self.taken.append(Letter(envelope.mail_from, tuple(envelope.rcpt_tos),
                                     envelope.content))
        if word.startswith("drop"):
            server.transport.abort()
        return ANSWERS.get(word)
