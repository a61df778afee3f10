import json
import os
import subprocess
import sys
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Ended:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def seqcost(tmp_path):
    """Run the command as a user does: a fresh process, 80 columns, a store and a folder of its own."""
    environment = os.environ | {"COLUMNS": "80", "SEQCOST_STORE": str(tmp_path / "runs.sqlite")}

    def run(*words, cwd=tmp_path):
        ended = subprocess.run(
            [sys.executable, "-m", "seqcost.cli.main", *words],
            capture_output=True, text=True, check=False, env=environment, cwd=cwd, timeout=240,
        )  # fmt: skip
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    return run
