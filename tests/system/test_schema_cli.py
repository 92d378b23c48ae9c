# SPDX-License-Identifier: Apache-2.0
"""postern schema against a real PostgreSQL."""

import subprocess
from pathlib import Path

import pytest


@pytest.fixture
def schema(runner, postgres, database):
    """schema("install", …) on an empty database; ends with `status`."""
    def run(*arguments, status=0):
        return runner.run("postern", "schema", *arguments, "--database",
                          postgres.conninfo(database), status=status)
    return run


def test_install_applies_every_migration_and_status_lists_them(schema, postgres, database):
    before = schema("status", status=1).stdout.splitlines()
    assert before and all(line.startswith("pending") for line in before)
    assert "the schema is at version" in schema("install").stdout
    after = schema("status").stdout.splitlines()
    assert len(after) == len(before)
    assert all(line.startswith("applied") for line in after)
    with postgres.connect(database) as connection:
        assert connection.execute("SELECT postern.mode()").fetchone() == ("shadow",)
        assert connection.execute("SELECT count(*) FROM postern.schema_migration"
                                  " WHERE checksum ~ '^[0-9a-f]{64}$'").fetchone() == (len(after),)


def test_a_second_install_is_refused_and_names_the_way(schema):
    schema("install")
    assert "postern schema upgrade" in schema("install", status=1).stderr
    assert "up to date" in schema("upgrade").stdout


def test_upgrade_of_an_empty_database_names_the_way(schema):
    assert "postern schema install" in schema("upgrade", status=1).stderr


# The last migration of each schema that hosters may have.
LANDED = [16, 31, 43]
SCHEMA = Path(__file__).resolve().parents[2] / "store" / "schema"


def put_back(connection, version):
    """Makes an installed database one of that version, as if nothing later had ever been."""
    done = connection.execute("SELECT version, name, checksum, applied_at, program_version"
                              " FROM postern.schema_migration WHERE version <= %s",
                              (version,)).fetchall()
    table = connection.execute("SELECT count(*) FROM postern.schema_migration").fetchone()
    assert table[0] > version
    connection.execute("DROP SCHEMA postern, api_v1 CASCADE")
    for file in sorted(SCHEMA.glob("[0-9]*.sql"))[:version]:
        connection.execute(file.read_text())
    connection.execute("CREATE TABLE postern.schema_migration (version int PRIMARY KEY, name text,"
                       " checksum text, applied_at timestamptz DEFAULT now(),"
                       " program_version text)")
    for row in done:
        connection.execute("INSERT INTO postern.schema_migration VALUES (%s, %s, %s, %s, %s)", row)


@pytest.mark.parametrize("version", LANDED)
def test_an_older_schema_is_brought_up_to_date_and_keeps_its_data(schema, postgres, database,
                                                                 version):
    schema("install")
    with postgres.connect(database) as connection:
        put_back(connection, version)
        connection.execute("SELECT postern.network_add('192.0.2.0/24', 'ours', 'alice')")
        connection.execute("SELECT postern.customers_import_begin()")
        connection.execute("INSERT INTO import_row (net, customer, contacts, line)"
                           " VALUES ('192.0.2.0/25', 'C1', 'abuse@c1.example', 2)")
        connection.execute("SELECT postern.customers_import_apply(false, 'alice')")
        connection.execute("SELECT postern.set_mode('enforce', 'alice')")
        connection.execute(VERDICT)
        connection.execute("SELECT postern.apply_verdict(id) FROM postern.verdict")
        before = connection.execute(KEPT).fetchall()
    assert f"pending  {version + 1:04}" in schema("status", status=1).stdout
    assert f"applying {version + 1:04}" in schema("upgrade").stdout
    schema("status")
    with postgres.connect(database) as connection:
        assert connection.execute(KEPT).fetchall() == before
        assert before[0][:4] == ("192.0.2.1/32", "blocked", "C1", [25])
        connection.execute("SELECT postern.ip_release('192.0.2.1', 'answered', false, 'alice')")


VERDICT = """
    INSERT INTO postern.verdict (unit, partition, position, episode, band, crossed_at, received_at,
        first_at, last_at, evidence, score, sessions_seen, sessions_low, destinations_seen, usual,
        window_s, channel, pair, failed, ports, sampling, cold, exporters, reasons, samples, model)
    SELECT '192.0.2.1', 0, 10, t, 'block', t, t, t, t, 950, 950, 420, 400, 380, 20, 300, 'S',
        'smtp', 12, '{25}', 1, true, '{203.0.113.1}', '[{"name": "burst", "points": 1, "text":
        "420 new mail connections."}]', '[]', 'edet-1' FROM (SELECT postern.now() AS t) AS x"""
