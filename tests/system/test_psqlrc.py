# SPDX-License-Identifier: Apache-2.0
"""deploy/psqlrc: every shortcut asks something, as an analyst."""

import os
import re
import subprocess
from pathlib import Path

from desk import GERMAN

FILE = Path(__file__).parents[2] / "deploy/psqlrc"


def ask(desk, text):
    done = subprocess.run(["psql", desk.conninfo("postern_analyst")], input=text,
                          capture_output=True, text=True, check=True,
                          env={**os.environ, "PSQLRC": str(FILE)})
    assert done.stderr == ""
    return done.stdout


def test_every_shortcut_asks_something(desk):
    desk.value("SELECT postern.apply_verdict(%s)", desk.verdict(GERMAN))
    names = set(re.findall(r"^\\set ([a-z]+) '", FILE.read_text(), re.M))
    assert {"blocks", "deadlines", "who", "help"} <= names
    for name in names - {"help"}:
        answer = ask(desk, f"\\set ip {GERMAN}\n:{name}\n")
        known = {"blocks": GERMAN, "who": "hold ends", "network": "null"}.get(name, "(0 rows)")
        assert known in answer, name
    assert all(f":{name}" in ask(desk, ":help\n") for name in names - {"help"})


def test_the_prompt_says_who_and_in_which_mode(desk):
    assert ask(desk, "\\echo :postern_mode :PROMPT1\n") == "enforce %n %:postern_mode:%R%# \n"
