"""Stages of a training as a list of runs, each with a config and a folder (no torch)."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from fctl_napari.model.presets import preset
from fctl_napari.training.config import StageSettings, TrainConfig


class Stage(NamedTuple):
    """One run of a training.

    Attributes
    ----------
    config : TrainConfig
        The run's settings.
    out : Path
        Folder of the run's state, log and checkpoint.
    """

    config: TrainConfig
    out: Path

    @property
    def checkpoint(self) -> Path:
        """Path of the checkpoint that the run writes at its end."""
        return self.out / f"{self.config.name}.safetensors"


def stages_of(config: TrainConfig, out: Path | str) -> list[Stage]:
    """List the runs that a config asks for, in order.

    Parameters
    ----------
    config : TrainConfig
        Settings of the whole training.
    out : Path or str
        Folder of the training. The last stage is written there, the others into subfolders of their names.

    Returns
    -------
    list of Stage
        One run for each stage, or a single run of the config itself if it has no stages.

    Raises
    ------
    ConfigError
        The network's settings do not fit each other.
    """
    out = Path(out)
    if not config.stages:
        return [Stage(config, out)]
    found: dict[str, Stage] = {}
    for settings in config.stages:
        last = settings is config.stages[-1]
        name = config.name if last else f"{config.name}-{settings.name}"
        folder = out if last else out / settings.name
        found[settings.name] = Stage(_stage_config(config, settings, name, found), folder)
    return list(found.values())


def _stage_config(config: TrainConfig, stage: StageSettings, name: str, earlier: dict[str, Stage]) -> TrainConfig:
    """Derive the config of one stage, whose starting points are the checkpoints of earlier stages."""
    changes = {key: getattr(stage, key) for key in ("frozen", "learning_rate", "steps", "epochs")}
    changes = {key: value for key, value in changes.items() if value is not None}
    if stage.steps is not None and stage.epochs is None:
        changes["epochs"] = 0.0
    if stage.init_from:
        changes |= {"init_from": str(earlier[stage.init_from].checkpoint.absolute()), "encoder_weights": ""}
    network = config.network | stage.network
    if stage.contexts is not None:
        contexts = preset(config.preset, **config.network).contexts
        network["contexts"] = tuple(c.model_dump() for c in contexts if c.name in stage.contexts)
    return config.model_copy(
        update=changes
        | {
            "name": name,
            "network": network,
            "contexts_from": {
                context: str(earlier[other].checkpoint.absolute()) for context, other in stage.contexts_from.items()
            },
            "stages": (),
        }
    )
