"""Import of an ONNX file as a checkpoint of ours."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from fctl_napari.class_colors import new_colors
from fctl_napari.exceptions import CheckpointError, ConfigError, fault_of, reason_of
from fctl_napari.files import local_path
from fctl_napari.model.bands import RGB
from fctl_napari.model.checkpoint import save_new_checkpoint
from fctl_napari.model.classes import ClassTable
from fctl_napari.model.config import FCtLConfig, make_config
from fctl_napari.model.domain import Domain
from fctl_napari.model.free_path import check_free
from fctl_napari.model.model_card import METADATA_KEY, Card
from fctl_napari.model.onnx_files.deepness_metadata import metadata_statement
from fctl_napari.model.onnx_files.statement import StatedClass, Statement, read_statement
from fctl_napari.model.onnx_graph import LARGEST_FILE, OnnxGraph, require_onnxruntime
from fctl_napari.model.onnx_network import OnnxNetwork
from fctl_napari.model.onnx_settings import OnnxOutput, OnnxSettings
from fctl_napari.words import count_of, size_of

DEFAULT_TILE = 512
"""Side of the tiles where neither the graph nor its settings state one, px."""

BACKGROUND = "background"
"""Name of the first class of a graph with a single output channel, where only the second one is named."""


def import_onnx(
    source: Path | str, out: Path | str, *, settings: Path | str | None = None, name: str | None = None
) -> Path:
    """Write a checkpoint of a network in an ONNX file, which is run as it is.

    The checkpoint holds the file. Bands, classes, tiles and px size are those of the metadata that the QGIS plugin
    Deepness reads, or of a settings file, which has precedence. The graph is run on two tiles of noise to see what it
    gives.

    Parameters
    ----------
    source : Path or str
        ONNX file, with its weights.
    out : Path or str
        Checkpoint to write, ``.safetensors``; a new file.
    settings : Path or str or None, optional
        TOML file, see ``Statement``.
    name : str or None, optional
        Name of the network. None takes that of the checkpoint's file.

    Returns
    -------
    Path
        The checkpoint.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, not whole, or does not fit what is said of it.
    ConfigError
        A setting is unknown or out of range, or the packages that run the network are not installed.
    InputError
        The settings file is missing or damaged.
    OutputError
        The checkpoint exists already or cannot be written.
    """
    source, out = Path(source), local_path(str(out))
    check_free(out)
    given = Statement() if settings is None else read_statement(settings)
    data = _read(source)
    graph = OnnxGraph(data, str(source))
    said = _own_export(graph) | given.model_dump(exclude_unset=True)
    stated = Statement.model_validate(metadata_statement(graph.metadata, str(source), said).model_dump() | said)
    model, classes = _network(source, data, graph, stated)
    digest = hashlib.sha256(data).hexdigest()
    license_name = stated.license or "not stated"
    card = Card(
        name=name or out.stem,
        description=f"Network of the ONNX file {source.name} (license: {license_name}).",
        config=model.config,
        classes=classes,
        provenance={"imported": {"file": source.name, "files": {source.name: digest}, "license": license_name}},
        domain=None if stated.pixel_size is None else Domain(pixel_size=(stated.pixel_size, stated.pixel_size)),
    )
    return save_new_checkpoint(out, model, card)


def _read(source: Path) -> bytes:
    try:
        size = source.stat().st_size
        if size > LARGEST_FILE:
            raise CheckpointError(f"{source}: has {size_of(size)}, more than an ONNX file of one piece can hold.")
        require_onnxruntime(str(source))
        return source.read_bytes()
    except FileNotFoundError:
        raise CheckpointError(f"{source}: there is no such file; check the path.") from None
    except OSError as error:
        raise CheckpointError(f"{source}: cannot be read ({reason_of(error)}); check the path.") from error


def _own_export(graph: OnnxGraph) -> dict[str, Any]:
    """Return what the model card in an export of ours says beside the metadata for Deepness."""
    try:
        card = Card.model_validate_json(graph.metadata.get(METADATA_KEY, ""))
    except ValidationError:
        return {}
    classes = [{"name": info.name, "color": info.color} for info in card.classes.scored]
    stated: dict[str, Any] = {"classes": classes}
    if card.config.bands:
        stated["bands"] = [{"name": name} for name in card.config.band_names]
    license_name = card.provenance.get("imported", {}).get("license")
    return stated | ({"license": str(license_name)} if license_name else {})


def _network(source: Path, data: bytes, graph: OnnxGraph, stated: Statement) -> tuple[OnnxNetwork, ClassTable]:
    """Build the network of a graph, as its metadata and settings say, and its classes."""
    size = _tile_size(source, graph, stated)
    bands = graph.bands or len(stated.bands or RGB)
    if stated.bands is None and bands != len(RGB):
        raise CheckpointError(
            f"{source}: takes {count_of(bands, 'band')}; name them in a file for --settings, bands = [...]."
        )
    if stated.bands is not None and len(stated.bands) != bands:
        raise ConfigError(f"{source}: takes {count_of(bands, 'band')}, and {len(stated.bands)} are stated; mend bands.")
    normalization = _normalization(source, graph, stated, bands)
    found = _probed(graph, size, bands, *normalization.values())
    output = stated.output or _kind_of(found, stated)
    classes = _classes(source, found, output, stated)
    config = _config(
        source,
        tile_size=size,
        classes=len(classes),
        bands=stated.bands or (),
        onnx={
            **normalization,
            "output": output,
            "pixel_size": stated.pixel_size,
            **({} if stated.threshold is None or _channels(found) > 1 else {"threshold": stated.threshold}),
            **({} if stated.overlap is None else {"overlap": stated.overlap}),
        },
    )
    model = OnnxNetwork(config).eval()
    model.take(data, str(source), graph)
    with torch.no_grad():
        logits = model(torch.from_numpy(_noise(size, bands)[:1]), {}, {})
    assert logits.shape == (1, len(classes), size, size)
    return model, classes


def _config(source: Path, **fields: Any) -> FCtLConfig:
    try:
        onnx = OnnxSettings(**fields.pop("onnx"))
    except ValidationError as error:
        raise ConfigError(f"{source}: {fault_of(error)}.") from error
    return make_config(architecture="onnx", contexts=(), lcf=False, ale="none", onnx=onnx, **fields)


def _tile_size(source: Path, graph: OnnxGraph, stated: Statement) -> int:
    if graph.side is not None and stated.tile_size not in (None, graph.side):
        raise CheckpointError(
            f"{source}: takes tiles of {graph.side} px, and {stated.tile_size} px are stated; state tile_size = "
            f"{graph.side} in a file for --settings."
        )
    return graph.side or stated.tile_size or DEFAULT_TILE


def _normalization(source: Path, graph: OnnxGraph, stated: Statement, bands: int) -> dict[str, tuple[float, ...]]:
    """Return mean and deviation of the bands, for values of 0..255."""
    if graph.takes_bytes:
        if stated.mean is not None or stated.std is not None or stated.value_scale == 1:
            raise ConfigError(
                f"{source}: takes values of 0..255 as bytes, which cannot be normalized; leave out mean, std and "
                "value_scale."
            )
        return {"mean": (0.0,) * bands, "std": (1.0,) * bands}
    factor = 255 / (stated.value_scale or 1)
    for key, values in (("mean", stated.mean), ("std", stated.std)):
        if values is not None and len(values) not in (1, bands):
            raise CheckpointError(
                f"{source}: takes {count_of(bands, 'band')}, and {key} has {count_of(len(values), 'value')}; state "
                f"{key} in a file for --settings with one for each band."
            )
    mean, std = stated.mean or (0.0,), stated.std or (1.0,)
    return {
        "mean": tuple(value * factor for value in mean) * (bands // len(mean)),
        "std": tuple(value * factor for value in std) * (bands // len(std)),
    }


def _noise(size: int, bands: int) -> NDArray[np.uint8]:
    """Return two tiles that differ: one of noise, one of noise in large patches."""
    rng = np.random.default_rng(0)
    patches = rng.integers(0, 256, (1, bands, -(-size // 16), -(-size // 16)), np.uint8)
    patches = patches.repeat(16, 2).repeat(16, 3)[:, :, :size, :size]
    return np.concatenate([rng.integers(0, 256, (1, bands, size, size), np.uint8), patches])


def _probed(graph: OnnxGraph, size: int, bands: int, mean: tuple[float, ...], std: tuple[float, ...]) -> NDArray[Any]:
    """Run the graph on tiles of noise."""
    tiles = (_noise(size, bands) - np.array(mean, np.float32)[:, None, None]) / np.array(std, np.float32)[:, None, None]
    # One by one, as tiles are run on the CPU
    return np.concatenate([graph.run(tile[None]) for tile in tiles])


def _channels(found: NDArray[Any]) -> int:
    """Return the number of channels of an output [B, h, w] or [B, c, h, w]."""
    return 1 if found.ndim == 3 else found.shape[1]


def _kind_of(found: NDArray[Any], stated: Statement) -> OnnxOutput:
    """Tell what a graph computes from its output for tiles of noise."""
    if _channels(found) == 1 and (found.dtype.kind in "iub" or len(stated.classes or ()) > 2):
        return "classes"
    return "probabilities" if ((found >= 0) & (found <= 1)).all() else "logits"


def _classes(source: Path, found: NDArray[Any], output: OnnxOutput, stated: Statement) -> ClassTable:
    """Make the class table, and refuse one that does not fit the output."""
    if found.dtype.kind == "f" and not np.isfinite(found).all():
        raise CheckpointError(f"{source}: gives values that are not finite for plain noise; check mean and std.")
    channels = _channels(found)
    rows = stated.classes
    if rows is None:
        those = "its classes" if output == "classes" else f"its {count_of(max(2, channels), 'class')}"
        raise CheckpointError(
            f"{source}: says nothing of {those}; state their names in a file for --settings, classes = [...]."
        )
    if output != "classes" and channels == 1 and len(rows) == 1:
        rows = (StatedClass(name=BACKGROUND), *rows)
    expected = len(rows) if output == "classes" else max(2, channels)
    if len(rows) != expected or len(rows) < 2:
        raise CheckpointError(
            f"{source}: predicts {count_of(max(2, expected), 'class')}, and {count_of(len(rows), 'name')} "
            f"{'is' if len(rows) == 1 else 'are'} stated; state classes in a file for --settings with a name for each."
        )
    names = [row.name for row in rows]
    chosen = zip(rows, new_colors(names), strict=True)
    table = [{"name": row.name, "color": row.color or color} for row, color in chosen]
    try:
        return ClassTable.model_validate({"classes": table})
    except ValidationError as error:
        raise CheckpointError(f"{source}: its classes: {fault_of(error)}.") from error
