"""Plan of an ablation: the networks behind the rows of the paper's tables, each once for each seed (no torch)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fctl_napari.ablation.bands import BANDS, band_rows, table_name
from fctl_napari.ablation.frozen_tiles import Chunk, Frozen, check_unseen, chunks_of, measured_tiles, streams_of
from fctl_napari.ablation.tables import AblationRow, Dataset, ablation_rows
from fctl_napari.exceptions import ConfigError, InputError, fault_of
from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.presets import preset
from fctl_napari.segmentation.jobs.parameters import DEVICE, PRECISION
from fctl_napari.training.band_figures import with_band_figures
from fctl_napari.training.config import TrainConfig
from fctl_napari.training.data import open_scenes
from fctl_napari.training.scene_identity import scene_digest

TILES = 800
"""Number of augmented training tiles whose features are kept if encoders are frozen."""

RESULTS = "results.csv"
ROWS = "rows"
"""Folder with a subfolder for each run."""

TABLES = (BANDS, *sorted({row.table for row in ablation_rows()}))


@dataclass(frozen=True)
class AblationRequest:
    """Tables, data and budget of an ablation.

    Attributes
    ----------
    tables : tuple of int
        Numbers of the tables, among ``TABLES``; 0 is that of bands.
    recipe : TrainConfig
        Data, augmentation, loss and schedule of every row. Its network settings hold where a row sets nothing else.
        Its seed is the first one. Rows are trained end to end, even if the recipe has stages.
    out : Path
        Folder of the results, of the runs, and of features.
    data_folder : Path
        Folder that the recipe's relative paths start from.
    contexts : Dataset
        The paper's data set whose context sizes are taken, relative to the tile.
    base : str or None
        The preset that rows change. The recipe's network settings are left out where it is not the recipe's preset.
        None is the recipe's preset.
    seeds : int
        Number of runs of each row. Their seeds are successive.
    steps : int or None
        Budget of each row in optimizer steps. Without ``steps`` and ``minutes``, the recipe's steps or epochs hold.
    minutes : float or None
        Budget of each row in minutes, in place of ``steps``: all rows get as many steps as the costliest network makes
        in that time.
    frozen_encoders : Path or None
        Checkpoint whose encoders every row takes and keeps frozen.
    tiles : int
        Number of augmented training tiles if encoders are frozen.
    device : str
        ``"auto"``, ``"cpu"`` or ``"cuda"``.
    precision : str
        ``"auto"``, ``"fp32"`` or ``"bf16"``. With ``"auto"`` the recipe's.
    scheduler : str or None
        Address of a dask scheduler. None starts worker processes on this machine.
    workers : int or None
        Number of those worker processes. None decides by memory and cores, or starts one for each GPU.
    only : tuple of str
        Names of the tables' rows that are trained. Empty trains all.
    """

    tables: tuple[int, ...]
    recipe: TrainConfig
    out: Path
    data_folder: Path = Path()
    contexts: Dataset = "inria"
    base: str | None = None
    seeds: int = 3
    steps: int | None = None
    minutes: float | None = None
    frozen_encoders: Path | None = None
    tiles: int = TILES
    device: str = DEVICE.default
    precision: str = PRECISION.default
    scheduler: str | None = None
    workers: int | None = None
    only: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse unknown tables and a budget that is given twice.

        Raises
        ------
        ConfigError
            A table is unknown, there is none, or both steps and minutes are given.
        """
        unknown = [table for table in self.tables if table not in TABLES]
        if unknown or not self.tables:
            known = ", ".join(["bands", *map(str, TABLES[1:])])
            raise ConfigError(f"there is no ablation table {unknown[0] if unknown else ''}; choose among {known}.")
        if self.steps is not None and self.minutes is not None:
            raise ConfigError("the budget is given twice; give either steps or minutes.")

    def rows(self) -> list[AblationRow]:
        """List the chosen rows: of the tables those that belong to the contexts' data set, and the recipe's bands.

        Returns
        -------
        list of AblationRow
            The rows.

        Raises
        ------
        ConfigError
            Bands are to be left out, and the recipe's network states none, or a chosen row is none of them.
        """
        rows = [row for row in ablation_rows() if row.table in self.tables and self.contexts in row.sizes]
        if BANDS in self.tables:
            rows = [*band_rows(preset(self.recipe.preset, **self.recipe.network).bands), *rows]
        unknown = set(self.only) - {row.name for row in rows}
        if unknown:
            raise ConfigError(
                f"there is no row {min(unknown)!r} in these tables with contexts as on {self.contexts}; choose among "
                f"{', '.join(row.name for row in rows)}."
            )
        return [row for row in rows if not self.only or row.name in self.only]