KEPT = """
    SELECT s.unit::text, s.state, s.customer, b.ports, b.reason, lower(b.during), o.message_id,
           o.contact_email, (postern.tenancy_at(s.unit, b.hold_until)).customer
      FROM postern.ip_state s JOIN postern.block b USING (unit)
      JOIN postern.outbox o USING (unit)"""


def test_a_newer_database_is_refused_by_everything(schema, postgres, database, runner):
    schema("install")
    with postgres.connect(database) as connection:
        connection.execute("INSERT INTO postern.schema_migration VALUES (9999, '9999_later', 'x',"
                           " now(), '9.9')")
    refused = schema("upgrade", status=1).stderr
    assert "9999_later" in refused and "newer" in refused
    assert "unknown  9999_later" in schema("status", status=1).stdout
    done = runner.run("postern", "doctor", "--database", postgres.conninfo(database), status=1)
    assert "9999_later is unknown" in done.stdout


def test_a_changed_migration_is_refused(schema, postgres, database):
    schema("install")
    with postgres.connect(database) as connection:
        connection.execute("UPDATE postern.schema_migration SET checksum = 'other'"
                           " WHERE version = 2")
    assert "0002_" in schema("upgrade", status=1).stderr
    assert "changed  0002_" in schema("status", status=1).stdout


def test_installing_twice_at_once_installs_once(runner, postgres, database):
    command = [runner.path("postern"), "schema", "install", "--database",
               postgres.conninfo(database)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(2)]
    ends = sorted((process.wait(60), process.communicate()[1]) for process in both)
    assert [status for status, _ in ends] in ([0, 1], [0, 0])
    assert "Traceback" not in ends[1][1] and "syntax" not in ends[1][1]
    with postgres.connect(database) as connection:
        assert connection.execute("SELECT count(*) = count(DISTINCT version)"
                                  " FROM postern.schema_migration").fetchone() == (True,)
    runner.run("postern", "schema", "status", "--database", postgres.conninfo(database))


def test_only_a_test_installation_has_a_clock_to_move(schema, postgres, database):
    assert "--clock needs --test" in schema("install", "--clock", "offset:5", status=2).stderr
    schema("install")
    with postgres.connect(database) as connection:
        assert connection.execute("SELECT postern.setting('test.clock')").fetchone() == (None,)


def test_the_clock_of_a_test_installation_follows_its_setting(schema, postgres, database):
    schema("install", "--test", "--clock", "offset:-86400")
    with postgres.connect(database) as connection:
        shift = connection.execute("SELECT extract(epoch FROM clock_timestamp() - postern.now())")
        assert abs(float(shift.fetchone()[0]) - 86400) < 5
    schema("upgrade")
    with postgres.connect(database) as connection:
        assert connection.execute("SELECT postern.setting('test.clock')").fetchone() \
            == ("offset:-86400",)


@pytest.mark.parametrize("arguments, status, words", [
    ((), 2, "install|upgrade|status"),
    (("destroy",), 2, 'what is "destroy"'),
    (("install", "--test", "--clock", "tomorrow"), 2, "tomorrow"),
    (("upgrade", "--test"), 2, "--test belongs to install"),
])
def test_wrong_use_is_explained(schema, arguments, status, words):
    assert words in schema(*arguments, status=status).stderr


def test_a_database_that_is_not_there_is_named(runner, work_dir):
    done = runner.run("postern", "schema", "status", "--database", f"host={work_dir} dbname=x",
                      status=1)
    assert str(work_dir) in done.stderr
    assert "--database is missing" in runner.run("postern", "schema", "status", status=2).stderr


def test_a_role_without_rights_is_refused_with_a_reason(runner, postgres, database):
    with postgres.connect() as connection:
        connection.execute("DO $$ BEGIN CREATE ROLE nobody_special LOGIN;"
                           " EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    done = runner.run("postern", "schema", "install", "--database",
                      postgres.conninfo(database, "nobody_special"), status=1)
    assert "0001_" in done.stderr and "as a superuser" in done.stderr


def test_every_command_explains_itself(runner):
    top = runner.run("postern", "--help").stdout
    for command in ("schema", "networks", "customers", "reporters", "ip", "mode", "replay",
                    "backtest", "report", "doctor"):
        assert f"\n  {command} " in top
    for command in ("schema", "networks", "customers", "reporters", "ip", "mode", "backtest",
                    "report", "doctor"):
        text = runner.run("postern", command, "--help").stdout
        assert "Usage:" in text and "Exit status" in text and "--database" in text or \
            command == "backtest"
    assert "Try postern --help" in runner.run("postern", "dance", status=2).stderr
    assert "Usage:" in runner.run("postern", status=2).stderr
    assert runner.run("postern", "--version").stdout.startswith("postern ")
