"""What a training run keeps on disk to go on after a kill: its state, and a log that never holds a step twice."""

from __future__ import annotations

import io
import json
import pickle
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from fctl_napari.errors import ConfigError
from fctl_napari.files import atomic_write
from fctl_napari.model.model_card import without_folders
from fctl_napari.training.config import TrainConfig

STATE = "state.pt"
LOG = "log.jsonl"


def save_state(folder: Path, config: TrainConfig, state: dict[str, Any]) -> None:
    """Write a run's state, whole or not at all.

    Raises
    ------
    OutputError
        The disk is full or the place is not writable.
    """
    buffer = io.BytesIO()
    torch.save({"config": config.model_dump_json(), **state}, buffer)
    with atomic_write(folder / STATE) as file:
        file.write(buffer.getbuffer())


def load_state(folder: Path, config: TrainConfig) -> dict[str, Any] | None:
    """Read the state of a run; None where none was saved yet.

    Raises
    ------
    ConfigError
        It is a run of other settings, or the file is damaged.
    """
    return _load(folder, config, {"run"}, whole=True)


def is_finished(folder: Path, config: TrainConfig) -> bool:
    """Whether a run has written its checkpoint.

    Raises
    ------
    ConfigError
        As ``load_state``.
    """
    follows = {"steps"} if config.epochs else set()  # from the data, which is not open yet
    state = _load(folder, config, {"run"} | follows, whole=False)
    return state is not None and bool(state.get("finished")) and (folder / f"{config.name}.safetensors").is_file()


def _load(folder: Path, config: TrainConfig, aside: set[str], whole: bool) -> dict[str, Any] | None:
    """Read a state, tensors only if ``whole``; settings are compared but for those ``aside``."""
    path = folder / STATE
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=not whole)
        saved = TrainConfig.model_validate_json(state["config"])
    except (OSError, RuntimeError, KeyError, TypeError, pickle.UnpicklingError, ValidationError):
        raise ConfigError(f"{path}: is not the state of a run; remove it, or choose another folder.") from None
    # files count by their names, so that folders may move
    old, new = (without_folders(one.model_dump(mode="json", exclude=aside)) for one in (saved, config))
    if old != new:
        raise ConfigError(f"{folder}: holds a run of other settings; choose another folder.")
    return state


class RunLog:
    """A run's log, one JSON object a line, and its figures as events for TensorBoard if that is asked for.

    Parameters
    ----------
    folder
        The run's.
    step
        The run goes on from here: what was logged of later steps is dropped.
    tensorboard
        Write events as well.

    Raises
    ------
    ConfigError
        TensorBoard is not installed.
    """

    def __init__(self, folder: Path, step: int, tensorboard: bool) -> None:
        self._path = folder / LOG
        self._events: Any = None
        if self._path.is_file():
            lines = self._path.read_text("utf-8").splitlines(keepends=True)
            kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
            if len(kept) < len(lines):
                with atomic_write(self._path, "w") as file:
                    file.writelines(kept)
        folder.mkdir(parents=True, exist_ok=True)
        if tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                raise ConfigError(
                    "run.tensorboard: TensorBoard is not installed; pip install 'fctl-napari[tensorboard]'."
                ) from None
            self._events = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def write(self, entry: dict[str, Any]) -> None:
        """Add an entry; it has a ``step``."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        if self._events is not None:
            for name, value in _scalars(entry):
                self._events.add_scalar(name, value, entry["step"])

    def close(self) -> None:
        """Write the last events."""
        if self._events is not None:
            self._events.close()


def _scalars(entry: dict[str, Any], above: str = "") -> list[tuple[str, float]]:
    found = []
    for key, value in entry.items():
        if isinstance(value, dict):
            found += _scalars(value, f"{above}{key}/")
        elif isinstance(value, int | float) and key not in ("step", "seconds"):
            found.append((above + key, float(value)))
    return found
