"""Random flips, turns and colors of training tiles, the same for a tile and its contexts, and batches as tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fctl_napari.model.windows import Dihedral
from fctl_napari.training.config import AugmentSettings
from fctl_napari.training.data import Sample
from fctl_napari.training.tones import SceneTones
from fctl_napari.windows import IntWindow

HAZE = 160.0, 255.0
"""Range of the light of haze in a band."""


class Color:
    """One random change of color: values of another scene, gamma, gain by channel, contrast, saturation, haze.

    Parameters
    ----------
    settings : AugmentSettings
        Ranges of the changes.
    rng : random.Generator
        Random generator.
    channels : int, optional
        Number of bands.
    tones : SceneTones or None, optional
        Histograms of the training scenes, for a transfer of color.
    scene : int, optional
        Index of the scene that is changed.

    Attributes
    ----------
    curves : Tensor of float32 [C, 256] or None
        New value of each value.
    gamma : float
        Exponent.
    gain : ndarray of float32 [C]
        Factor of each channel, brightness included.
    contrast : float
        Factor of the distance to the pivot.
    saturation : float
        Factor of the distance to gray.
    haze : float
        Share of the light of haze.
    light : Tensor of float32 [C, 1, 1]
        Value of that light in each band.
    """

    def __init__(
        self,
        settings: AugmentSettings,
        rng: np.random.Generator,
        channels: int = 3,
        tones: SceneTones | None = None,
        scene: int = 0,
    ) -> None:
        def around(spread: float, size: int | None = None) -> NDArray[np.float64]:
            return np.asarray(1 + rng.uniform(-spread, spread, size))

        self.gamma = float(np.exp(rng.uniform(-settings.gamma, settings.gamma)))
        self.gain = (around(settings.channel_gain, channels) * around(settings.brightness)).astype(np.float32)
        self.contrast = float(around(settings.contrast))
        self.saturation = float(around(settings.saturation))
        self.curves: Tensor | None = None
        if settings.color_transfer and tones is not None:
            self.curves = torch.from_numpy(tones.curves(scene, settings.color_transfer, rng))
        self.haze = rng.uniform(0, settings.haze) if settings.haze else 0.0
        self.light = torch.from_numpy(rng.uniform(*HAZE, (channels, 1, 1)) if settings.haze else np.zeros(1)).float()

    def __call__(self, images: Tensor, pivot: float) -> Tensor:
        """Change the colors of images.

        Parameters
        ----------
        images : Tensor of float [B, C, H, W]
            Values of the bands, 0..255.
        pivot : float
            Value that the change of contrast keeps.

        Returns
        -------
        Tensor of float [B, C, H, W]
            Values of the bands, 0..255.
        """
        out = images
        if self.curves is not None:
            values = images.round().long()
            out = torch.stack([curve[values[:, band]] for band, curve in enumerate(self.curves)], 1)
        if self.gamma != 1.0:
            out = (out / 255) ** self.gamma * 255
        out = out * torch.from_numpy(self.gain)[:, None, None]
        out = (out - pivot) * self.contrast + pivot
        gray = out.mean(1, keepdim=True)
        out = gray + (out - gray) * self.saturation
        return (out + (self.light - out) * self.haze).clamp(0, 255)


@dataclass
class Batch:
    """Tensors of one forward pass of B tiles with a side of T px.

    Attributes
    ----------
    tile : Tensor of float32 [B, C, T, T]
        Values of the bands, 0..255, with a further channel for a mask if the network refines one.
    contexts : dict of str to Tensor of float32 [U, C, T, T]
        Distinct context images by context name.
    indices : dict of str to Tensor of int64 [B]
        By context name, the index of each tile's image in ``contexts``.
    windows : dict of str to Tensor of float32 [B, 4]
        Windows (y0, x0, y1, x1) of ``"tile"`` and of each context, in level 0 px from the corner of the tile.
    ground_truth : Tensor of int64 [B, T, T]
        Class indices, ``IGNORE`` where there is none.
    tiles : list of ImageTiles
        For a network that looks at all tiles of an image, those of each of the distinct images.
    """

    tile: Tensor
    contexts: dict[str, Tensor]
    indices: dict[str, Tensor]
    windows: dict[str, Tensor]
    ground_truth: Tensor
    tiles: list[ImageTiles] = field(default_factory=list)


@dataclass
class ImageTiles:
    """All tiles of an image, turned and colored as its samples are.

    Attributes
    ----------
    pixels : Tensor of uint8 [n, C, T, T]
        Pixels, turned.
    windows : Tensor of float64 [n, 4]
        Windows (y0, x0, y1, x1) in the turned image, px.
    whole : Tensor of float64 [1, 4]
        Window of the image in the same px.
    color : Color
        Change of color.
    """

    pixels: Tensor
    windows: Tensor
    whole: Tensor
    color: Color

    def on(self, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
        """Bring the tiles to a device, one by one.

        Parameters
        ----------
        device : torch.device
            The device.

        Yields
        ------
        images : Tensor of float32 [1, C, T, T]
            Values of the bands, 0..255.
        windows : Tensor of float64 [1, 4]
            Window of the tile.
        """
        for pixels, window in zip(self.pixels, self.windows, strict=True):
            yield self.color(pixels[None].float(), 100.0).to(device), window[None].to(device)


TilesOf = Callable[[int], Iterable[tuple[NDArray[np.uint8], IntWindow]]]
"""Pixels [C, T, T] and windows of all tiles of a scene, by its index."""


def collate(
    samples: list[Sample],
    settings: AugmentSettings,
    rng: np.random.Generator,
    channels: int = 3,
    tiles_of: TilesOf | None = None,
    tones: SceneTones | None = None,
) -> Batch:
    """Augment and stack samples.

    Tiles of one scene get the same turn and color, so that a shared (global) context stays shared. A context window
    that several tiles share is kept once.

    Parameters
    ----------
    samples : list of Sample
        At least one sample.
    settings : AugmentSettings
        Ranges of the random changes.
    rng : random.Generator
        Random generator.
    channels : int, optional
        Number of bands. A further channel is a mask, whose values stay.
    tiles_of : callable or None, optional
        Reader of all tiles of a scene, for a network that looks at them.
    tones : SceneTones or None, optional
        Histograms of the training scenes, for a transfer of color.

    Returns
    -------
    Batch
        The batch, on the CPU.
    """
    turns: dict[int, Dihedral] = {}
    colors: dict[int, Color] = {}
    for scene in sorted({s.scene for s in samples}):
        turns[scene] = (
            Dihedral(bool(rng.integers(2)), int(rng.integers(4))) if settings.dihedral else Dihedral(False, 0)
        )
        colors[scene] = Color(settings, rng, channels, tones, scene)

    def image(sample: Sample, pixels: NDArray[np.uint8]) -> Tensor:
        turned = torch.from_numpy(np.ascontiguousarray(turns[sample.scene].pixels(pixels))).float()
        turned[:channels] = colors[sample.scene](turned[None, :channels], 100.0)[0]
        return turned

    tile = torch.stack([image(s, s.inputs.tile) for s in samples])
    ground_truth = torch.stack(
        [torch.from_numpy(np.ascontiguousarray(turns[s.scene].pixels(s.ground_truth))).long() for s in samples]
    )
    tiles: list[ImageTiles] = []
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
                if tiles_of is not None:
                    whole = s.inputs.windows[name]
                    tiles.append(_turned_tiles(tiles_of(s.scene), whole, turns[s.scene], colors[s.scene]))
            order.append(seen[key])
        contexts[name] = torch.stack(images)
        indices[name] = torch.tensor(order)
    windows = {
        name: torch.from_numpy(np.stack([_relative(turns[s.scene], s.inputs.windows, name) for s in samples])).float()
        for name in samples[0].inputs.windows
    }
    return Batch(tile, contexts, indices, windows, ground_truth, tiles)


def _turned_tiles(
    tiles: Iterable[tuple[NDArray[np.uint8], IntWindow]], whole: NDArray[np.float64], turn: Dihedral, color: Color
) -> ImageTiles:
    """Turn all tiles of an image."""
    pixels, windows = zip(*tiles, strict=True)
    turned = [turn.window(np.array(window, np.float64)) for window in (*windows, whole)]
    return ImageTiles(
        torch.from_numpy(np.stack([turn.pixels(one) for one in pixels])),
        torch.from_numpy(np.stack(turned[:-1])),
        torch.from_numpy(turned[-1])[None],
        color,
    )


def _relative(turn: Dihedral, windows: dict[str, NDArray[np.float64]], name: str) -> NDArray[np.float64]:
    """Turn a window and measure it from the turned tile's corner, where small numbers keep float32 exact."""
    origin = turn.window(windows["tile"])[[0, 1, 0, 1]]
    return turn.window(windows[name]) - origin
