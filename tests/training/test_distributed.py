"""Two processes on the CPU, as torchrun starts them, and nightly by torchrun."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers_commands import fctl_process
from helpers_training import ONE_CONTEXT, STAGES, losses, make, toml_of, write_scene

from fctl_napari.exceptions import ConfigError
from fctl_napari.model.checkpoint import load_checkpoint
from fctl_napari.model.model_card import read_card
from fctl_napari.training.distributed import Group
from fctl_napari.training.train import train
from fctl_napari.training.trainer import Trainer


def torchrun(*arguments: object, processes: int = 2) -> subprocess.CompletedProcess[str]:
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    command = [*start, "-m", "fctl_napari.cli", "train", *map(str, arguments)]
    return subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def two_processes(*arguments: object) -> list[str]:
    """Train in two processes with the variables of torchrun, without its launcher, which loads torch itself.

    Returns what each printed.
    """
    common = {"OMP_NUM_THREADS": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    processes = []
    for rank in ("0", "1"):
        environment = {**os.environ, **common, "RANK": rank, "LOCAL_RANK": rank}
        processes.append(fctl_process("train", *arguments, env=environment))
    texts = [process.communicate(timeout=250) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], texts
    return [out for out, _ in texts]


@pytest.mark.timeout(1800)
def test_two_processes_learn_what_one_does_and_take_up_its_run(tmp_path: Path) -> None:
    write_scene(tmp_path)
    torch.set_num_threads(1)
    config = make(steps=4, save_every=2, batch=1, accumulate=3, class_weights="inverse_sqrt", network=ONE_CONTEXT)
    alone = Trainer(config, tmp_path / "alone", data_folder=tmp_path, device="cpu")

    def stop_the_other(step: int, steps: int, loss: float) -> None:
        if step == 3:  # with the state of step 2
            shutil.copytree(tmp_path / "alone", tmp_path / "both")

    alone.run(stop_the_other)
    (tmp_path / "config.toml").write_text(toml_of(config))
    said = two_processes(tmp_path / "config.toml", "--data", tmp_path, "--out", tmp_path / "both", "--device", "cpu")
    assert "".join(said).count("tiny.safetensors") == 1  # one of them writes and speaks

    one, two = losses(tmp_path / "alone"), losses(tmp_path / "both")
    assert list(two) == [1, 2, 3, 4]
    assert two == pytest.approx(one, rel=1e-3)
    card, other = (read_card(tmp_path / name / "tiny.safetensors") for name in ("alone", "both"))
    for part in ("val", "test"):
        assert other.figures[part]["miou"] == pytest.approx(card.figures[part]["miou"], abs=0.02)
        assert other.figures[part]["context_reliance"] == pytest.approx(
            card.figures[part]["context_reliance"], abs=0.02
        )
    ours = alone.model.state_dict()
    theirs = load_checkpoint(tmp_path / "both" / "tiny.safetensors")[0].state_dict()
    for key, value in ours.items():
        torch.testing.assert_close(theirs[key], value, rtol=2e-2, atol=2e-3, msg=key)


def test_more_processes_than_forward_passes_are_refused(tmp_path: Path) -> None:
    group = Group(torch.device("cpu"), rank=0, size=2)
    with pytest.raises(ConfigError, match=r"accumulate: 2 processes share 1 forward pass a step"):
        Trainer(make(accumulate=1), tmp_path / "run", data_folder=write_scene(tmp_path), group=group)
    assert not (tmp_path / "run").exists()


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_the_refusal_is_one_sentence_of_the_command(tmp_path: Path) -> None:
    """By day test_more_processes_than_forward_passes_are_refused stands in."""
    write_scene(tmp_path)
    (tmp_path / "config.toml").write_text(toml_of(make(accumulate=1)))
    done = torchrun(tmp_path / "config.toml", "--data", tmp_path, "--out", tmp_path / "run", "--device", "cpu")
    assert done.returncode != 0
    assert "fctl: accumulate: 2 processes share 1 forward pass a step" in done.stderr


@pytest.mark.nightly  # two launchers that find each other, and two stages
@pytest.mark.timeout(1800)
def test_two_machines_need_only_the_data_in_common(tmp_path: Path) -> None:
    port = free_port()
    config = make(measured=False, steps=2, accumulate=2, stages=STAGES[:2])
    alone = train(config, tmp_path / "alone", data_folder=write_scene(tmp_path), device="cpu")
    runs = []
    for number in (0, 1):
        machine = tmp_path / f"machine{number}"
        machine.mkdir()
        (write_scene(machine) / "config.toml").write_text(toml_of(config))
        start = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--node_rank", str(number)]
        start += ["--nproc_per_node", "1", "--master_addr", "127.0.0.1", "--master_port", str(port)]
        command = [*start, "-m", "fctl_napari.cli", "train", "config.toml", "--out", "run", "--device", "cpu"]
        runs.append(subprocess.Popen(command, cwd=machine, env={**os.environ, "OMP_NUM_THREADS": "1"}))
    assert [run.wait() for run in runs] == [0, 0]
    assert losses(tmp_path / "machine0" / "run") == pytest.approx(losses(tmp_path / "alone"), rel=1e-3)
    assert not (tmp_path / "machine1" / "run").exists()
    assert read_card(tmp_path / "machine0" / "run" / "tiny.safetensors").config == read_card(alone).config
