# SPDX-License-Identifier: Apache-2.0
"""What the documentation tells a person to type can be typed.

Every command line of ours in README.md, docs/ and the manual pages is read by its own program, with
--help behind it: an option that is not there, or takes another value, is an error before that.
Every SQL statement is run. The installation of docs/operating.md is carried out.
"""

import re
import shlex
import subprocess

import psycopg
import pytest

from conftest import BUILD, ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MANUALS = sorted((ROOT / "docs" / "man").glob("*.1"))
# What stands for something in a command line, and what would be typed there.
MEANT = {"…": "", "...": "", "$DB": "dbname=x", "FILE": "file", "ADDRESS:PORT": "127.0.0.1:2055",
         "HOST:PORT": "127.0.0.1:2055", "EXPORTER=N": "192.0.2.1=100"}


def blocks(page, *kinds):
    """Fenced blocks of these kinds ("" for those without one)."""
    return [text for kind, text in re.findall(r"^ *```(\w*)\n(.*?)^ *```", page.read_text(),
                                              re.M | re.S) if kind in kinds]


def literals(manual):
    text = manual.read_text().replace("\\e\n", "\\\n")
    return re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed", text, re.M | re.S)


def inline(page):
    return re.findall(r"(?<!`)`([^`\n]+)`(?!`)", page.read_text())


def command_lines():
    """{command: page} of all our commands that have options or arguments."""
    found = {}
    for page in (*PAGES, *MANUALS):
        texts = literals(page) if page in MANUALS else [*blocks(page, "", "sh"), *inline(page)]
        for line in "\n".join(texts).replace("\\\n", " ").splitlines():
            for part in re.split(r"\s*[|;]\s+|\s&&\s", line):
                if re.match(r"postern(-\w+)? +[^ =]", part) and not re.search(r" [|=] ?", part):
                    found.setdefault(part.strip(), page.relative_to(ROOT))
    return found


def words_of(command):
    for name, typed in MEANT.items():
        command = command.replace(name, typed)
    return shlex.split(command, comments=True)


@pytest.mark.parametrize("command, page", [
    pytest.param(command, page, id=f"{page.name}-{command}")
    for command, page in command_lines().items()])
def test_every_command_line_is_understood(runner, command, page):
    program, *words = words_of(command)
    done = subprocess.run([runner.path(program), *words, "--help"], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, f"{page}: {command}\n{done.stderr}"
    for word in words[:2 if program == "postern" else 0]:
        if re.fullmatch(r"[a-z]+", word):
            assert re.search(rf"\b{word}\b", done.stdout), f"{page}: {command}: what is {word}?"


@pytest.mark.parametrize("manual", MANUALS, ids=lambda manual: manual.stem)
def test_a_manual_names_all_options_and_no_other(runner, manual):
    text = manual.read_text()
    commands = set(re.findall(r"^\.It Cm (\w+)", text, re.M))
    helps = "".join(runner.run(manual.stem, *command, "--help").stdout
                    for command in [[], *([command] for command in sorted(commands))])
    named = set(re.findall(r"\bFl -([a-z0-9][a-z0-9-]*)", text))
    assert named and named <= set(re.findall(r"--([a-z0-9-]+)", helps))
    assert set(re.findall(r"^ +(?:-\w, )?--([a-z0-9-]+)", helps, re.M)) <= named


def statements(page):
    """SQL of a page: fenced, and in the middle of a sentence."""
    yield from blocks(page, "sql")
    for text in inline(page):
        if re.match(r"(SELECT|UPDATE|DELETE|INSERT) .", text) and "…" not in text:
            yield text


@pytest.mark.parametrize("page", [page for page in PAGES if any(statements(page))],
                         ids=lambda page: page.name)
def test_every_sql_statement_is_understood(desk, page):
    """The server knows all names in it. That its own rules refuse is fine: nothing has happened
    yet in this database."""
    for statement in statements(page):
        with desk.cluster.connect(desk.database) as connection:
            connection.autocommit = False
            try:
                connection.execute(re.sub(r"^ *(BEGIN|COMMIT);$", "", statement, flags=re.M))
            except psycopg.Error as error:
                assert error.sqlstate.startswith("PT"), f"{page.name}:\n{statement}\n{error}"
            finally:
                connection.rollback()


def test_the_installation_of_the_manual_installs(postgres, work_dir):
    """The blocks of the chapter that make the schema and say what is ours."""
    database = postgres.create_database()
    conninfo = postgres.conninfo(database)
    chapter = (ROOT / "docs/operating.md").read_text().split("\n## Installing\n")[1]
    blocks = re.findall(r"```sh\n(.*?)```", chapter, re.S)
    script = "\n".join(block for block in blocks
                       if "schema install" in block or "networks add" in block)
    for said, meant in (("runuser -u postgres -- createdb postern", "true"),
                        ("runuser -u postgres -- ", ""),
                        ("host=/run/postgresql dbname=postern user=postgres", conninfo),
                        ("host=/run/postgresql dbname=postern", conninfo),
                        ("/etc/postern/", f"{work_dir}/"),
                        ("import customers.csv", f"import --yes {ROOT}/deploy/demo/customers.csv")):
        assert said in script
        script = script.replace(said, meant)
    done = subprocess.run(["bash", "-eu", "-c", script], capture_output=True, text=True,
                          check=False, env={"PATH": f"{BUILD}/bin:/usr/bin:/bin"}, cwd=work_dir)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "192.0.2.0/24" in (work_dir / "networks").read_text()
    with postgres.connect(database) as connection:
        assert connection.execute("SELECT count(*) > 5 FROM postern.customer").fetchone() == (True,)
    postgres.drop_database(database)
