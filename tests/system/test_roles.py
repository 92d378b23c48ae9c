# SPDX-License-Identifier: Apache-2.0
"""Each role, logged in as itself with a password over a server that asks for one: what it may, and
that there is no way around what it may not. tests/schema/02_roles.sql lists every right; here it
is tried from outside, where SET ROLE and RESET lead nowhere."""

import os
import subprocess

import psycopg
import pytest
from psycopg import errors

from desk import GERMAN

PROGRAMS = ["ingest", "desk", "mailer", "enforcer", "api", "analyst", "monitor"]
PEOPLE = ["officer", "auditor"]
MAY = {
    "ingest": "SELECT count(*) FROM postern.assignments_for_scoring",
    "desk": "SELECT * FROM postern.claim_verdicts(1)",
    "mailer": "SELECT * FROM postern.claim_mail('w', '1 minute', 1)",
    "enforcer": "SELECT * FROM postern.claim_orders('null', 'w', 1)",
    "api": f"SELECT postern.request_unblock('{GERMAN}', 'C-1')",
    "analyst": f"SELECT * FROM api_v1.ip_timeline('{GERMAN}')",
    "monitor": "SELECT * FROM postern.due",
    "officer": "SELECT postern.set_setting('deadline.hours', '48', 'alice')",
    "auditor": "SELECT * FROM postern.outbox",
}
# What nobody may who logs in: (statement, …). Tried as every role.
NOBODY = [
    "SET ROLE postern_owner", "SET ROLE postern_freezer", "SET ROLE postgres",
    "SET SESSION AUTHORIZATION postgres", "SET SESSION AUTHORIZATION postern_owner",
    "SET session_replication_role = replica",
    "SELECT pg_read_file('postgresql.conf')", "SELECT pg_ls_dir('.')",
    "SELECT lo_import('/etc/passwd')",
    "COPY (SELECT 1) TO PROGRAM 'true'", "COPY (SELECT 1) TO '/tmp/postern-roles'",
    "CREATE TABLE public.mine (id int)", "CREATE TABLE postern.mine (id int)",
    "CREATE FUNCTION api_v1.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE SCHEMA mine", "CREATE ROLE mine", "CREATE EXTENSION pgtap",
    "ALTER TABLE postern.ip_freeze DISABLE TRIGGER ALL", "DROP VIEW api_v1.freezes",
    "ALTER FUNCTION postern.now() OWNER TO CURRENT_USER",
    "GRANT postern_officer TO CURRENT_USER", "ALTER ROLE CURRENT_USER SUPERUSER",
    "DELETE FROM postern.audit_event", "UPDATE postern.ip_state SET state = 'clear'",
    "INSERT INTO postern.ip_freeze (unit) VALUES ('192.0.2.1')", "TRUNCATE postern.block",
    "SELECT key FROM postern.hash_key", "SELECT postern.transition('192.0.2.1', 'released', 'me')",
]
READS_TABLES = {"auditor"}


@pytest.fixture
def server(own_postgres, runner):
    """A server that wants passwords from everyone but its superuser, with a block in it."""
    database = own_postgres.create_database()
    runner.run("postern", "schema", "install", "--database", own_postgres.conninfo(database))
    with own_postgres.connect(database) as connection:
        connection.execute("SELECT postern.network_add('192.0.2.0/24', 'ours', 'alice')")
        for role in PROGRAMS:
            connection.execute(f"ALTER ROLE postern_{role} PASSWORD 'of {role}'")
        for role in PEOPLE:
            connection.execute(f"CREATE ROLE a_{role} LOGIN PASSWORD 'of {role}'"
                               f" IN ROLE postern_{role}")
    hba = own_postgres.folder / "data" / "pg_hba.conf"
    hba.write_text("local all postgres trust\nlocal all all scram-sha-256\n")
    with own_postgres.connect() as connection:
        connection.execute("SELECT pg_reload_conf()")
    return own_postgres, database


def log_in(server, role, password=None):
    cluster, database = server
    name = f"a_{role}" if role in PEOPLE else f"postern_{role}"
    return psycopg.connect(cluster.conninfo(database, name), autocommit=True,
                           password=password or f"of {role}")


def test_each_role_does_its_own_work_and_nothing_around_it(server):
    for role in PROGRAMS + PEOPLE:
        with log_in(server, role) as connection:
            assert connection.execute("SELECT session_user = current_user").fetchone() == (True,)
            connection.execute(MAY[role])
            for statement in NOBODY:
                with pytest.raises(errors.InsufficientPrivilege):
                    connection.execute(statement)
                    pytest.fail(f"{role} may: {statement}")
            for other in PROGRAMS + PEOPLE:
                if other != role:
                    with pytest.raises(errors.InsufficientPrivilege):
                        connection.execute(f"SET ROLE postern_{other}")
            if role not in READS_TABLES:
                with pytest.raises(errors.InsufficientPrivilege):
                    connection.execute("SELECT * FROM postern.customer JOIN postern.outbox"
                                       " ON true")


@pytest.mark.parametrize("role", ["analyst", "monitor", "api", "auditor"])
def test_who_only_reads_calls_nothing_that_acts(server, role):
    with log_in(server, role) as connection:
        for call in ["ip_release('192.0.2.1', 'x', false, 'me')", "set_mode('enforce', 'me')",
                     "apply_verdict(1)", "seal_audit(1)", "expire(1)", "commit_freeze(1)",
                     "claim_mail('w', '1 minute', 1)", "customers_import_apply(true, 'me')"]:
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(f"SELECT postern.{call}")


def test_a_person_is_named_by_the_login_whatever_he_says(server):
    with log_in(server, "officer") as connection:
        connection.execute("SELECT postern.set_setting('deadline.hours', '36', 'somebody else')")
        assert connection.execute("SELECT actor, login FROM api_v1.audit ORDER BY id DESC LIMIT 1"
                                  ).fetchone() == ("somebody else", "a_officer")


def test_nobody_comes_in_without_the_password_or_as_the_owner(server):
    with pytest.raises(psycopg.OperationalError):
        log_in(server, "desk", "wrong")
    for role in ["owner", "freezer", "officer", "auditor"]:
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(server[0].conninfo(server[1], f"postern_{role}"), password="x").close()


def test_the_report_runs_as_the_analyst_with_a_password(server, runner):
    cluster, database = server
    done = subprocess.run([runner.path("postern-report"), "--database",
                           cluster.conninfo(database, "postern_analyst")], capture_output=True,
                          text=True, check=True, env={**os.environ, "PGPASSWORD": "of analyst"})
    assert "POSTERN REPORT" in done.stdout
