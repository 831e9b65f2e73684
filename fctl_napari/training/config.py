"""Settings of a training run: one TOML file that names network, data, loss, schedule and seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from fctl_napari.exceptions import ConfigError, fault_of
from fctl_napari.imagery.band_names import rgb_in
from fctl_napari.model.config import ContextName, FCtLConfig
from fctl_napari.model.presets import preset
from fctl_napari.training.data_settings import DataSettings, Settings
from fctl_napari.training.recipes import read_recipe


class AugmentSettings(Settings):
    """Random changes of a training tile, applied to its contexts alike.

    Attributes
    ----------
    dihedral : bool
        If True, tiles are flipped and rotated by quarter turns.
    scale : float
        Largest factor by which the side of the tile in the image varies, up and down.
    brightness, contrast, saturation, channel_gain : float
        Largest relative change.
    gamma : float
        Largest change of the exponent's logarithm.
    color_transfer : float
        Largest share by which the histograms of a scene's bands move to those of another training scene, drawn anew for
        each step.
    haze : float
        Largest share of the light of haze that is mixed in.
    """

    dihedral: bool = True
    scale: float = Field(default=1.0, ge=1.0, le=4.0)
    brightness: float = Field(default=0.2, ge=0, le=1)
    contrast: float = Field(default=0.2, ge=0, le=1)
    saturation: float = Field(default=0.2, ge=0, le=1)
    channel_gain: float = Field(default=0.0, ge=0, le=1)
    gamma: float = Field(default=0.0, ge=0, le=1)
    color_transfer: float = Field(default=0.0, ge=0, le=1)
    haze: float = Field(default=0.0, ge=0, lt=1)

    @model_serializer(mode="wrap")
    def _as_stated(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is off, so that runs and tables of earlier versions still compare equal."""
        return {k: v for k, v in dump(self).items() if v or k not in ("color_transfer", "haze")}


class RunSettings(Settings):
    """Settings of how a run is carried out.

    The trained network does not depend on them, and a run may be resumed with others.

    Attributes
    ----------
    read_ahead : int
        Number of steps whose tiles are read before they are needed.
    readers : int
        Number of threads that read them.
    gradient_checkpointing : bool
        If True, keep only the encoders' features at the ends of their blocks, and compute the rest again in the
        backward pass. It takes less memory for about a third more time.
    tensorboard : bool
        If True, write events for TensorBoard into the run's folder, beside the log (needs the extra
        ``tensorboard``).
    """

    read_ahead: int = Field(default=1, ge=1, le=64)
    readers: int = Field(default=1, ge=1, le=64)
    gradient_checkpointing: bool = False
    tensorboard: bool = False


