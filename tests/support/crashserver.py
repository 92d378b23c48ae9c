# SPDX-License-Identifier: Apache-2.0
"""A mail server of several processes that kills its client or itself at any stage of a dialogue.

    python3 crashserver.py FOLDER SLOTS CRASHES SEED

FOLDER/ports has the ports, one a slot; each has a process of its own, which is begun anew when it
dies, as an init system would. FOLDER/journal tells what happened, one JSON object a line, each
written before it happens: {"take": TOKEN, "id": MESSAGE-ID} a mail was stored; {"crash": STAGE,
"who": "server" | "client", "mail": TOKEN or null}. After CRASHES crashes all goes well.

A client says its process id in EHLO (pid-123.example). What is killed dies by SIGKILL.
"""

import json
import os
import random
import re
import signal
import socket
import sys
from pathlib import Path

# In the order of the dialogue; who may die there, and the odds against the others.
STAGES = {
    "connected": ("server",), "ehlo": ("server", "client"), "mail": ("server", "client"),
    "rcpt": ("server", "client"), "data": ("server", "client"), "body": ("server", "client"),
    "dot": ("server", "client"), "stored": ("server", "client"), "answered": ("client",),
}
ODDS = {"connected": 0.04, "ehlo": 0.04}    # of no mail in particular: these wait the longest
OTHER_ODDS = 0.12
BROKEN_OFF = ("body", "dot", "stored")
OF_ONE_MAIL = 4    # crashes; each makes its next try wait longer


class Journal:
    def __init__(self, path):
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self._path = path

    def write(self, **entry):
        os.write(self._file, (json.dumps(entry) + "\n").encode())

    def read(self):
        return [json.loads(line) for line in self._path.read_text().splitlines()]


class Dialogue:
    def __init__(self, connection, journal, crashes, dice):
        self._connection, self._lines = connection, connection.makefile("rb")
        self._journal, self._crashes, self._dice = journal, crashes, dice
        self._client = self._mail = None

    def _say(self, text):
        self._connection.sendall(text.encode() + b"\r\n")

    def _may_die(self, stage, who):
        if who == "client" and self._client is None:
            return False
        crashes = [entry for entry in self._journal.read() if "crash" in entry]
        own = [entry for entry in crashes if entry["mail"] and entry["mail"] == self._mail]
        if len(crashes) >= self._crashes or len(own) >= OF_ONE_MAIL:
            return False
        # A server that breaks off twice when the client may have given all: that ends as
        # uncertain, with an alarm; test_mail has it.
        broken = any(entry["who"] == "server" and entry["crash"] in BROKEN_OFF for entry in own)
        return not (who == "server" and stage in BROKEN_OFF and broken)

    def _stage(self, stage):
        if self._dice.random() >= ODDS.get(stage, OTHER_ODDS):
            return
        who = self._dice.choice(STAGES[stage])
        if not self._may_die(stage, who):
            return
        self._journal.write(crash=stage, who=who, mail=self._mail)
        os.kill(self._client if who == "client" else os.getpid(), signal.SIGKILL)
        raise ConnectionError

    def _body(self):
        content = b""
        for number, line in enumerate(self._lines):
            if line == b".\r\n":
                return content
            if number == 30:
                self._stage("body")
            content += line
        raise ConnectionError

    def _take(self):
        self._stage("data")
        self._say("354 go on")
        content = self._body()
        self._stage("dot")
        message_id = re.search(rb"(?m)^Message-ID: <(.*)>\r$", content)[1].decode()
        self._journal.write(take=self._mail, id=message_id)
        self._stage("stored")
        self._say("250 2.0.0 taken")
        self._stage("answered")

    def run(self):
        self._stage("connected")
        self._say("220 mx.example")
        for line in self._lines:
            verb = line[:4].upper()
            if verb == b"EHLO":
                self._client = int(re.search(rb"pid-(\d+)", line)[1])
                self._stage("ehlo")
            elif verb == b"MAIL":
                self._mail = re.search(rb"\+([0-9a-f]{20})@", line)[1].decode()
                self._stage("mail")
            elif verb == b"RCPT":
                self._stage("rcpt")
            elif verb == b"DATA":
                self._take()
                continue
            self._say("221 bye" if verb == b"QUIT" else "250 yes")


def serve(listener, journal, crashes, dice):
    while True:
        connection, _ = listener.accept()
        with connection:
            try:
                Dialogue(connection, journal, crashes, dice).run()
            except OSError:
                pass


def main(folder, slots, crashes, seed):
    journal = Journal(folder / "journal")
    listeners = [socket.create_server(("127.0.0.1", 0), backlog=16) for _ in range(slots)]
    running, births = {}, 0
    for slot in range(slots):
        running[-slot - 1] = slot
    (folder / "ports.new").write_text(" ".join(str(s.getsockname()[1]) for s in listeners))
    (folder / "ports.new").rename(folder / "ports")
    while True:
        for dead in [pid for pid in running if pid < 0]:
            slot, births = running.pop(dead), births + 1
            pid = os.fork()
            if pid == 0:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                serve(listeners[slot], journal, crashes, random.Random(f"{seed}.{births}"))
            running[pid] = slot
        pid, _ = os.wait()
        running[-pid] = running.pop(pid)


def stop(*_unused):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(0, signal.SIGTERM)    # a group of our own: our children
    os._exit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stop)
    main(Path(sys.argv[1]), *map(int, sys.argv[2:4]), sys.argv[4])
