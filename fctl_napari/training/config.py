"""A training run's settings: one TOML file that names network, data, loss, schedule and seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from fctl_napari.errors import ConfigError
from fctl_napari.model.classes import ClassTable
from fctl_napari.model.config import ContextName, FCtLConfig, preset
from fctl_napari.training.recipes import read_recipe


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)  # holdout = 5


class SceneSettings(_Settings):
    """One image and its truth.

    Attributes
    ----------
    image, truth
        Paths, relative to the data folder.
    group
        Scenes of one group stay on the same side of a split.
    train, val, test
        Longitude bands ``[x0, x1)`` px over the full height, for a scene that is split within itself.
    """

    image: str
    truth: str
    group: str = ""
    train: tuple[tuple[int, int], ...] = ()
    val: tuple[tuple[int, int], ...] = ()
    test: tuple[tuple[int, int], ...] = ()


class DataSettings(_Settings):
    """What is trained on: the sample scene, a data set in a known layout, or a list of scenes.

    Attributes
    ----------
    classes
        The class table; indices or colours as in the truth. A data set in a known layout may have its own.
    sample
        Use the sample scene that comes with the package, with its own split and classes.
    layout
        How the data folder is laid out, ``auto`` to find out; its split is its own. See ``datasets.find_data_set``.
    scenes
        Else: the scenes.
    holdout
        The group that is not trained on but measured (leave one group out); empty: train on all groups.
    value_range
        Values of the images that become black and white, where they hold others than 8 bits.
    bands
        Which channels of the images are red, green and blue, from 0; by default the first three.
    masks
        For a network that refines masks: ``roughened``, the truth with a rough outline, drawn anew for each tile; or
        the folder of the segmentations that it is to learn from, ``STEM.ome.zarr`` for each image.
    """

    classes: ClassTable | None = None
    sample: bool = False
    layout: Literal["", "auto", "deepglobe", "inria", "pairs", "omezarr"] = ""
    scenes: tuple[SceneSettings, ...] = ()
    holdout: str = ""
    value_range: tuple[float, float] | None = None
    bands: tuple[int, int, int] | None = None
    masks: str = ""

    @model_validator(mode="after")
    def _check(self) -> DataSettings:
        if self.sample + bool(self.layout) + bool(self.scenes) != 1:
            raise ValueError("give either sample = true, a layout, or a list of scenes")
        if self.scenes and self.classes is None:
            raise ValueError("scenes need a class table")
        if self.holdout and self.holdout not in {s.group for s in self.scenes}:
            raise ValueError(f"no scene is of the group {self.holdout!r} that is to be held out")
        return self

    @model_serializer(mode="wrap")
    def _as_stated(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out how values are shown where it isn't stated: runs and tables of earlier versions are known so."""
        return {k: v for k, v in dump(self).items() if v is not None or k not in ("value_range", "bands")}


class AugmentSettings(_Settings):
    """Random changes of a training tile; its contexts change with it.

    Attributes
    ----------
    dihedral
        Flips and quarter turns.
    scale
        The tile's side in the image varies by up to this factor, up and down.
    brightness, contrast, saturation, channel_gain
        Largest relative change.
    gamma
        Largest change of the exponent's logarithm.
    """

    dihedral: bool = True
    scale: float = Field(default=1.0, ge=1.0, le=4.0)
    brightness: float = Field(default=0.2, ge=0, le=1)
    contrast: float = Field(default=0.2, ge=0, le=1)
    saturation: float = Field(default=0.2, ge=0, le=1)
    channel_gain: float = Field(default=0.0, ge=0, le=1)
    gamma: float = Field(default=0.0, ge=0, le=1)


class RunSettings(_Settings):
    """How a run is carried out. What is learnt does not depend on it, and a run may go on with other such settings.

    Attributes
    ----------
    read_ahead
        How many steps' tiles are read before they are needed.
    readers
        How many threads read them.
    gradient_checkpointing
        Keep only the encoders' features at the ends of their blocks, and compute the rest again in the backward pass:
        less memory for about a third more time.
    tensorboard
        Write events for TensorBoard into the run's folder, beside the log (needs the extra ``tensorboard``).
    """

    read_ahead: int = Field(default=1, ge=1, le=64)
    readers: int = Field(default=1, ge=1, le=64)
    gradient_checkpointing: bool = False
    tensorboard: bool = False