class StageSettings(Settings):
    """One stage of a staged training, as differences from the config that it belongs to.

    Attributes
    ----------
    name : str
        Name of the stage: its subfolder in the run's folder, and the key by which other stages refer to it.
    contexts : tuple of ContextName or None
        Contexts of the network that take part. None takes all.
    network : dict of str to object
        Fields that replace those of the network.
    init_from : str
        Earlier stage whose network this one starts from. If empty, it starts as the config says.
    contexts_from : dict of ContextName to str
        By context, the earlier stage that its stream starts from.
    frozen : tuple of str or None
        Replaces ``frozen`` of the config unless it is None.
    learning_rate : float or None
        Replaces ``learning_rate`` of the config unless it is None.
    steps : int or None
        Replaces ``steps`` of the config unless it is None.
    epochs : float or None
        Replaces ``epochs`` of the config unless it is None.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_]+$")
    contexts: tuple[ContextName, ...] | None = None
    network: dict[str, Any] = Field(default_factory=dict)
    init_from: str = ""
    contexts_from: dict[ContextName, str] = Field(default_factory=dict)
    frozen: tuple[str, ...] | None = None
    learning_rate: float | None = Field(default=None, gt=0)
    steps: int | None = Field(default=None, ge=1)
    epochs: float | None = Field(default=None, gt=0)


class TrainConfig(Settings):
    """All settings that decide a training run.

    Attributes
    ----------
    name : str
        Name of the resulting checkpoint.
    description : str
        Description of the resulting checkpoint.
    seed : int
        Seed of everything that is drawn.
    preset : str
        The network's preset.
    network : dict of str to object
        Fields that replace those of the preset. The number of classes comes from the data.
    encoder_weights : str
        File of published weights for the encoders (relative to the data folder, or absolute). If empty, the encoders
        start at random.
    init_from : str
        A checkpoint of this package to start from (a built-in name, or a path as above). Arrays of equal name and
        shape are taken, and context streams without arrays of their own start from the tile's (the authors' stages).
    contexts_from : dict of ContextName to str
        By context, a checkpoint of this package that its stream starts from instead: encoder, neck and correlation.
    stages : tuple of StageSettings
        Networks that are trained one after another, the last of which is the result. If empty, one network is
        trained end to end.
    data : DataSettings
        The training data.
    augment : AugmentSettings
        Random changes of the tiles.
    steps : int
        Number of optimizer steps.
    epochs : float
        If over 0, it replaces ``steps``. One epoch has as many tiles as the released grid cuts out of the training
        regions. They are drawn at random positions.
    batch : int
        Tiles per forward pass.
    accumulate : int
        Forward passes per step. Several processes share the passes of a step.
    learning_rate : float
        Adam's learning rate.
    encoder_factor : float
        Multiple of the learning rate for encoders.
    gate_factor : float
        Multiple of the learning rate for the gates gamma, z and v_pos.
    weight_decay : float
        Weight decay of the optimizer.
    poly_power : float
        Power of the schedule ``(1 - step / steps) ** power``.
    loss : {"focal", "cross_entropy"}
        ``focal`` as in the paper (gamma 3), or ``cross_entropy``.
    focal_gamma : float
        Focusing exponent of the focal loss.
    class_weights : {"none", "inverse_sqrt"}
        ``none``, or ``inverse_sqrt`` for 1 / sqrt(share of the class), mean 1.
    balanced_tiles : float
        Share of tiles that are centered on a pixel of a uniformly drawn class. The others are drawn uniformly in
        position.
    frozen : tuple of str
        Parts of the network that keep their weights, by the start of their parameters' names
        (``encoders.medium``, ``encoders.tile.blocks.0.``).
    batch_norm : {"frozen", "trained"}
        With ``frozen``, batch norms keep statistics that came with weights (of ``encoder_weights`` or a checkpoint);
        the others follow the batches, which should have several tiles. With ``trained``, all of them follow the
        batches. Those of frozen parts always keep theirs.
    precision : {"auto", "fp32", "bf16"}
        ``bf16`` autocast or ``fp32``. With ``auto``, bf16 where the device is fast at it.
    validate_every : int
        Steps between validations. With 0, there is only one at the end.
    save_every : int
        Steps between saved states.
    keep : {"last", "best"}
        Network that becomes the checkpoint: the ``last`` one, or the ``best`` on the validation regions.
    run : RunSettings
        How the run is carried out.
    """

    name: str
    description: str = ""
    seed: int = 0
    preset: str = "fctl_lite"
    network: dict[str, Any] = Field(default_factory=dict)
    encoder_weights: str = ""
    init_from: str = ""
    contexts_from: dict[ContextName, str] = Field(default_factory=dict)
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
        if self.data.images and self.keep == "best":
            raise ValueError("keep = 'best' needs validation regions, which images without ground truth do not have")
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
        """Build the network's settings for a number of classes.

        Parameters
        ----------
        classes : int
            Number of classes that are learned.

        Returns
        -------
        FCtLConfig
            The preset with the replaced fields.

        Raises
        ------
        ConfigError
            The settings do not fit each other or the data. Masks are for a network that refines them, and such a
            network needs them. There must be two classes or more.
        """
        if classes < 2:
            raise ConfigError(
                "the class table has one class that is learned, and a network tells two or more apart; give "
                "everything else a class of its own, say background, and state which value of the masks it is."
            )
        network = preset(self.preset, **(self.network | {"classes": classes}))
        if network.onnx is not None:
            raise ConfigError("network.onnx: a network of an ONNX file is run as it is and cannot learn; leave it out.")
        if network.bands and rgb_in(self.data.bands) is not None:
            raise ConfigError(
                f"data.bands: the network finds its bands ({', '.join(network.band_names)}) by their names; leave it "
                "out, or name the images' bands with --band-names (in Python: in data.bands)."
            )
        if self.data.images and (network.refines or network.inference == "global" or network.architecture == "glnet"):
            raise ConfigError(
                "data.images: a network that refines masks or looks at the whole image cannot be pretrained, as it "
                "would see what is hidden from a tile; choose one that classifies tiles."
            )
        if network.refines != bool(self.data.masks):
            raise ConfigError(
                "data.masks: a refiner needs masks to learn from; set 'roughened' or a folder of segmentations."
                if network.refines
                else "data.masks: only a refiner is fed with masks; leave it out."
            )
        return network


def load_train_config(path: Path | str, overrides: dict[str, Any] | None = None) -> TrainConfig:
    """Read a training config from a TOML file.

    Parameters
    ----------
    path : Path or str
        The file, or the name of one that comes with the package (``earth``, ``deepglobe/fctl_vgg16``). See
        ``read_recipe``.
    overrides : dict of str to object or None, optional
        Replaced fields, with dots for nesting: ``{"data.holdout": "5", "network.contexts": []}``.

    Returns
    -------
    TrainConfig
        The validated config.

    Raises
    ------
    ConfigError
        The file is missing or not TOML, or its settings do not fit.
    """
    try:
        return TrainConfig.model_validate(read_recipe(path, overrides))
    except ValidationError as error:
        raise ConfigError(f"{path}: {fault_of(error)}.") from error
