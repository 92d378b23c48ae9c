# SPDX-License-Identifier: Apache-2.0
"""What a system test can ask for: the programs, and the real parts that they talk to.

Everything lives in one temporary folder with a short, public path: sockets need the first, the
user postgres (when root runs the tests) needs the second.

Tests run beside each other: tests/run starts several processes that take the tests from one queue,
in any order. Each process has its own broker, cluster and template (what has scope "session" or
"module" below is made once in each), so a test need not share anything, if it

- takes ports from free_port() alone (never port + 1, never a fixed number),
- writes only into work_dir (or session_dir), and puts no file elsewhere, not even into build/,
- leaves behind what it found: a shared broker that it stopped runs again, however the test ended,
- waits with until() and a deadline for the busiest machine: a deadline is there to end a test that
  hangs, not to say how fast something should be. Times are never asserted; a sleep is never a
  synchronisation, only the span of a "nothing happens" (as short as the promise allows),
- stands alone: no test needs another one before it.

A file whose tests share something that is dear or of which there is one only is named in TOGETHER.
"""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from broker import Kafka
from cluster import Postgres
from desk import Desk, make_template
from exports import Router
from mailserver import MailServer
from ports import free_port as any_free_port
from program import Runner
from sharing import OneByOne
from smalldisk import SmallDisk

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("POSTERN_BUILD", ROOT / "build" / "dev")).resolve()

# Files whose tests run one after the other in one process, and why.
TOGETHER = {
    "test_try.py": "deploy/try runs once at a time in a checkout",
    "test_lab.py": "one run of the lab serves all its tests",
    "test_detector.py": "one run of the detector serves all its tests",
}
# What takes longest begins first, so that no process is left alone with it at the end.
FIRST = (*TOGETHER, "test_lab_live.py", "test_outages.py")


def pytest_xdist_make_scheduler(config, log):
    return OneByOne(config, log, TOGETHER)


def pytest_collection_modifyitems(items):
    def place(item):
        return FIRST.index(item.path.name) if item.path.name in FIRST else len(FIRST)
    items.sort(key=place)


def find_program(name):
    """A program of the build."""
    path = BUILD / "bin" / name
    assert os.access(path, os.X_OK), f"{path} is not built: run tests/run system"
    return path


@pytest.fixture(scope="session")
def programs():
    """programs(NAME) gives the path of a built program."""
    return find_program


@pytest.fixture(scope="session")
def session_dir():
    """One folder for all parts of a run; others may pass through it."""
    folder = Path(tempfile.mkdtemp(prefix="t.", dir=os.environ.get("POSTERN_TEST_TMP", "/tmp")))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def work_dir(session_dir):
    """A fresh folder for one test."""
    folder = Path(tempfile.mkdtemp(prefix="w.", dir=session_dir))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def kafka(session_dir):
    """One real broker for all tests; who stops or kills it starts it again."""
    broker = Kafka(session_dir / "kafka")
    yield broker
    broker.kill()


@pytest.fixture
def own_kafka(work_dir):
    """A broker of this test's own."""
    broker = Kafka(work_dir / "kafka")
    yield broker
    broker.kill()


@pytest.fixture(scope="session")
def postgres(session_dir):
    """One cluster for all tests that do not kill it (fsync off)."""
    cluster = Postgres(session_dir / "pg", durable=False)
    yield cluster
    cluster.stop()


@pytest.fixture
def own_postgres(work_dir):
    """A durable cluster of this test's own, to be killed at will."""
    cluster = Postgres(work_dir / "pg")
    yield cluster
    cluster.stop()


@pytest.fixture
def database(postgres):
    """The name of a fresh, empty database; postgres.conninfo(database) leads to it."""
    name = postgres.create_database()
    yield name
    postgres.drop_database(name)


@pytest.fixture
def bus_path(work_dir):
    """Where an embedded bus may be made: an absent file in a fresh folder."""
    folder = work_dir / "bus"
    folder.mkdir()
    return folder / "bus.db"


@pytest.fixture
def maildir(work_dir):
    """An empty maildir."""
    folder = work_dir / "maildir"
    for part in ("cur", "new", "tmp"):
        (folder / part).mkdir(parents=True)
    return folder


@pytest.fixture
def free_port():
    """free_port() gives a port that nobody listens on."""
    return any_free_port


@pytest.fixture
def port():
    """One such port."""
    return any_free_port()


@pytest.fixture
def router():
    """An exporter that sends to a port of its own."""
    router = Router(any_free_port())
    yield router
    router.socket.close()


@pytest.fixture
def mail_server():
    """A mail server that takes everything until it is cued to misbehave."""
    with MailServer() as server:
        yield server


@pytest.fixture
def runner(work_dir):
    """Starts programs; a program that crashed fails the test."""
    programs_of_test = Runner(find_program, work_dir)
    yield programs_of_test
    programs_of_test.clean_up()


@pytest.fixture
def small_disk(work_dir):
    """A file system of 8 MiB, for disks that are full."""
    with SmallDisk(work_dir) as disk:
        yield disk


@pytest.fixture(scope="session")
def desk_template(postgres, session_dir):
    """The name of a database with the schema, to copy from."""
    return make_template(Runner(find_program, session_dir), postgres)


@pytest.fixture
def desk(runner, postgres, work_dir, desk_template):
    """A database with schema, networks and two customers, enforcing, its clock ours."""
    own = Desk(runner, postgres, work_dir, desk_template)
    yield own
    runner.clean_up()
    postgres.drop_database(own.database)


@pytest.fixture
def own_desk(runner, own_postgres, work_dir):
    """The same on a durable cluster of this test's own, to be killed at will."""
    yield Desk(runner, own_postgres, work_dir, make_template(runner, own_postgres))
    runner.clean_up()
