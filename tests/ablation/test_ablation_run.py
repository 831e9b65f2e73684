"""Ablations in real worker processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import torch
from helpers_ablation import recipe, train_baseline, write_scene

from fctl_napari.ablation.plan import AblationRequest, make_plan
from fctl_napari.ablation.results import Result, read_results
from fctl_napari.ablation.run import checkpoint_of, run_ablation
from fctl_napari.exceptions import ConfigError, FctlError, InputError
from fctl_napari.model.model_card import read_card


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("ablation")
    write_scene(found)
    return found


@pytest.fixture(scope="module")
def baseline(folder: Path) -> Path:
    return train_baseline(folder)


Ask = Callable[..., AblationRequest]


@pytest.fixture
def ask(folder: Path, baseline: Path, tmp_path: Path) -> Ask:
    def request(*tables: int, **fields: object) -> AblationRequest:
        usual = {"recipe": recipe(), "out": tmp_path / "out", "data_folder": folder, "seeds": 1, "device": "cpu"}
        usual |= {"frozen_encoders": baseline, "tiles": 4, "workers": 2}
        return AblationRequest(tables, **(usual | fields))

    return request


def figures(results: list[Result]) -> dict[str, tuple[object, ...]]:
    return {r.row: (r.seed, r.miou, r.accuracy, tuple(r.iou.items()), r.context_reliance) for r in results}


def test_a_table_is_trained_once_and_extended(ask: Ask) -> None:
    told: list[tuple[int, int, str]] = []
    request = ask(5, workers=1)
    table = run_ablation(request, lambda *progress: told.append(progress))
    results = read_results(table)
    assert sorted(result.row for result in results) == ["table5-adaptive", "table5-average", "table5-weighted"]
    assert told[-1] == (12, 12, "3 of 3 networks")
    assert any("features" in note for _, _, note in told)
    by_row = {result.row: result for result in results}
    full = by_row["table5-adaptive"]
    assert (full.steps, full.batch, full.seed, full.data, full.contexts) == (4, 2, 0, "blocks", "inria")
    assert full.trained_parameters < full.parameters / 20, "encoders are frozen"
    assert by_row["table5-weighted"].parameters == by_row["table5-average"].parameters + 3
    assert full.iou.keys() == {"dark", "bright"}
    assert full.miou == pytest.approx(sum(full.iou.values()) / 2)
    assert full.miou_without_background is None  # dark is no background
    plan = make_plan(request)
    training = next(t for t in plan.trainings if t.settings == full.settings)
    card = read_card(training.folder / "table5-adaptive.safetensors")
    assert card.figures["test"]["miou"] == full.miou
    assert checkpoint_of(table, "table5-adaptive") == training.folder / "table5-adaptive.safetensors"
    assert checkpoint_of(table, "table5-adaptive", seed=0).parent == training.folder
    with pytest.raises(InputError, match="no trained network of table5-adaptive"):
        checkpoint_of(table, "table5-adaptive", seed=1)
    assert not (training.folder / "state.pt").exists()
    with pytest.raises(ConfigError, match="device 'cuda:77' is not available here"):
        run_ablation(ask(5, workers=1, device="cuda:77"))

    before = table.read_bytes()
    told.clear()
    assert run_ablation(request, lambda *progress: told.append(progress)).read_bytes() == before
    assert not told, "nothing was left to do"


@pytest.mark.nightly  # twenty seconds: worker processes that load torch and train
def test_networks_that_cannot_be_trained_do_not_keep_others_from_it(ask: Ask) -> None:
    request = ask(5, steps=1)
    broken = make_plan(request).trainings[1].folder
    broken.mkdir(parents=True)
    torch.save({"config": "another"}, broken / "state.pt")
    with pytest.raises(FctlError, match=r"1 of 3 networks could not be trained, the first is table5-weighted: .*other"):
        run_ablation(request)
    assert len(read_results(request.out / "results.csv")) == 2
    (broken / "state.pt").unlink()
    assert len(read_results(run_ablation(request))) == 3


@pytest.mark.nightly  # twenty seconds: worker processes that load torch and train
def test_encoders_learn_unless_they_are_frozen(ask: Ask) -> None:
    request = ask(5, steps=1, frozen_encoders=None, minutes=None)
    results = read_results(run_ablation(request))
    assert {result.frozen for result in results} == {""}
    assert all(result.trained_parameters > 0.9 * result.parameters for result in results)
    assert not (request.out / "features").exists()
    other = AblationRequest(**{**vars(request), "tables": (6,), "steps": 1})
    known = make_plan(other).trainings[0]
    assert [row.name for row in known.rows] == ["table6-none"]
    assert known.settings == next(r.settings for r in results if r.row == "table5-adaptive"), "is not trained again"


@pytest.mark.nightly  # twenty seconds: worker processes that load torch and train
def test_a_budget_in_minutes_is_as_many_steps_for_every_row_and_for_good(ask: Ask) -> None:
    request = ask(5, minutes=0.01)
    first = read_results(run_ablation(request))
    assert len({result.steps for result in first}) == 1
    assert first[0].steps > 4
    more = AblationRequest(**{**vars(request), "seeds": 2})
    both = read_results(run_ablation(more))
    assert {(r.row, r.seed, r.steps) for r in both} == {(r.row, k, first[0].steps) for r in first for k in (0, 1)}


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from helpers_ablation import recipe
from fctl_napari.ablation.plan import AblationRequest
from fctl_napari.ablation.run import run_ablation
if __name__ == "__main__":
    run_ablation(AblationRequest((5,), recipe(steps=60, save_every=5), Path({out!r}), Path({folder!r}), seeds=1,
        device="cpu", frozen_encoders=Path({baseline!r}), tiles=4, workers=1))
"""


@pytest.mark.nightly  # trains three tables in processes of their own
@pytest.mark.parametrize("victim", ["run", "worker"])
def test_a_run_that_is_killed_resumes_to_the_same_table(
    victim: str, folder: Path, baseline: Path, tmp_path: Path
) -> None:
    def start(name: str) -> subprocess.Popen[bytes]:
        script = tmp_path / f"{name}.py"
        locations = {"tests": str(Path(__file__).parent), "folder": str(folder), "baseline": str(baseline)}
        script.write_text(SCRIPT.format(out=str(tmp_path / name), **locations))
        return subprocess.Popen([sys.executable, str(script)])

    def steps_done(name: str) -> int:
        logs = (tmp_path / name).glob("rows/*/log.jsonl")
        return max(
            (json.loads(log.read_text().splitlines()[-1])["step"] for log in logs if log.stat().st_size), default=0
        )

    assert start("whole").wait(250) == 0
    running = start("killed")
    while steps_done("killed") < 12:
        assert running.poll() is None
        time.sleep(0.05)
    if victim == "run":
        os.kill(running.pid, signal.SIGKILL)
        running.wait(10)
        running = start("killed")
    else:
        workers = [
            p for p in psutil.Process(running.pid).children(recursive=True) if "worker_process" in " ".join(p.cmdline())
        ]
        assert workers
        for worker in workers:
            worker.kill()
    assert running.wait(250) == 0
    whole, killed = (read_results(tmp_path / name / "results.csv") for name in ("whole", "killed"))
    assert figures(killed) == figures(whole)
    assert len(whole) == 3
    entries = [
        json.loads(line)["step"] for log in (tmp_path / "killed").glob("rows/*/log.jsonl") for line in log.open()
    ]
    assert entries.count(1) == 3, "it went on, and did not begin anew"
