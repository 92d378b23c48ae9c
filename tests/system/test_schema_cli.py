# SPDX-License-Identifier: Apache-2.0
"""postern schema against a real PostgreSQL."""

import subprocess

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


def test_an_older_schema_is_brought_up_to_date(schema, postgres, database):
    schema("install")
    last = schema("status").stdout.splitlines()[-1].split()[1]
    with postgres.connect(database) as connection:
        # As if the last migration, and with it all of api_v1, had never been.
        connection.execute("DELETE FROM postern.schema_migration WHERE name = %s", (last,))
        connection.execute("DROP SCHEMA api_v1 CASCADE")
        connection.execute("CREATE SCHEMA api_v1 AUTHORIZATION postern_owner")
        connection.execute("GRANT USAGE ON SCHEMA api_v1 TO postern_analyst")
    assert f"pending  {last}" in schema("status", status=1).stdout
    assert f"applying {last}" in schema("upgrade").stdout
    schema("status")


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
