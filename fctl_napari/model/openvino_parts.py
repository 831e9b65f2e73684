"""A network as parts in OpenVINO's format, the encoder of each stream and the decoder, kept by a checkpoint's hash."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fctl_napari import __version__
from fctl_napari.model.encoders.vgg16 import VGG16
from fctl_napari.model.geometry import FeatureGrid
from fctl_napari.model.network import Network
from fctl_napari.model.openvino_runtime import FrontEndManager, TorchScriptPythonDecoder, ov

TILE, DECODER = "tile", "decoder"
"""Names of the parts beside those of the contexts."""

FACTS = "network.json"

KEPT = 8
"""Number of networks whose parts are kept: those used last."""


@dataclass(frozen=True)
class Parts:
    """Parts of a network.

    Attributes
    ----------
    models : dict of str to openvino.Model
        By name: ``"tile"``, each outer context, ``"decoder"``. Each takes one tile.
    strides : tuple of int
        Strides of the tile's features, in the order of the tile part's outputs and the decoder's inputs.
    contexts : tuple of str
        Names of the outer contexts, in the order of the decoder's inputs.
    grid : FeatureGrid
        Feature cells of the tile.
    """

    models: dict[str, ov.Model]
    strides: tuple[int, ...]
    contexts: tuple[str, ...]
    grid: FeatureGrid


class _Part(nn.Module):
    """Part of a network that is traced.

    The network is no submodule of it, so that weights are traced as constants: tracing makes a copy of every submodule,
    whether the part uses it or not.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self._networks = [network]

    @property
    def network(self) -> Network:
        return self._networks[0]


class _TilePart(_Part):
    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Encode a tile, by stride."""
        return tuple(_as_float(features) for _, features in sorted(self.network.encode_tile(images).items()))


class _ContextPart(_Part):
    def __init__(self, network: Network, name: str) -> None:
        super().__init__(network)
        self.name = name

    def forward(self, images: Tensor) -> Tensor:
        """Encode a context."""
        return self.network.encode_context(self.name, images).float()


class _DecoderPart(_Part):
    def __init__(self, network: Network, strides: Sequence[int], contexts: Sequence[str]) -> None:
        super().__init__(network)
        self.strides = strides
        self.contexts = contexts

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Decode features, then contexts, then windows, to logits and, where there are some, fusion weights."""
        count, names = len(self.strides), len(self.contexts)
        features = dict(zip(self.strides, inputs[:count], strict=True))
        contexts = dict(zip(self.contexts, inputs[count : count + names], strict=True))
        windows = dict(zip((TILE, *self.contexts), inputs[count + names :], strict=True))
        weights: list[Tensor] = []
        logits = self.network.decode(features, contexts, windows, fusion=weights).float()
        return (logits, weights[0].float().mean(2)) if weights else (logits,)


def _as_float(features: Tensor) -> Tensor:
    """Return features as float32, and positions as they are."""
    return features.float() if features.is_floating_point() else features


@torch.no_grad()
def convert_network(network: Network) -> Parts:
    """Convert a network for single tiles.

    Parameters
    ----------
    network : Network
        The network, in float32 and evaluation mode. Its weights need no gradients from then on.

    Returns
    -------
    Parts
        The parts, in float32.
    """
    network.requires_grad_(False)
    for encoder in network.encoders.values():
        if isinstance(encoder, VGG16):
            encoder.skip_constant_border = False  # it writes into parts of arrays, which conversion mistakes
    size, names = network.config.tile_size, tuple(c.name for c in network.config.outer_contexts)
    channels = network.config.in_channels
    tile = torch.zeros((1, channels + network.config.refines, size, size), dtype=torch.uint8)
    image = tile[:, :channels]
    window = torch.tensor([[0.0, 0.0, float(size), float(size)]])
    features = network.encode_tile(tile)
    strides = tuple(sorted(features))
    encoded = [_as_float(features[stride]) for stride in strides]
    encoded += [network.encode_context(name, image).float() for name in names]
    models = {TILE: _convert(_TilePart(network), tile)} if strides else {}
    models |= {name: _convert(_ContextPart(network, name), image) for name in names}
    decoder = _DecoderPart(network, strides, names)
    # one tensor for each window: tracing takes a tensor that is given twice for one input
    models[DECODER] = _convert(decoder, *encoded, *(window.clone() for _ in range(1 + len(names))))
    return Parts(models, strides, names, network.grid)


def _convert(part: nn.Module, *inputs: Tensor) -> ov.Model:
    # The frontend itself: `ov.convert_model` loads much more, and reports its use.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing takes sizes for constants, which they are here
        decoder = TorchScriptPythonDecoder(
            part.eval(), example_input=inputs if len(inputs) > 1 else inputs[0], trace_kwargs={"check_trace": False}
        )
    frontend = FrontEndManager().load_by_framework("pytorch")
    model = frontend.load(decoder)
    for given, one in zip(model.get_inputs(), inputs, strict=True):
        model.set_partial_shape(given, ov.PartialShape(list(one.shape)))
        model.set_element_type(given, ov.Type.u8 if one.dtype == torch.uint8 else ov.Type(one.numpy().dtype))
    return frontend.convert(model)


def save_parts(parts: Parts, folder: Path) -> None:
    """Write parts as files, all or none.

    Parameters
    ----------
    parts : Parts
        The parts.
    folder : Path
        Folder to make. If it is there already, it stays.

    Raises
    ------
    OSError
        The disk is full, or the folder is not writable.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for name, model in parts.models.items():
            ov.save_model(model, made / f"{name}.xml", compress_to_fp16=False)
        facts = {"strides": parts.strides, "contexts": parts.contexts, "grid": asdict(parts.grid)}
        (made / FACTS).write_text(json.dumps(facts))
        if not folder.exists():
            made.rename(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def load_parts(folder: Path, core: ov.Core) -> Parts:
    """Read parts that were written.

    Parameters
    ----------
    folder : Path
        Folder of ``save_parts``.
    core : openvino.Core
        Runtime that reads them.

    Returns
    -------
    Parts
        The parts.

    Raises
    ------
    OSError, ValueError, RuntimeError
        A file is missing or damaged.
    """
    facts: dict[str, Any] = json.loads((folder / FACTS).read_text())
    os.utime(folder)  # it is used now
    strides, contexts = tuple(facts["strides"]), tuple(facts["contexts"])
    names = [*([TILE] if strides else []), *contexts, DECODER]
    models = {name: core.read_model(folder / f"{name}.xml") for name in names}
    return Parts(models, strides, contexts, FeatureGrid(**facts["grid"]))


def drop_oldest(cache: Path) -> None:
    """Delete the parts of all networks but those used last, ``KEPT`` of them.

    Parameters
    ----------
    cache : Path
        Folder of all parts.

    Raises
    ------
    OSError
        The folder cannot be read.
    """
    folders = [folder for folder in cache.iterdir() if not folder.name.startswith(".")]
    for folder in sorted(folders, key=lambda folder: folder.stat().st_mtime)[:-KEPT]:
        shutil.rmtree(folder, ignore_errors=True)


def parts_folder(cache: Path, checkpoint_hash: str) -> Path:
    """Return the folder of a checkpoint's parts.

    Parameters
    ----------
    cache : Path
        Folder of all parts.
    checkpoint_hash : str
        SHA-256 of the checkpoint.

    Returns
    -------
    Path
        Folder; another one for each version of the code and of OpenVINO.
    """
    version = ov.__version__.partition("-")[0]
    return cache / f"{checkpoint_hash[:32]}-{__version__}-{version}"
