# SPDX-License-Identifier: Apache-2.0
"""The detector on a small piece of generated traffic, against what tests/data/detector.json knows.

No more false alarms than there, no less spam found, within 10 %. And the promise holds: on days
that chance alone should explain, evidence reaches E on no more than 10^(-E/100) of them.

The same seed gives the same counts. A change for the better is written down with
    tests/bench/run detector OPTIONS --format counts
where OPTIONS stand below, and "null" is left out."""

import json
import math
import subprocess
import sys

import pytest

from conftest import BUILD, ROOT

OPTIONS = ["--unit-days", "56000", "--days", "7", "--history", "25", "--trials", "6",
           "--rates", "1,1000", "--jobs", "1"]
KNOWN = json.loads((ROOT / "tests" / "data" / "detector.json").read_text())
SLACK = 1.1

sys.path.insert(0, str(ROOT / "tests" / "bench"))

import chance  # noqa: E402  pylint: disable=wrong-import-position


@pytest.fixture(scope="module")
def counted():
    """The counts now."""
    done = subprocess.run([ROOT / "tests" / "bench" / "run", "detector", "--build", BUILD, *OPTIONS,
                           "--format", "counts"], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("rate", sorted(KNOWN))
def test_raises_no_more_false_alarms_than_before(counted, rate):
    for name, before in KNOWN[rate]["alarms"].items():
        assert counted[rate]["alarms"][name] <= math.floor(before * SLACK), name


@pytest.mark.parametrize("rate", sorted(KNOWN))
def test_finds_no_less_spam_than_before_and_no_later(counted, rate):
    for name, before in KNOWN[rate]["spam"].items():
        now = counted[rate]["spam"][name]
        assert now["trials"] == before["trials"]
        for key in ("flagged", "blocked"):
            assert now[key] >= math.ceil(before[key] / SLACK), (name, key)
        if before["median"] is not None:
            assert now["median"] is not None and now["median"] <= before["median"] * SLACK, name


@pytest.mark.parametrize("rate", sorted(KNOWN))
def test_evidence_survives_no_longer_than_promised(counted, rate):
    null = counted[rate]["null"]
    assert null["unit_days"] > 3000
    for step, reached in enumerate(null["reached"]):
        promised = null["unit_days"] * 10 ** (-step / 10)
        assert not chance.exceeds(reached, promised), f"evidence {10 * step}: {reached} unit-days"
