"""CascadePSP's refinement module (Cheng et al., 2020): an image and a coarse mask of one class give a finer mask."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, cat, nn
from torch.nn import functional as F

from fctl_napari.errors import CheckpointError, OutputError
from fctl_napari.files import atomic_write
from fctl_napari.model.baselines.base import like
from fctl_napari.model.baselines.pspnet import BINS
from fctl_napari.model.card import read_header
from fctl_napari.model.encoders.resnet import ResNet50

KEY = "fctl_refiner"
"""Of the facts in the file's metadata."""
WIDTH = 1024
"""Channels behind the pyramid pooling."""


class UpBlock(nn.Module):
    """Upsample to the cells of a skip, convolve both together twice, with residuals.

    Parameters
    ----------
    before, skip, after
        Channels of the coarse map, of the skip, and out.
    """

    def __init__(self, before: int, skip: int, after: int) -> None:
        super().__init__()
        self.first = _pair(before + skip, after)
        self.second = _pair(after, after)
        self.shortcut = nn.Conv2d(before, after, 1)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """[B, before, h, w] and [B, skip, H, W] -> [B, after, H, W]."""
        x = like(x, skip)
        x = self.first(cat([x, skip], 1)) + self.shortcut(x)
        out: Tensor = x + self.second(x)
        return out


def _pair(before: int, after: int) -> nn.Sequential:
    """Two 3x3 convolutions, each behind batch norm and ReLU."""
    layers: list[nn.Module] = []
    for channels in (before, after):
        layers += [nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, after, 3, padding=1)]
    return nn.Sequential(*layers)


class Refiner(nn.Module):
    """One module, run three times: for strides 8, 4 and 1, each time with what came before beside the mask."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = ResNet50(output_stride=8, inputs=6)
        channels = self.encoder.channels
        self.levels = nn.ModuleList(nn.Conv2d(channels[8], channels[8], 1, bias=False) for _ in BINS)
        self.join = nn.Conv2d((len(BINS) + 1) * channels[8], WIDTH, 1)
        self.up4 = UpBlock(WIDTH, channels[4], 512)
        self.up2 = UpBlock(512, 64, 256)
        self.up1 = UpBlock(256, 3, 32)
        self.score8 = nn.Sequential(nn.Conv2d(WIDTH, 32, 1), nn.ReLU(), nn.Conv2d(32, 1, 1))
        self.score4 = nn.Sequential(nn.Conv2d(512, 32, 1), nn.ReLU(), nn.Conv2d(32, 1, 1))
        self.score1 = nn.Sequential(nn.Conv2d(32 + 3, 32, 1), nn.ReLU(), nn.Conv2d(32, 1, 1))

    def forward(self, images: Tensor, masks: Tensor) -> dict[int, Tensor]:
        """Refine masks.

        Parameters
        ----------
        images
            RGB in 0..255, [B, 3, T, T].
        masks
            Where the class was called, 0..1, [B, 1, T, T].

        Returns
        -------
        dict of int to Tensor
            Logits [B, 1, T, T] by the stride at which they were made: 8, 4 and 1, the last being the result.
        """
        rgb = self.encoder.normalize(images)
        mask = masks.to(rgb.dtype) * 2 - 1  # as what comes back: -1 outside, 1 inside
        eighth = self._step(rgb, [mask, mask, mask])[8]
        coarse = self._step(rgb, [mask, eighth.tanh(), eighth.tanh()], 4)
        fine = self._step(rgb, [mask, coarse[8].tanh(), coarse[4].tanh()], 1)
        return {8: eighth, 4: coarse[4], 1: fine[1]}

    def _step(self, rgb: Tensor, masks: list[Tensor], last: int = 8) -> dict[int, Tensor]:
        """Run the module; logits at each stride down to ``last``, all resampled to the image."""
        encoder = self.encoder
        half = F.relu(encoder.bn1(encoder.conv1(cat([rgb, *masks], 1))))
        x = F.max_pool2d(half, 3, 2, padding=1)
        skip = x = encoder.get_submodule("layer1")(x)
        for number in (2, 3, 4):
            x = encoder.get_submodule(f"layer{number}")(x)
        levels = [like(level(F.adaptive_avg_pool2d(x, n)), x) for n, level in zip(BINS, self.levels, strict=True)]
        x = F.relu(self.join(cat([*levels, x], 1)))
        found = {8: like(self.score8(x), rgb)}
        if last <= 4:
            x = self.up4(x, skip)
            found[4] = like(self.score4(x), rgb)
        if last == 1:
            x = self.up1(self.up2(x, half), rgb)
            found[1] = self.score1(cat([x, rgb], 1))
        return found


def save_refiner(path: Path | str, model: Refiner, facts: dict[str, Any]) -> Path:
    """Write a refiner atomically, in float16.

    Parameters
    ----------
    path
        Target, ``.safetensors``; an earlier refiner is replaced.
    model
        Its state is stored.
    facts
        What it was trained on and how (JSON).

    Raises
    ------
    OutputError
        As ``check_refiner_place``, or the file cannot be written.
    """
    path = check_refiner_place(path)
    state = {k: (v.half() if v.is_floating_point() else v).contiguous().cpu() for k, v in model.state_dict().items()}
    with atomic_write(path) as file:
        file.write(save(state, metadata={KEY: json.dumps(facts)}))
    return path


def check_refiner_place(path: Path | str) -> Path:
    """Refuse a place where a refiner cannot stand, or where it would replace something else.

    Raises
    ------
    OutputError
        The name does not end in ``.safetensors``, or there is a file that is no refiner.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise OutputError(f"{path}: refiners end in .safetensors; choose such a name.")
    if path.exists():
        try:
            read_refiner(path)
        except CheckpointError:
            raise OutputError(f"{path}: exists and is not a refiner; choose another name.") from None
    return path


def read_refiner(path: Path | str) -> dict[str, Any]:
    """Read what a refiner says of itself.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, or is none.
    """
    metadata = read_header(path).get("__metadata__", {})
    if KEY not in metadata:
        raise CheckpointError(f"{path}: is no refiner; make one with `fctl refiner train`.")
    facts: dict[str, Any] = json.loads(metadata[KEY])
    return facts


def load_refiner(path: Path | str, device: torch.device | str = "cpu") -> Refiner:
    """Build the refiner of a file, in float32 and evaluation mode.

    Raises
    ------
    CheckpointError
        As ``read_refiner``, or its arrays do not fit.
    """
    read_refiner(path)
    model = Refiner()
    try:
        model.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in load_file(path).items()})
    except (SafetensorError, RuntimeError, OSError) as error:
        raise CheckpointError(f"{path}: its weights do not fit ({' '.join(str(error).split())[:160]}).") from error
    return model.to(device).eval()
