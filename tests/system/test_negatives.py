# SPDX-License-Identifier: Apache-2.0
"""Real mail traffic without a spammer in it stays quiet in a backtest, whole and thinned."""

import json
import subprocess

import pytest

from conftest import ROOT

CORPUS = ROOT.parent / "shared" / "corpus"
CONVERTER = ROOT / "tests" / "tools" / "corpus2flows"
RECORDINGS = [("zeek", "smtp-wrccdc-zeek/smtp.log.gz", "10.0.0.0/8"),
              ("ugr16", "smtp-ugr16-small/raw.csv", "0.0.0.0/0")]

pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason="../shared/corpus is absent")


@pytest.mark.parametrize("rate", [1, 100, 1000, 4096])
@pytest.mark.parametrize("kind, path, networks", RECORDINGS, ids=[r[0] for r in RECORDINGS])
def test_recorded_mail_flags_nobody(runner, kind, path, networks, rate):
    flows = subprocess.run(["/usr/bin/python3", CONVERTER, kind, CORPUS / path, "--thin", str(rate)],
                           check=True, stdout=subprocess.PIPE, text=True).stdout
    done = runner.run("postern-scorer", "--backtest", "--networks", networks, "--format", "json",
                      "-", stdin=flows)
    *verdicts, last = map(json.loads, done.stdout.splitlines())
    assert last["summary"]["flows"] == flows.count("\n")
    assert [one for one in verdicts if one["band"] != "watch"] == []
