# SPDX-License-Identifier: Apache-2.0
"""docs/operating.md, Backups: roles and dump into a fresh cluster, and freezes that no restored
dump undoes unnoticed."""

import subprocess

import pytest

from desk import ENGLISH, GERMAN, Desk
from waiting import until


def freeze(desk, unit):
    """The whole way: listed, approved, announced, a day later."""
    desk.value("SELECT postern.apply_verdict(%s)", desk.verdict(unit))
    desk.query("SELECT postern.transition(%s, 'listed', 'dnsbl', '{\"zone\": \"zen.example\"}')",
               unit)
    desk.query("SELECT postern.transition(%s, 'freeze_approved', 'officer')", unit)
    desk.advance(hours=24)
    desk.query("UPDATE postern.freeze_proposal SET confirmed_at = postern.now() WHERE unit = %s",
               unit)
    desk.query("SELECT postern.commit_freeze(id) FROM postern.freeze_proposal WHERE unit = %s",
               unit)
    assert desk.state(unit) == "frozen"


class FreezeFile:
    def __init__(self, desk, key=None):
        self.desk, self.path, self.key = desk, desk.folder / "freezes", key

    def with_key(self):
        """Signed from now on."""
        self.key = self.desk.folder / "freeze.key"
        self.key.write_text("7b" * 32 + "\n")
        self.key.chmod(0o640)
        return self

    def arguments(self, path="--freeze-file"):
        return [path, str(self.path), *(["--freeze-key", str(self.key)] if self.key else [])]

    def write(self):
        """A dispatcher writes what is missing at its start."""
        program = self.desk.dispatch("deadline", *self.arguments())
        frozen = self.desk.value("SELECT count(*) FROM postern.ip_freeze")
        until(lambda: self.path.exists() and len(self.path.read_text().splitlines()) == frozen,
              "the file has every freeze")
        program.stop()

    def findings(self, desk=None, role="postern_monitor"):
        desk = desk or self.desk
        done = subprocess.run([desk.runner.path("postern"), "doctor",
                               *self.arguments("--freezes"), "--database", desk.conninfo(role)],
                              capture_output=True, text=True, check=False)
        return [line for line in done.stdout.splitlines() if "freezes" in line]


@pytest.fixture
def file(desk):
    return FreezeFile(desk)


def test_every_freeze_is_written_once_and_the_doctor_compares(desk, file):
    freeze(desk, GERMAN)
    file.write()
    freeze(desk, ENGLISH)
    assert f"{ENGLISH} is frozen and not in" in file.findings()[0]
    file.write()
    file.write()
    assert [line.split()[1] for line in file.path.read_text().splitlines()] == [GERMAN, ENGLISH]
    assert "2, as in" in file.findings()[0]


def test_a_line_that_was_changed_or_taken_away_is_seen(desk, file):
    for unit in (GERMAN, ENGLISH):
        freeze(desk, unit)
    file.write()
    whole = file.path.read_text()
    file.path.write_text(whole.replace(GERMAN, "192.0.2.3"))
    assert "freezes:1 was changed" in file.findings()[0]
    file.path.write_text("".join(whole.splitlines(keepends=True)[1:]))
    assert "freezes:1 was changed, or a line before it was taken away" in file.findings()[0]


def test_a_signed_file_tells_everything_that_can_be_done_to_it(desk, file):
    for unit in (GERMAN, ENGLISH, "192.0.2.2"):
        freeze(desk, unit)
    file.with_key().write()
    assert "3, as in" in file.findings()[0] and "its signatures hold" in file.findings()[0]
    whole = file.path.read_text()
    lines = whole.splitlines(keepends=True)
    assert all(line.split()[4].startswith("hmac:") for line in lines)
    for text, words in (
            (whole.replace(ENGLISH, "192.0.2.3"), "freezes:2 was changed, or a line before it"),
            ("".join(lines[1:]), "freezes:1 was changed, or this is not the key"),
            (lines[0] + lines[2], "freezes:2 was changed, or a line before it was taken away"),
            (lines[0] + lines[0] + lines[1] + lines[2], "freezes:2 was changed"),
            (lines[0] + lines[1], "192.0.2.2 is frozen and not in"),
            (whole[:-9], "192.0.2.2 is frozen and not in"),
            ("nonsense\n", "freezes:1 is no line of this file")):
        file.path.write_text(text)
        assert words in file.findings()[0], file.findings()
    file.path.write_text(whole[:-9])
    assert "ends in the middle of a line" in file.findings()[1]
    file.path.write_text(whole)
    key, file.key = file.key, None
    assert "--freeze-key FILE would check" in file.findings()[0]
    file.key = key
    key.write_text("8c" * 32)
    assert "or this is not the key" in file.findings()[0]


