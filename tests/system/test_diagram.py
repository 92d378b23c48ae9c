# SPDX-License-Identifier: Apache-2.0
"""docs/schema-diagram.md is what the database gives; every table has its place in it."""

import subprocess

from conftest import ROOT

TOOL = ROOT / "tests/tools/er-diagram"


def draw(desk):
    return subprocess.run([TOOL, desk.conninfo()], capture_output=True, text=True, check=False)


def test_the_page_is_what_the_database_gives(desk):
    page = (ROOT / "docs/schema-diagram.md").read_text()
    assert draw(desk).stdout == page, "make it anew: tests/tools/er-diagram CONNINFO"
    assert page.count("```mermaid") == page.count("\nerDiagram\n") > 5


def test_a_table_without_a_place_is_named(desk):
    desk.query("CREATE TABLE postern.stray (id int)")
    done = draw(desk)
    assert done.returncode == 1 and "stray" in done.stderr
