# SPDX-License-Identifier: Apache-2.0
"""A private PostgreSQL cluster for tests, by tests/support/postgres/pg-start."""

import itertools
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

    def create_database(self, template="template1"):
        """A fresh database, as empty as its template; gives its name."""
        name = f"test_{next(self._numbers)}"
        with self.connect() as connection:
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(template)))
        return name

    def drop_database(self, name):
        with self.connect() as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(
                sql.Identifier(name)))
