# SPDX-License-Identifier: Apache-2.0
"""Dispatchers and mail server die by kill -9 at every stage of the SMTP dialogue.

Each warning arrives at least once, under one Message-ID, and once more only for a crash that fell
between DATA's end and the moment when its answer was written down. POSTERN_CRASHES says how many
crashes, POSTERN_SEED which (not their moments: those the machine decides).
"""

import collections
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from waiting import until

CRASHES = int(os.environ.get("POSTERN_CRASHES", "500"))
IN_DIGESTS = max(CRASHES // 10, 40)
SEED = os.environ.get("POSTERN_SEED", str(random.randrange(1 << 31)))
SLOTS = 6
SERVER = Path(__file__).resolve().parents[1] / "support" / "crashserver.py"
# What the receiver may have while our database does not know it yet.
IN_DOUBT = ("stored", "answered")


@pytest.fixture
def crash_server(work_dir, request):
    """Its ports and journal; it runs until the test ends."""
    with subprocess.Popen([sys.executable, SERVER, work_dir, str(SLOTS), str(request.param),
                           SEED],
                          process_group=0) as process:
        until((work_dir / "ports").exists, "the server's ports")
        yield (work_dir / "ports").read_text().split(), work_dir / "journal"
        process.terminate()


class Dispatchers:
    """One for each port; whoever dies is begun anew."""

    def __init__(self, desk, ports):
        self._desk, self._program = desk, desk.runner.path("postern-dispatch")
        self.running = [self._start(port) for port in ports]

    def _start(self, port):
        arguments = ("--database", self._desk.conninfo("postern_mailer"), "--work", "mail",
                     "--poll", "1s", "--mail", f"smtp://127.0.0.1:{port}", "--mail-timeout", "20s",
                     "--log-level", "error")
        process = subprocess.Popen(    # the shell's process id stays the program's
            ["sh", "-c", 'exec "$0" "$@" --mail-helo pid-$$.example', self._program, *arguments],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return port, process

    def revive(self):
        self.running = [(port, process) if process.poll() is None else self._start(port)
                        for port, process in self.running]

    def pids(self):
        return {process.pid for _, process in self.running}

    def stop(self):
        for _, process in self.running:
            process.kill()
            process.wait()


def warn_many(desk, count, each=1):
    """As many warnings, so many of them for one customer."""
    desk.cli("networks", "add", "198.18.0.0/22")
    header = "net,customer,name,type,service,contacts,locale,tz\n"
    desk.import_csv(header + "".join(
        f"198.18.{n // 250}.{n % 250 + 1}/32,K-{n // each},Customer {n // each},vps,,"
        f"abuse:k{n // each}@example.org,{'de' if n // each % 2 else 'en'},Europe/Berlin\n"
        for n in range(count)), "--force")
    desk.query(
        "SELECT postern.record_evidence(0, n, 'complaint', 'arf', 'abuse', 'spam',"
        " ('198.18.' || n / 250 || '.' || n %% 250 + 1)::inet, 0, postern.now(), postern.now(),"
        " 'spam-' || n || '@x.example', 'x.example', 'reporter.example', true, 'report-' || n,"
        " NULL, 1, 2000, sha256(n::text::bytea)) FROM generate_series(0, %s - 1) AS n",
        count)
    assert desk.query("SELECT postern.apply_complaint(id) AS became, count(*)"
                      " FROM postern.complaint GROUP BY 1") == [("warned", count)]


def is_at_rest(desk, dispatchers):
    """Nothing is due, and nobody alive has a mail in hand: the clock may go on."""
    workers = [int(worker.split(":")[1]) for (worker,) in desk.query(
        "SELECT worker FROM postern.outbox WHERE lease_until > postern.now()")]
    due = desk.value(
        "SELECT count(*) FROM postern.outbox WHERE state IN ('pending', 'sending') AND next_at <="
        " postern.now() AND (lease_until IS NULL OR lease_until <= postern.now())")
    return due == 0 and not set(workers) & dispatchers.pids()


def play(desk, dispatchers, limit_s=400):
    """Until no mail waits any more."""
    deadline = time.monotonic() + limit_s
    while desk.value("SELECT count(*) FROM postern.outbox WHERE state IN ('pending', 'sending')"):
        assert time.monotonic() < deadline, desk.query(
            "SELECT state, attempts, resends, detail FROM postern.outbox WHERE state <> 'done'")
        dispatchers.revive()
        if is_at_rest(desk, dispatchers):
            desk.advance(minutes=30)
        time.sleep(0.02)


def check(desk, journal, crashes):
    """Each mail arrived under its one name, once more only for a crash in doubt."""
    entries = [json.loads(line) for line in journal.read_text().splitlines()]
    stages = collections.Counter((entry["crash"], entry["who"])
                                 for entry in entries if "crash" in entry)
    doubts = collections.Counter(entry["mail"] for entry in entries
                                 if entry.get("crash") in IN_DOUBT)
    copies = collections.Counter(entry["take"] for entry in entries if "take" in entry)
    names = {(entry["take"], entry["id"]) for entry in entries if "take" in entry}
    mails = desk.query("SELECT postern.mail_token(message_id), message_id, state"
                       " FROM postern.outbox WHERE state <> 'digested'")
    doubled = {mail: n for mail, n in copies.items() if n > 1}
    print(f"seed {SEED}: {sum(stages.values())} crashes {dict(stages)}; {len(mails)} mails,"
          f" {len(doubled)} of them more than once, {sum(doubts.values())} crashes in doubt")
    assert sum(stages.values()) == crashes, "fewer crashes than wanted"
    assert {stage for stage, _ in stages} >= {"mail", "rcpt", "data", "body", "dot", "stored",
                                              "answered"}
    assert {state for _, _, state in mails} == {"done"}
    assert names == {(token, message_id) for token, message_id, _ in mails}
    for token, n in copies.items():
        assert 1 <= n <= 1 + doubts[token], f"{token}: {n} copies, {doubts[token]} in doubt"
    assert desk.query("SELECT DISTINCT state FROM postern.warning") == [("running",)]


def run(desk, crash_server, crashes, warnings, each):
    ports, journal = crash_server
    warn_many(desk, warnings, each)
    dispatchers = Dispatchers(desk, ports)
    try:
        play(desk, dispatchers)
    finally:
        dispatchers.stop()
    check(desk, journal, crashes)


@pytest.mark.parametrize("crash_server", [CRASHES], indirect=True)
def test_each_warning_arrives_and_only_doubt_doubles_it(desk, crash_server):
    run(desk, crash_server, CRASHES, CRASHES, 1)


@pytest.mark.parametrize("crash_server", [IN_DIGESTS], indirect=True)
def test_each_digest_arrives_and_starts_all_of_its_clocks(desk, crash_server):
    desk.query("SELECT postern.set_setting('mail.digest_from', '5', 'test'),"
               " postern.set_setting('mail.digest_hold', '0', 'test')")
    run(desk, crash_server, IN_DIGESTS, 6 * IN_DIGESTS, 6)
    # Two who reach for the same mails at once may each leave some to be sent alone.
    parts, digests = desk.query("SELECT count(*), count(DISTINCT digest_id) FROM postern.outbox"
                                " WHERE state = 'digested'")[0]
    assert digests >= 0.7 * IN_DIGESTS and parts >= 5 * digests