@dataclass(frozen=True)
class Training:
    """One network that is trained and measured once, possibly for several rows.

    Attributes
    ----------
    rows : tuple of AblationRow
        The rows that the network stands for.
    config : TrainConfig
        Settings of the training.
    network : FCtLConfig
        Settings of the network.
    settings : str
        Digest of everything that decides the result.
    folder : Path
        Folder of the run.
    data_folder : Path
        Folder that the config's relative paths start from.
    part : str
        Regions that are measured, ``"test"`` or ``"val"``.
    frozen : Frozen or None
        The encoders if they are frozen, else None.
    device : str
        ``"auto"``, ``"cpu"`` or ``"cuda"``.
    """

    rows: tuple[AblationRow, ...]
    config: TrainConfig
    network: FCtLConfig
    settings: str
    folder: Path
    data_folder: Path
    part: str
    frozen: Frozen | None
    device: str


@dataclass(frozen=True)
class Plan:
    """Every training of a request and the features that they need.

    Attributes
    ----------
    trainings : tuple of Training
        The trainings, those of the first seed first.
    chunks : tuple of Chunk
        Files of features of frozen encoders.
    """

    trainings: tuple[Training, ...]
    chunks: tuple[Chunk, ...]


def make_plan(request: AblationRequest, steps: int | None = None) -> Plan:
    """Plan the trainings of a request, and refuse what cannot be trained.

    Parameters
    ----------
    request : AblationRequest
        The request.
    steps : int or None, optional
        Number of optimizer steps that replaces the request's.

    Returns
    -------
    Plan
        Trainings without duplicates. Rows with equal settings share one.

    Raises
    ------
    ConfigError
        A row does not fit the recipe.
    InputError
        The data cannot be used, or nothing is held out to be measured.
    CheckpointError
        The encoders' checkpoint cannot be used, or its encoders were trained on what is measured.
    """
    folder = request.data_folder.absolute()
    scenes, table = open_scenes(request.recipe.data, folder)
    part = next((part for part in ("test", "val") if any(getattr(scene, part) for scene in scenes)), None)
    if part is None:
        raise InputError(
            'nothing is held out to be measured; name a group with --holdout (in Python: settings={"data.holdout": '
            "GROUP}), or give test regions."
        )
    data = {scene.name: scene_digest(scene) for scene in scenes}
    rows = request.rows()
    frozen = None
    if request.frozen_encoders is not None:
        size = _network_fields(request, rows[0])[1].tile_size
        frozen = Frozen(
            checkpoint=str(request.frozen_encoders.absolute()),
            hash=check_unseen(request.frozen_encoders, scenes, part),
            tiles=request.tiles,
            measured=len(measured_tiles(scenes, part, size)),
            folder="",
        )
    merged: dict[str, Training] = {}
    for seed in range(request.seeds):
        for row in rows:
            config = _train_config(request, row, steps or request.steps, seed, frozen)
            network = with_band_figures(config.network_config(len(table.scored)), scenes)
            if network.bands:
                bands = [band.model_dump() for band in network.bands]
                config = config.model_copy(update={"network": config.network | {"bands": bands}})
            if config.epochs:
                from fctl_napari.training.epochs import counted

                config = counted(config, scenes, network).model_copy(update={"epochs": 0.0})
            facts = _facts(config, network, data, request, frozen)
            settings = _digest(facts)
            others = merged[settings].rows if settings in merged else ()
            merged[settings] = Training(
                rows=(*others, row),
                config=config,
                network=network,
                settings=settings,
                folder=request.out.absolute() / ROWS / settings,
                data_folder=folder,
                part=part,
                frozen=_with_folder(frozen, request, facts, data),
                device=request.device,
            )
    trainings = tuple(merged.values())
    chunks: dict[Chunk, None] = {}
    for training in trainings:
        if training.frozen is not None:
            chunks |= dict.fromkeys(chunks_of(training.frozen, streams_of(training.network)))
    return Plan(trainings, tuple(chunks))


