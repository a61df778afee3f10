import json
import random
import sys
from pathlib import Path

import pytest

from seqcost.machines import write
from seqcost.questions.asked.machine import assumed_here
from seqcost.records import this_environment

ROOT = Path(__file__).parents[2]
ROUNDS = 7
LOOK = {"product_s": [0.002, 0.002], "add_s": [0.001, 0.001]}


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import accuracy_data
    import accuracy_jobs
    import accuracy_page

    yield accuracy_jobs, accuracy_data, accuracy_page
    for name in [
        name for name, module in sys.modules.items() if "/benchmarks/" in str(getattr(module, "__file__", ""))
    ]:
        del sys.modules[name]
    if sys.modules.get("fla", 0) is None:
        del sys.modules["fla"]


def lines(jobs, folder, factor, slow_rounds=()):
    """Every process of a few targets takes what is predicted times a factor, and more in rounds with neighbours."""
    chance = random.Random(1)
    for group in jobs.groups(1, ["transformer", "lstm", "gru"]):
        counts = folder.counts(group, group.jobs, recount=False)
        for job in group.jobs:
            from seqcost.questions.predict import predicted

            mid = predicted(counts[job.key][0], folder.machines[0]).seconds.mid
            for k in range(1, ROUNDS + 1):
                lost = 1.5 if k in slow_rounds else 1.0
                seconds = mid * factor * lost * chance.uniform(0.99, 1.01)
                yield {
                    "round": k, "name": group.name, "D": group.D, "family": group.family, "key": job.key,
                    **job.to_dict(), "status": "ok", "wall_s": [seconds] * 3, "cpu_s": [seconds] * 3,
                    "peak_allocated_bytes": counts[job.key][0].peak_bytes, "other_cores": 0.0,
                    "at": "2026-01-01T00:00:00+00:00",
                    "reference": {name: [s * lost for s in pair] for name, pair in LOOK.items()},
                }  # fmt: skip


def folder_of(tmp_path, benchmark, factor, **how):
    jobs, data, _ = benchmark
    for k in (1, 2):
        write(assumed_here(1), tmp_path / f"calibration_{k}.toml")
    place = {"threads": 1, "environment": this_environment().to_dict()}
    (tmp_path / data.PLACE).write_text(json.dumps(place))
    folder = data.Folder(tmp_path)
    found = [json.dumps(line) for line in lines(jobs, folder, factor, **how)]
    (tmp_path / jobs.RUNS).write_text("\n".join([*found, '{"cut off']))
    return folder


def test_a_moment_with_neighbours_is_corrected_by_the_reference(tmp_path, benchmark):
    folder = folder_of(tmp_path, benchmark, 1.2, slow_rounds=(2, 5, 6))
    assert folder.chosen != "none"
    judged = folder.judged(recount=False)
    assert len(judged) == 90
    assert all(one.error == pytest.approx(1 / 1.2 - 1, abs=0.02) for one in judged)
    assert max(stray for one in judged for stray in one.run.strays) < 0.03


def test_the_page_says_how_far_predictions_stray(tmp_path, benchmark):
    folder_of(tmp_path, benchmark, 1.25)
    _, _, page = benchmark
    page.page(tmp_path, tmp_path / "page.md", recount=False, clock="wall_s")
    text = (tmp_path / "page.md").read_text("utf-8")
    row = next(line for line in text.splitlines() if line.startswith("| seqcost predict |"))
    assert "| 90 | 20.0 % |" in row
    assert "| 0.0 % |" in row  # none within ten percent
    assert "Of 2 calibrations" in text
    assert "0 of 180 times" in text
    assert "90 of 90 equal to the byte" in text
    assert "equal in 12 of 12 cases" in text
    rows = [json.loads(line) for line in (tmp_path / "errors.jsonl").read_text().splitlines()]
    assert len(rows) == 90
    assert all(row["low"] < row["mid"] < row["high"] for row in rows)
