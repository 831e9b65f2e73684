"""Files of a training run that let it resume after a kill: its state, and a log without repeated steps."""

from __future__ import annotations

import io
import json
import pickle
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from fctl_napari.exceptions import ConfigError
from fctl_napari.files import atomic_write
from fctl_napari.model.model_card import without_folders
from fctl_napari.training.config import TrainConfig

STATE = "state.pt"
LOG = "log.jsonl"


def save_state(folder: Path, config: TrainConfig, state: dict[str, Any]) -> None:
    """Write a run's state atomically.

    Parameters
    ----------
    folder : Path
        Folder of the run.
    config : TrainConfig
        Settings of the run, kept in the state to be compared on resuming.
    state : dict of str to object
        Tensors, numbers, strings, and lists and dicts of them.

    Raises
    ------
    OutputError
        The disk is full or the folder is not writable.
    """
    buffer = io.BytesIO()
    torch.save({"config": config.model_dump_json(), **state}, buffer)
    with atomic_write(folder / STATE) as file:
        file.write(buffer.getbuffer())


def load_state(folder: Path, config: TrainConfig) -> dict[str, Any] | None:
    """Read the state of a run.

    Parameters
    ----------
    folder : Path
        Folder of the run.
    config : TrainConfig
        Settings of the run. Those of ``run`` may differ from the saved ones.

    Returns
    -------
    dict of str to object or None
        The state as given to ``save_state``, on the CPU, or None if none was saved yet.

    Raises
    ------
    ConfigError
        The folder holds a run of other settings, or the file is damaged.
    """
    return _load(folder, config, {"run"}, whole=True)


def is_finished(folder: Path, config: TrainConfig) -> bool:
    """Return whether a run has written its checkpoint.

    Parameters
    ----------
    folder : Path
        Folder of the run.
    config : TrainConfig
        Settings of the run. Those of ``run`` may differ from the saved ones, as may ``steps`` if ``epochs`` decides it.

    Returns
    -------
    bool
        True if the state says so and the checkpoint is there.

    Raises
    ------
    ConfigError
        The folder holds a run of other settings, or the file is damaged.
    """
    follows = {"steps"} if config.epochs else set()  # computed from the data, which is not open yet
    state = _load(folder, config, {"run"} | follows, whole=False)
    return state is not None and bool(state.get("finished")) and (folder / f"{config.name}.safetensors").is_file()


def _load(folder: Path, config: TrainConfig, aside: set[str], whole: bool) -> dict[str, Any] | None:
    """Read a state, tensors only if ``whole``, and compare its settings apart from those ``aside``."""
    path = folder / STATE
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=not whole)
        saved = TrainConfig.model_validate_json(state["config"])
    except (OSError, RuntimeError, KeyError, TypeError, pickle.UnpicklingError, ValidationError):
        raise ConfigError(f"{path}: is not the state of a run; remove it, or choose another folder.") from None
    # paths are compared by file name alone, so that folders may move
    old, new = (without_folders(one.model_dump(mode="json", exclude=aside)) for one in (saved, config))
    if old != new:
        raise ConfigError(f"{folder}: holds a run of other settings; choose another folder.")
    return state


class RunLog:
    """Log of a run, one JSON object a line, with optional events for TensorBoard.

    Parameters
    ----------
    folder : Path
        Folder of the run.
    step : int
        Step from which the run resumes. Entries of later steps are dropped.
    tensorboard : bool
        If True, figures are written as TensorBoard events as well.

    Raises
    ------
    ConfigError
        TensorBoard is asked for but not installed.
    OutputError
        The shortened log cannot be written.
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
        """Append an entry.

        Parameters
        ----------
        entry : dict of str to object
            JSON-serializable fields, among them ``step``.
        """
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        if self._events is not None:
            for name, value in _scalars(entry):
                self._events.add_scalar(name, value, entry["step"])

    def close(self) -> None:
        """Flush and close the TensorBoard events."""
        if self._events is not None:
            self._events.close()


def _scalars(entry: dict[str, Any], above: str = "") -> list[tuple[str, float]]:
    """List the numbers of a nested entry with their slash-separated names, without ``step`` and ``seconds``."""
    found = []
    for key, value in entry.items():
        if isinstance(value, dict):
            found += _scalars(value, f"{above}{key}/")
        elif isinstance(value, int | float) and key not in ("step", "seconds"):
            found.append((above + key, float(value)))
    return found