def test_who_has_no_key_cannot_write_the_file_anew(desk, file):
    freeze(desk, GERMAN)
    file.write()
    assert "(not signed)" in file.findings()[0]
    file.with_key()
    assert "freezes:1 is not signed" in file.findings()[0]
    program = desk.dispatch("deadline", *file.arguments())
    until(lambda: "freezes:1 is not signed" in program.stderr, "nor does the dispatcher sign it")
    program.stop()
    file.path.unlink()
    file.write()
    key, file.key = file.key, None
    program = desk.dispatch("deadline", *file.arguments())
    freeze(desk, ENGLISH)
    until(lambda: "--freeze-key is missing" in program.stderr, "nothing unsigned is appended")
    assert key and ENGLISH not in file.path.read_text()


@pytest.mark.parametrize("text, mode, words", [
    ("7b" * 32, 0o644, "chmod 0640"), ("7b" * 32, 0o660, "chmod 0640"),
    ("short\n", 0o600, "openssl rand -hex 32"), ("", 0o600, "openssl rand -hex 32"),
    (None, 0, "No such file")])
def test_a_key_that_is_none_stops_the_start(desk, file, text, mode, words):
    file.with_key()
    if text is None:
        file.key.unlink()
    else:
        file.key.write_text(text)
        file.key.chmod(mode)
    program = desk.runner.start("postern-dispatch",
                                *desk.dispatch_arguments("deadline", *file.arguments()))
    assert program.expect_failure().wait() in (1, 2)
    assert words in program.stderr


def test_a_line_that_was_half_written_is_written_again(desk, file):
    for unit in (GERMAN, ENGLISH):
        freeze(desk, unit)
    file.write()
    whole = file.path.read_text()
    for cut in (1, 40, len(whole.splitlines()[1])):
        file.path.write_text(whole[:-cut])
        program = desk.dispatch("deadline", "--freeze-file", str(file.path))
        until(lambda: file.path.read_text() == whole, "whole again")
        program.stop()


def test_a_disk_in_trouble_keeps_no_deadline_from_firing(desk, file):
    desk.value("SELECT postern.apply_complaint(%s)", desk.complaint(ENGLISH))
    desk.dispatch("mail")
    until(lambda: desk.mails() and desk.mails()[0][1] == "done", "accepted")
    program = desk.dispatch("deadline", "--freeze-file", "/nowhere/freezes")
    desk.advance(hours=25)
    desk.wait_state(ENGLISH, "clear")
    assert "/nowhere/freezes: cannot open" in program.stderr


def copy(source, target, database, folder):
    """As the page says it: roles, then the database."""
    dump, roles = folder / "postern.dump", folder / "roles.sql"
    subprocess.run(["pg_dump", "--format=custom", "--file", dump, "--dbname",
                    source.cluster.conninfo(source.database)], check=True)
    text = subprocess.run(["pg_dumpall", "--roles-only", "--dbname", source.cluster.conninfo()],
                          check=True, capture_output=True, text=True).stdout
    roles.write_text("".join(line for line in text.splitlines(keepends=True)
                             if not line.endswith(" postgres;\n") and
                             not line.startswith("ALTER ROLE postgres ")))
    def restore():
        for command in (["psql", "-qX", "--set=ON_ERROR_STOP=1", "--file", roles, "--dbname",
                         target.conninfo()],
                        ["createdb", "--maintenance-db", target.conninfo(), database],
                        ["pg_restore", "--exit-on-error", "--single-transaction", "--dbname",
                         target.conninfo(database), dump]):
            subprocess.run(command, check=True)
    return restore


def test_a_restored_dump_works_and_an_older_one_thaws_nothing_unnoticed(
        desk, file, own_postgres, runner, work_dir):
    freeze(desk, GERMAN)
    restore = copy(desk, own_postgres, "postern", work_dir)
    freeze(desk, ENGLISH)
    file.with_key().write()
    restore()
    restored = Desk(runner, own_postgres, work_dir, "postern", setup=False)
    assert restored.state(GERMAN) == "frozen"
    with pytest.raises(Exception, match="kept for ever"):
        restored.query("DELETE FROM postern.ip_freeze")
    lost, = file.findings(restored)
    assert f"{ENGLISH} is frozen in" in lost and "not in the database" in lost
    program = restored.dispatch("deadline", *file.arguments())
    until(lambda: "1 freezes of" in program.stderr and "missing in the database" in program.stderr,
          "the dispatcher says so, too")
    program.stop()
    refused = restored.cli("freeze", "restore", file.path, status=2).stderr
    assert "needs --freeze-key" in refused
    asked = restored.cli("freeze", "restore", file.path, "--freeze-key", file.key, status=1)
    assert "1 freezes are missing" in asked.stdout and "--yes" in asked.stderr
    done = restored.cli("freeze", "restore", file.path, "--freeze-key", file.key, "--yes")
    assert f"{ENGLISH}: frozen" in done.stdout and restored.state(ENGLISH) == "frozen"
    assert "2, as in" in file.findings(restored)[0]
    assert "nothing to do" in restored.cli("freeze", "restore", file.path, "--freeze-key",
                                           file.key).stdout
    restored.dispatch("verdict,deadline")
    restored.verdict("192.0.2.5")
    restored.wait_state("192.0.2.5", "blocked")

