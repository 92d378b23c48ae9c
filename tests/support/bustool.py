# SPDX-License-Identifier: Apache-2.0
"""A bus in a process of its own, spoken to through tests/tools/buscat."""

import itertools
import queue
import subprocess
import threading
from dataclasses import dataclass, field


class BusError(Exception):
    """What the bus refused; `code` as in postern/error.h, without its prefix."""

    def __init__(self, code, text):
        super().__init__(f"{code} {text}")
        self.code = code


@dataclass(frozen=True)
class Message:
    """One message as a reader got it."""
    topic: str
    partition: int
    offset: int
    producer: str
    epoch: int
    sequence: int
    length: int
    text: str

    @classmethod
    def read(cls, line):
        topic, partition, offset, producer, epoch, sequence, length, text = line.split(" ", 7)
        return cls(topic, int(partition), int(offset), producer, int(epoch), int(sequence),
                   int(length), text)


@dataclass
class Events:
    """What came in between answers, in order of arrival."""
    delivered: list = field(default_factory=list)
    failed: dict = field(default_factory=dict)    # sequence -> (code, text)
    assigned: list = field(default_factory=list)    # (topic, partition)
    revoked: list = field(default_factory=list)


class BusTool:
    """One connection in one process: a producer, a reader, or both."""

    def __init__(self, command, uri, **options):
        words = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        self._process = subprocess.Popen([*map(str, command), *words, uri], text=True, bufsize=1,
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         stderr=subprocess.PIPE)
        self._lines = queue.SimpleQueue()
        self.events = Events()
        self.log = []
        self._messages = []
        self._threads = [
            threading.Thread(target=self._pump, args=(self._process.stdout, self._lines.put)),
            threading.Thread(target=self._pump, args=(self._process.stderr, self.log.append))]
        for thread in self._threads:
            thread.start()
        self.opened = self._answer(30)

    @staticmethod
    def _pump(stream, take):
        for line in stream:
            take(line.rstrip("\n"))
        take(None)

    def _note(self, line):
        kind, _, rest = line.partition(" ")
        words = rest.split(" ")
        if kind == "delivered":
            self.events.delivered.append(int(rest))
        elif kind == "failed":
            self.events.failed[int(words[0])] = (words[1], " ".join(words[2:]))
        elif kind in ("assigned", "revoked"):
            getattr(self.events, kind).append((words[0], int(words[1])))
        elif kind == "message":
            self._messages.append(Message.read(rest))
        else:
            raise AssertionError(f"buscat said {line!r}; its log: {self.log}")

    def _answer(self, timeout_s):
        """Reads up to the answer of a command; gives what follows "ok"."""
        while True:
            line = self._lines.get(timeout=timeout_s)
            assert line is not None, f"buscat has ended; its log: {self.log}"
            kind, _, rest = line.partition(" ")
            if kind == "ok":
                return rest
            if kind == "error":
                raise BusError(*rest.split(" ", 1))
            self._note(line)

    def say(self, *words):
        """Sends a command without waiting for its answer."""
        print(*words, file=self._process.stdin)

    def ask(self, *words, timeout_s=60):
        self.say(*words)
        return self._answer(timeout_s)

    # --- the contract's functions ---

    def topic(self, name, partitions):
        return int(self.ask("topic", name, partitions))

    def publish(self, topic, partition, sequence, text):
        self.ask("publish", topic, partition, sequence, text)

    def fill(self, topic, partition, first, count, length):
        self.ask("fill", topic, partition, first, count, length)

    def flush(self, timeout_ms=30000):
        self.ask("flush", timeout_ms)

    def service(self, timeout_ms):
        return int(self.ask("service", timeout_ms))

    def bounds(self, topic, partition):
        return tuple(map(int, self.ask("bounds", topic, partition).split()))

    def subscribe(self, group, *topics, start=()):
        """start: (topic, partition, position) each."""
        for place in start:
            self.ask("start", *place)
        self.ask("subscribe", group, *topics)

    def commit(self, topic, partition, position):
        self.ask("commit", topic, partition, position)

    def keep(self, topic, partition, position):
        self.ask("keep", topic, partition, position)

    def poll(self, timeout_ms=200, most=64):
        self._messages = []
        self.ask("poll", timeout_ms, most)
        return self._messages

    def read(self, count, timeout_s=40):
        """Polls until there are `count` messages; gives all that came."""
        got = []
        for _ in range(timeout_s * 5):
            got += self.poll(200)
            if len(got) >= count:
                return got
        raise AssertionError(f"{len(got)} messages instead of {count}; log: {self.log}")

    # --- its life ---

    @property
    def pid(self):
        return self._process.pid

    def kill(self):
        """SIGKILL; notes what the process had said before."""
        self._process.kill()
        self._end()
        while not self._lines.empty():
            line = self._lines.get()
            if line is not None and not line.startswith("ok"):
                self._note(line)

    def close(self):
        """The end in order; gives the status."""
        if self._process.stdin.closed:
            return self._process.returncode
        self._process.stdin.close()
        status = self._end()
        while not self._lines.empty():
            line = self._lines.get()
            if line is not None:
                self._note(line)
        return status

    def _end(self):
        status = self._process.wait(60)
        for thread in self._threads:
            thread.join(10)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            try:
                stream.close()
            except BrokenPipeError:
                pass
        return status


class Bench:
    """The buses of one test, all at one URI; ends them after it."""

    _names = itertools.count(1)

    def __init__(self, program, uri):
        self.program = program
        self.uri = uri
        self._tools = []

    def fresh_name(self, stem="topic"):
        """A topic or group that no other test uses."""
        return f"{stem}.{next(self._names)}"

    def open(self, enter=(), **options):
        tool = BusTool([*enter, self.program], self.uri, **options)
        self._tools.append(tool)
        return tool

    def end(self):
        for tool in self._tools:
            if not tool._process.stdin.closed:
                tool.kill()
