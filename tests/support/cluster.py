# SPDX-License-Identifier: Apache-2.0
"""A private PostgreSQL cluster for tests, by tests/support/postgres/pg-start."""

import itertools
import os
import shutil
import subprocess
from pathlib import Path

import psycopg
from psycopg import sql

SCRIPTS = Path(__file__).parent / "postgres"


class Postgres:
    """A cluster in `folder`; durable=False where no test kills the server."""

    def __init__(self, folder, durable=True):
        self.folder = Path(folder)
        self._numbers = itertools.count(1)
        self.fsync = "on" if durable else "off"
        self.start()

    @staticmethod
    def _run(script, *arguments):
        command = [SCRIPTS / script, *map(str, arguments)]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    def start(self):
        """Starts the cluster if it does not run; the data is what it was."""
        self._run("pg-start", f"--fsync={self.fsync}", self.folder)

    def stop(self):
        self._run("pg-stop", self.folder)

    def kill(self):
        """SIGKILL to the server and all its processes."""
        self._run("pg-stop", "--kill", self.folder)

    def conninfo(self, database="postgres", user="postgres"):
        return f"host={self.folder.resolve()}/socket user={user} dbname={database}"

    def connect(self, database="postgres", user="postgres"):
        """A connection in autocommit mode."""
        return psycopg.connect(self.conninfo(database, user), autocommit=True)

    def create_database(self, template="template1", name=None):
        """A fresh database, as empty as its template; gives its name."""
        name = name or f"test_{next(self._numbers)}"
        with self.connect() as connection:
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(template)))
        return name

    def drop_database(self, name):
        with self.connect() as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(
                sql.Identifier(name)))

    # --- a second server ------------------------------------------------------------------

    @staticmethod
    def _as_owner(*command):
        """As who owns the cluster: root cannot."""
        own = ("runuser", "-u", "postgres", "--") if os.geteuid() == 0 else ()
        subprocess.run([*own, *map(str, command)], check=True, cwd="/",
                       stdout=subprocess.DEVNULL)

    def standby(self, folder):
        """A server that follows this one; from now on this one's commits wait for it."""
        other = Postgres.__new__(Postgres)
        other.folder, other.fsync, other._numbers = Path(folder), self.fsync, self._numbers
        for part in ("data", "socket"):
            (other.folder / part).mkdir(parents=True, mode=0o700)
            if os.geteuid() == 0:
                shutil.chown(other.folder / part, "postgres")
        (other.folder / "log").touch()
        if os.geteuid() == 0:
            shutil.chown(other.folder / "log", "postgres")
        self._as_owner("pg_basebackup", "--pgdata", other.folder / "data", "--write-recovery-conf",
                       "--checkpoint=fast", "--no-sync", "--dbname",
                       f"{self.conninfo()} application_name=second")
        with open(other.folder / "data/postgresql.conf", "a", encoding="utf-8") as conf:
            conf.write(f"unix_socket_directories = '{other.folder.resolve()}/socket'\n")
        other.start()
        with self.connect() as connection:
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = 'second'")
            connection.execute("SELECT pg_reload_conf()")
        return other

    def promote(self):
        """It takes writes from now on, and waits for nobody."""
        with self.connect() as connection:
            connection.execute("SELECT pg_promote()")
            connection.execute("ALTER SYSTEM RESET synchronous_standby_names")
            connection.execute("SELECT pg_reload_conf()")
