"""The examples run, small."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.mark.parametrize(
    "command, said",
    [
        (
            ["packed_epoch.py", "--kind", "GRU", "--units", "16", "--rows", "64", "--longest", "40"],
            "times as fast",
        ),
        (["stream_gru.py", "--units", "16", "--frames", "200"], "the same bits"),
        (["data_parallel.py", "--steps", "12", "--units", "8"], "largest difference"),
    ],
    ids=lambda part: part[0],
)
def test_an_example_runs(command, said):
    environment = os.environ | {"OMP_NUM_THREADS": "2", "COLUMNS": "120"}
    done = subprocess.run(
        [sys.executable, EXAMPLES / command[0], *command[1:]],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert said in done.stdout


def test_every_example_is_here():
    assert len(list(EXAMPLES.glob("*.py"))) == 3
