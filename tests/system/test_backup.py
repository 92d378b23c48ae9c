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
    def __init__(self, desk):
        self.desk, self.path = desk, desk.folder / "freezes"

    def write(self):
        """A dispatcher writes what is missing at its start."""
        program = self.desk.dispatch("deadline", "--freeze-file", str(self.path))
        frozen = self.desk.value("SELECT count(*) FROM postern.ip_freeze")
        until(lambda: self.path.exists() and len(self.path.read_text().splitlines()) == frozen,
              "the file has every freeze")
        program.stop()

    def findings(self, desk=None, role="postern_monitor"):
        desk = desk or self.desk
        done = subprocess.run([desk.runner.path("postern"), "doctor", "--freezes", self.path,
                               "--database", desk.conninfo(role)],
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
    file.write()
    restore()
    restored = Desk(runner, own_postgres, work_dir, "postern", setup=False)
    assert restored.state(GERMAN) == "frozen"
    with pytest.raises(Exception, match="kept for ever"):
        restored.query("DELETE FROM postern.ip_freeze")
    lost, = file.findings(restored)
    assert f"{ENGLISH} is frozen in" in lost and "not in the database" in lost
    restored.dispatch("verdict,deadline")
    restored.verdict("192.0.2.5")
    restored.wait_state("192.0.2.5", "blocked")