class StageSettings(_Settings):
    """One stage of a staged training: what differs from the config that it belongs to.

    Attributes
    ----------
    name
        Its folder inside the run's, and what other stages call it.
    contexts
        Which of the network's contexts take part; None: all.
    network
        Fields that replace those of the network.
    init_from
        The earlier stage whose network it starts from; empty: as the config says.
    contexts_from
        By context, the earlier stage that its stream starts from.
    frozen, learning_rate, steps, epochs
        In place of the config's; None: the same.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_]+$")
    contexts: tuple[ContextName, ...] | None = None
    network: dict[str, Any] = {}
    init_from: str = ""
    contexts_from: dict[ContextName, str] = {}
    frozen: tuple[str, ...] | None = None
    learning_rate: float | None = Field(default=None, gt=0)
    steps: int | None = Field(default=None, ge=1)
    epochs: float | None = Field(default=None, gt=0)


class TrainConfig(_Settings):
    """Everything that decides a training run.

    Attributes
    ----------
    name, description
        Of the resulting checkpoint.
    preset, network
        The network's preset and fields that replace its own; the number of classes comes from the data.
    encoder_weights
        Published weights for the encoders (relative to the data folder or absolute); empty: random.
    init_from
        A checkpoint of ours to start from (a built-in name, or a path as above): arrays of equal name and shape are
        taken, and context streams without arrays of their own start from the tile's (the authors' stages).
    contexts_from
        By context, a checkpoint of ours that its stream starts from instead: encoder, neck and correlation.
    stages
        Networks that are trained one after another; the last one is the result. Empty: one network, end to end.
    steps
        Optimizer steps.
    epochs
        If over 0, in place of ``steps``: how many times as many tiles are seen as the released grid cuts out of the
        training regions. They are drawn at random places.
    batch, accumulate
        Tiles per forward pass, and passes per step. Several processes share the passes of a step.
    learning_rate, encoder_factor, gate_factor
        Adam's rate, and its multiples for encoders and for the gates gamma, z and v_pos.
    weight_decay, poly_power
        Of the optimizer and of the schedule ``(1 - step / steps) ** power``.
    loss, focal_gamma
        ``focal`` as in the paper (gamma 3), or ``cross_entropy``.
    class_weights
        ``none``, or ``inverse_sqrt``: 1 / sqrt(share of the class), mean 1.
    balanced_tiles
        Share of tiles that are centred on a pixel of a uniformly drawn class; the rest are uniform in place.
    frozen
        Parts of the network that keep their weights, by the start of their parameters' names
        (``encoders.medium``, ``encoders.tile.blocks.0.``).
    batch_norm
        ``frozen``: batch norms keep their statistics (small batches of a network with published weights); ``trained``:
        they follow the batches but for those of frozen parts (encoders with random weights need it; two tiles or more
        in a batch).
    precision
        ``bf16`` autocast or ``fp32``; ``auto``: bf16 where the device is fast at it.
    validate_every, save_every
        Steps between validations (0: only at the end) and between saved states.
    keep
        Which network becomes the checkpoint: the ``last`` one, or the ``best`` on the validation regions.
    run
        How it is carried out.
    """

    name: str
    description: str = ""
    seed: int = 0
    preset: str = "fctl_lite"
    network: dict[str, Any] = {}
    encoder_weights: str = ""
    init_from: str = ""
    contexts_from: dict[ContextName, str] = {}
    stages: tuple[StageSettings, ...] = ()
    data: DataSettings
    augment: AugmentSettings = AugmentSettings()
    steps: int = Field(default=1000, ge=1)
    epochs: float = Field(default=0.0, ge=0)
    batch: int = Field(default=6, ge=1)
    accumulate: int = Field(default=1, ge=1)
    learning_rate: float = Field(default=5e-5, gt=0)
    encoder_factor: float = Field(default=1.0, ge=0)
    gate_factor: float = Field(default=1.0, ge=0)
    weight_decay: float = Field(default=5e-4, ge=0)
    poly_power: float = Field(default=0.9, ge=0)
    loss: Literal["focal", "cross_entropy"] = "focal"
    focal_gamma: float = Field(default=3.0, ge=0)
    class_weights: Literal["none", "inverse_sqrt"] = "none"
    balanced_tiles: float = Field(default=0.5, ge=0, le=1)
    frozen: tuple[str, ...] = ()
    batch_norm: Literal["frozen", "trained"] = "frozen"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    validate_every: int = Field(default=0, ge=0)
    save_every: int = Field(default=50, ge=1)
    keep: Literal["last", "best"] = "last"
    run: RunSettings = RunSettings()

    @model_validator(mode="after")
    def _check(self) -> TrainConfig:
        known: list[str] = []
        for stage in self.stages:
            for earlier in (stage.init_from, *stage.contexts_from.values()):
                if earlier and earlier not in known:
                    raise ValueError(f"stage {stage.name!r} starts from {earlier!r}, which is no stage before it")
            if stage.name in known:
                raise ValueError(f"there are two stages {stage.name!r}")
            known.append(stage.name)
        if self.run.gradient_checkpointing and self.batch_norm == "trained":
            raise ValueError(
                "with run.gradient_checkpointing batch norms would count each batch twice; set batch_norm = 'frozen', "
                "or do without gradient_checkpointing"
            )
        return self

    def network_config(self, classes: int) -> FCtLConfig:
        """The network's settings for a number of classes.

        Raises
        ------
        ConfigError
            They do not fit each other, or the data: masks are for a network that refines them, which needs them, and
            classes are two or more.
        """
        if classes < 2:
            raise ConfigError(
                "the class table has one class that is learnt, and a network tells two or more apart; give everything "
                "else a class of its own, say background, and state which value of the masks it is."
            )
        network = preset(self.preset, **(self.network | {"classes": classes}))
        if network.refines != bool(self.data.masks):
            raise ConfigError(
                "data.masks: a refiner needs masks to learn from; set 'roughened' or a folder of segmentations."
                if network.refines
                else "data.masks: only a refiner is fed with masks; leave it out."
            )
        return network


def load_train_config(path: Path | str, overrides: dict[str, Any] | None = None) -> TrainConfig:
    """Read a TOML file, or one that comes with the package by its name (``earth``, ``deepglobe/fctl_vgg16``).

    Parameters
    ----------
    path
        The file or the name; see ``read_recipe``.
    overrides
        Replaced fields, with dots for nesting: ``{"data.holdout": "5", "network.contexts": []}``.

    Raises
    ------
    ConfigError
        The file is missing, no TOML, or its settings do not fit.
    """
    try:
        return TrainConfig.model_validate(read_recipe(path, overrides))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(p) for p in first["loc"])
        unknown = first["type"] == "extra_forbidden"
        message = "there is no such setting; check the name" if unknown else first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{path}: {where + ': ' if where else ''}{message}.") from error
