"""Export of a checkpoint to ONNX: one tile with its contexts, for programs without torch."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from fctl_napari.exceptions import ConfigError, OutputError
from fctl_napari.files import atomic_write
from fctl_napari.model.checkpoint import load_checkpoint
from fctl_napari.model.deepness import DeepnessNetwork, deepness_metadata, require_deepness
from fctl_napari.model.model_card import METADATA_KEY, read_card, require_classes
from fctl_napari.model.network import Network
from fctl_napari.model.onnx_network import OnnxNetwork


class TileNetwork(nn.Module):
    """Network whose inputs are positional: the tile, its contexts, the tile's window and the contexts' windows.

    Parameters
    ----------
    model : Network
        The network.

    Attributes
    ----------
    names : tuple of str
        Names of the contexts in their order.
    """

    def __init__(self, model: Network) -> None:
        super().__init__()
        self.model = model
        self.names = tuple(context.name for context in model.config.outer_contexts)

    def input_names(self) -> list[str]:
        """List the names of the inputs in their order."""
        contexts = [f"context_{name}" for name in self.names]
        return ["tile", *contexts, *(f"window_{name}" for name in ("tile", *self.names))]

    def forward(self, tile: Tensor, *others: Tensor) -> Tensor:
        """Segment one tile.

        Parameters
        ----------
        tile : Tensor of uint8 [1, C, T, T]
            Values of the bands, 0..255.
        *others : Tensor
            The contexts, uint8 [1, C, T, T], then windows (y0, x0, y1, x1), px, float32 [1, 4].

        Returns
        -------
        Tensor of float32 [1, classes, T, T]
            Logits.
        """
        count = len(self.names)
        contexts = dict(zip(self.names, others[:count], strict=True))
        windows = dict(zip(("tile", *self.names), others[count:], strict=True))
        logits: Tensor = self.model(tile, contexts, windows)
        return logits


def export_onnx(checkpoint: Path | str, out: Path | str, *, deepness: bool = False) -> Path:
    """Write a checkpoint as an ONNX file, in float32.

    Inputs are ``tile`` and ``context_NAME``, uint8 [1, C, T, T], RGB or the network's bands, and ``window_tile`` and
    ``window_NAME``, float32 [1, 4]: (y0, x0, y1, x1) in full-resolution px, counted from anywhere near the tile. The
    output is ``logits``, float32 [1, classes, T, T]. The model card is stored as the metadata ``fctl``. A network that
    came as an ONNX file is written as it came.

    Parameters
    ----------
    checkpoint : Path or str
        A checkpoint of ours.
    out : Path or str
        File to write, ``.onnx``; an earlier export is replaced.
    deepness : bool, optional
        If True, write what the QGIS plugin Deepness runs, with the metadata that it reads: one input ``tile``, float32
        [1, C, T, T], values of 0..1, and the output ``probabilities``, float32 [1, classes, T, T].

    Returns
    -------
    Path
        The file.

    Raises
    ------
    CheckpointError
        The checkpoint is missing or damaged, or has no classes yet.
    ConfigError
        The packages for it are not installed, or the network refines masks, or Deepness cannot feed it.
    OutputError
        The name is taken by something else or has another suffix, the network is larger than an ONNX file can be, the
        disk is full, or the path is not writable.
    """
    out = Path(out)
    if out.suffix != ".onnx":
        raise OutputError(f"{out}: ends in another suffix; end the name in .onnx.")
    if read_card(checkpoint).config.onnx is not None:
        return _as_it_came(checkpoint, out, deepness)
    try:
        import onnx
        import onnxscript  # noqa: F401  torch's exporter needs it
    except ImportError as error:
        raise ConfigError(
            f"{out}: writing ONNX needs the package {error.name!r}; pip install fctl-napari[onnx]."
        ) from None
    if out.exists() and not _is_export(out):
        raise OutputError(f"{out}: exists and is not an earlier export; choose another name.")
    model, card = load_checkpoint(checkpoint)
    require_classes(checkpoint, card)
    if model.config.refines:
        raise ConfigError(f"{checkpoint}: refines masks, and only networks that segment images are exported to ONNX.")
    if model.gathers:
        raise ConfigError(f"{checkpoint}: looks at all tiles of an image first, and one tile is exported to ONNX.")
    if sum(p.numel() * 4 for p in model.parameters()) >= 2**31:
        raise OutputError(f"{out}: the network has over 2 GB of weights, more than one ONNX file holds.")
    metadata = {METADATA_KEY: card.model_dump_json()}
    size, bands = model.config.tile_size, model.config.in_channels
    network: nn.Module
    if deepness:
        require_deepness(checkpoint, model.config)
        network, names, output = DeepnessNetwork(model).eval(), ["tile"], "probabilities"
        inputs: tuple[Tensor, ...] = (torch.zeros((1, bands, size, size)),)
        metadata |= deepness_metadata(card)
    else:
        network = TileNetwork(model).eval()
        names, output = network.input_names(), "logits"
        # Each input is a tensor of its own: the exporter takes one that is given twice for one input.
        inputs = tuple(
            torch.tensor([[0.0, 0.0, float(size), float(size)]])
            if name.startswith("window")
            else torch.zeros((1, bands, size, size), dtype=torch.uint8)
            for name in names
        )
    with torch.no_grad(), _quietly():
        program = torch.onnx.export(
            network, inputs, dynamo=True, input_names=names, output_names=[output], verbose=False
        )
    assert program is not None
    with tempfile.TemporaryDirectory() as folder:
        program.save(str(Path(folder) / "network.onnx"), external_data=False)
        document = onnx.load(str(Path(folder) / "network.onnx"))
    for key, value in metadata.items():
        entry = document.metadata_props.add()
        entry.key, entry.value = key, value
    with atomic_write(out) as file:
        file.write(document.SerializeToString())
    return out


def _as_it_came(checkpoint: Path | str, out: Path, deepness: bool) -> Path:
    """Write the ONNX file that a checkpoint was made of."""
    if deepness:
        raise ConfigError(f"{checkpoint}: came as an ONNX file, which is written as it is; leave out --deepness.")
    if out.exists():
        raise OutputError(f"{out}: exists already; choose another name.")
    model, _ = load_checkpoint(checkpoint)
    assert isinstance(model, OnnxNetwork)
    with atomic_write(out) as file:
        file.write(model.graph.numpy().tobytes())
    return out


def _is_export(path: Path) -> bool:
    import onnx

    try:
        document = onnx.load(str(path), load_external_data=False)
    except Exception:  # its parser may raise anything on other files
        return False
    return any(entry.key == METADATA_KEY for entry in document.metadata_props)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Suppress the exporter's output, warnings and logging."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
