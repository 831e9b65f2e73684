"""Random flips, turns and colour of training tiles, the same for a tile and its contexts, and batches as tensors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fctl_napari.model.windows import Dihedral
from fctl_napari.training.config import AugmentSettings
from fctl_napari.training.data import Sample


class Colour:
    """One random change of colour: gamma, gain per channel, brightness, contrast, saturation."""

    def __init__(self, settings: AugmentSettings, rng: np.random.Generator) -> None:
        def around(spread: float, size: int | None = None) -> NDArray[np.float64]:
            return np.asarray(1 + rng.uniform(-spread, spread, size))

        self.gamma = float(np.exp(rng.uniform(-settings.gamma, settings.gamma)))
        self.gain = (around(settings.channel_gain, 3) * around(settings.brightness)).astype(np.float32)
        self.contrast = float(around(settings.contrast))
        self.saturation = float(around(settings.saturation))

    def __call__(self, images: Tensor, pivot: float) -> Tensor:
        """RGB in 0..255, float [B, 3, H, W]; contrast turns about ``pivot``."""
        out = images
        if self.gamma != 1.0:
            out = (out / 255) ** self.gamma * 255
        out = out * torch.from_numpy(self.gain)[:, None, None]
        out = (out - pivot) * self.contrast + pivot
        grey = out.mean(1, keepdim=True)
        return (grey + (out - grey) * self.saturation).clamp(0, 255)


@dataclass
class Batch:
    """Tensors of one forward pass.

    Attributes
    ----------
    tile
        Float RGB 0..255 [B, 3, T, T].
    contexts
        By name: distinct context images [U, 3, T, T].
    indices
        By name: which of them each tile uses, int64 [B].
    windows
        ``"tile"`` and context names: float32 [B, 4].
    truth
        int64 [B, T, T].
    """

    tile: Tensor
    contexts: dict[str, Tensor]
    indices: dict[str, Tensor]
    windows: dict[str, Tensor]
    truth: Tensor


def collate(samples: list[Sample], settings: AugmentSettings, rng: np.random.Generator) -> Batch:
    """Augment and stack; a context window that several tiles share is kept once.

    Tiles of one scene get the same turn and colour, so that a shared (global) context stays shared.
    """
    turns: dict[int, Dihedral] = {}
    colours: dict[int, Colour] = {}
    for scene in sorted({s.scene for s in samples}):
        turns[scene] = (
            Dihedral(bool(rng.integers(2)), int(rng.integers(4))) if settings.dihedral else Dihedral(False, 0)
        )
        colours[scene] = Colour(settings, rng)

    def image(sample: Sample, pixels: NDArray[np.uint8]) -> Tensor:
        turned = torch.from_numpy(np.ascontiguousarray(turns[sample.scene].pixels(pixels))).float()
        turned[:3] = colours[sample.scene](turned[None, :3], 100.0)[0]  # a fourth channel is a mask
        return turned

    tile = torch.stack([image(s, s.inputs.tile) for s in samples])
    truth = torch.stack(
        [torch.from_numpy(np.ascontiguousarray(turns[s.scene].pixels(s.truth))).long() for s in samples]
    )
    contexts: dict[str, Tensor] = {}
    indices: dict[str, Tensor] = {}
    for name in samples[0].inputs.contexts:
        seen: dict[tuple[int, bytes], int] = {}
        images: list[Tensor] = []
        order: list[int] = []
        for s in samples:
            key = (s.scene, s.inputs.windows[name].tobytes())
            if key not in seen:
                seen[key] = len(images)
                images.append(image(s, s.inputs.contexts[name]))
            order.append(seen[key])
        contexts[name] = torch.stack(images)
        indices[name] = torch.tensor(order)
    windows = {
        name: torch.from_numpy(np.stack([_relative(turns[s.scene], s.inputs.windows, name) for s in samples])).float()
        for name in samples[0].inputs.windows
    }
    return Batch(tile, contexts, indices, windows, truth)


def _relative(turn: Dihedral, windows: dict[str, NDArray[np.float64]], name: str) -> NDArray[np.float64]:
    """A turned window, from the turned tile's corner: small numbers keep float32 exact."""
    origin = turn.window(windows["tile"])[[0, 1, 0, 1]]
    return turn.window(windows[name]) - origin