def _network_fields(request: AblationRequest, row: AblationRow) -> tuple[dict[str, Any], FCtLConfig]:
    """Return the fields of a row's network that differ from its preset, and the network."""
    base = request.base or request.recipe.preset
    own = request.recipe.network if base == request.recipe.preset else {}
    fields = own | row.fields(request.contexts)
    if not (fields.get("gpe", True) and fields.get("lcf", True)):
        fields.pop("gpe_unit", None)  # an option of what the row is without
    return fields, preset(base, **fields)


def _train_config(
    request: AblationRequest, row: AblationRow, steps: int | None, seed: int, frozen: Frozen | None
) -> TrainConfig:
    """Derive the training config of a row."""
    recipe = request.recipe
    fields, network = _network_fields(request, row)
    there = {"tile", *(context.name for context in network.outer_contexts)}
    changed: dict[str, Any] = {
        "name": row.name,
        "description": f"{row.label} ({table_name(row.table)}), trained as {recipe.name}.",
        "preset": request.base or recipe.preset,
        "network": fields,
        "stages": (),
        "steps": steps or recipe.steps,
        "epochs": 0.0 if steps else recipe.epochs,
        "seed": recipe.seed + seed,
        "precision": request.precision if request.precision != "auto" else recipe.precision,
        "validate_every": 0,
        "keep": "last",
        "frozen": [prefix for prefix in recipe.frozen if _stream_of(prefix) in (None, *there)],
    }
    if frozen is not None:
        changed |= {"init_from": frozen.checkpoint, "encoder_weights": "", "frozen": ["encoders."]}
    try:
        return TrainConfig.model_validate(recipe.model_dump() | changed)
    except ValidationError as error:
        raise ConfigError(f"{row.name}: {fault_of(error)}.") from error


def _stream_of(prefix: str) -> str | None:
    """Return the context whose encoder or neck a prefix of ``TrainConfig.frozen`` names."""
    part, _, rest = prefix.partition(".")
    stream = rest.partition(".")[0]
    return stream if part in ("encoders", "necks") and stream in ("local", "medium", "large") else None


def _facts(
    config: TrainConfig, network: FCtLConfig, data: dict[str, str], request: AblationRequest, frozen: Frozen | None
) -> dict[str, Any]:
    """Collect everything that decides a result, which names, descriptions and folders do not."""
    training = config.model_dump(mode="json", exclude={"name", "description", "preset", "network", "save_every", "run"})
    training["init_from"] = Path(config.init_from).name
    training["encoder_weights"] = Path(config.encoder_weights).name
    return {
        "training": training,
        "network": network.model_dump(mode="json"),
        "data": data,
        "device": request.device,
        "frozen": None if frozen is None else [frozen.hash, frozen.tiles],
    }


def _with_folder(
    frozen: Frozen | None, request: AblationRequest, facts: dict[str, Any], data: dict[str, str]
) -> Frozen | None:
    """Name the folder of features by what decides them, which seeds and budgets of rows do not."""
    if frozen is None:
        return None
    training = {key: facts["training"][key] for key in ("augment", "balanced_tiles", "precision", "data")}
    network = {key: facts["network"][key] for key in ("tile_size", "context_border", "normalization", "share_encoders")}
    strides = {key: facts["network"][key] for key in ("correlation_stride", "top_down", "finest_skip")}
    bands = [facts["network"]["bands"]] if "bands" in facts["network"] else []
    decides = [*bands, training, network, strides, data, facts["frozen"], request.recipe.seed, request.device]
    folder = request.out.absolute() / "features" / _digest(decides)
    return Frozen(frozen.checkpoint, frozen.hash, frozen.tiles, frozen.measured, str(folder))


def _digest(facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def networks_of(trainings: Sequence[Training]) -> list[Training]:
    """Choose one training for each distinct network.

    Parameters
    ----------
    trainings : sequence of Training
        The trainings.

    Returns
    -------
    list of Training
        The first training of each network.
    """
    return list({training.network: training for training in reversed(trainings)}.values())[::-1]
