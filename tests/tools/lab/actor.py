# SPDX-License-Identifier: Apache-2.0
"""A child process inside a namespace: it plays its sessions, serves, or both.

It tells what happened as one JSON object a line through a pipe: {"ready": …} once, then one per
session as it ends. The end of the pipe is the end of the child.
"""

import asyncio
import dataclasses
import json
import os
import signal
import sys
import time

import client
import namespace

START = signal.SIGUSR1


class ActorError(Exception):
    """A child ended before its work was done."""


class Actor:
    """A running child. `pipe` is its reading end; bytes of unfinished lines stay in `_rest`."""

    def __init__(self, name, node, sessions, serve=None):
        """@sessions what it opens; @serve a function that gives its server.Server, or None."""
        self.name = name
        self._rest = b""
        self.pipe, writing_end = os.pipe2(os.O_CLOEXEC)
        sys.stdout.flush()
        sys.stderr.flush()
        with node:
            self.pid = os.fork()
            if self.pid == 0:
                os.close(self.pipe)
                _child(writing_end, sessions, serve)  # inside for good: it never returns
        os.close(writing_end)

    def read(self):
        """What it has told since the last call, or None when it has ended."""
        data = os.read(self.pipe, 65536)
        if not data:
            return None
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def check(self):
        """Called at the end of the pipe: raises unless the child has done all it had to."""
        _pid, status = os.waitpid(self.pid, 0)
        self.pid = None
        if status != 0:
            raise ActorError(f"host '{self.name}' failed (its own words are above)")

    def start(self):
        os.kill(self.pid, START)

    def end(self):
        if self.pid is not None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.pipe)


def _child(writing_end, sessions, serve):
    status = 1
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, {START})
        namespace.die_with_parent(signal.SIGKILL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        asyncio.run(_live(writing_end, sessions, serve))
        status = 0
    except Exception as error:  # pylint: disable=broad-exception-caught
        print(f"lab: a host failed: {error!r}", file=sys.stderr)
    finally:
        os._exit(status)


def _tell(writing_end, thing):
    os.write(writing_end, json.dumps(thing).encode("ascii") + b"\n")


async def _live(writing_end, sessions, serve):
    if serve is not None:
        await serve().start()
    _tell(writing_end, {"ready": True})
    if sessions:
        start = await asyncio.to_thread(_wait_for_start)
        await asyncio.gather(*(_play(writing_end, start, session) for session in sessions))
    if serve is not None:
        await asyncio.Event().wait()  # until the parent ends us


def _wait_for_start():
    """The signal comes when all exporters watch. It is blocked since before "ready" was told."""
    signal.sigwait({START})
    return time.monotonic()


async def _play(writing_end, start, session):
    await asyncio.sleep(max(0.0, start + session.at_s - time.monotonic()))
    began = time.time()
    outcome, message_id = await client.run(session, began)
    told = {"outcome": outcome, "began": began, "ended": time.time(), "message_id": message_id}
    _tell(writing_end, {**dataclasses.asdict(session), **told})
