"""Alternating local enhancement: LFI blocks (Eq. 6, 7) and the structures of Fig. 13 (Alg. 1, Table 6)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

import torch
from torch import Tensor, nn

from fctl_napari.model.config import AleStructure
from fctl_napari.model.depthwise import DepthwiseConv2d
from fctl_napari.model.geometry import FeatureGrid, apply_separable, interpolation_matrices


def split_evenly(total: int, parts: int) -> list[int]:
    """Split a total into sizes that differ by at most one, larger ones first.

    Parameters
    ----------
    total : int
        Number to split.
    parts : int
        Number of parts.

    Returns
    -------
    list of int
        Sizes of the parts.
    """
    return [total // parts + (1 if i < total % parts else 0) for i in range(parts)]


class LFI(nn.Module):
    """Local feature interaction (LFI), the function f of Algorithm 1.

    References go through a 1x1 convolution each, are concatenated to ``channels``, split into one group per window size
    and convolved depthwise (Eq. 6). The result E enhances the target: out = token(target) + E * target (Eq. 7).

    Parameters
    ----------
    channels : int
        Channels of target and references.
    references : int
        Number of references.
    windows : tuple of int
        Window size of each group, cells, odd.
    tokenise_target : bool
        If True, put the first term's target through a 1x1 convolution (it starts as the identity).
    """

    def __init__(self, channels: int, references: int, windows: tuple[int, ...], tokenise_target: bool) -> None:
        super().__init__()
        self.tokens = nn.ModuleList(nn.Conv2d(channels, part, 1) for part in split_evenly(channels, references))
        self.windows = windows
        self.groups = split_evenly(channels, len(windows))
        self.kernels = nn.ModuleList(
            DepthwiseConv2d(size, window) for size, window in zip(self.groups, windows, strict=True)
        )
        for kernel in self.kernels:
            # E starts near 0: E * target is quadratic in the features, cubic after two steps
            nn.init.normal_(kernel.weight, std=0.1 / max(windows) ** 2)  # type: ignore[arg-type]
            nn.init.zeros_(kernel.bias)  # type: ignore[arg-type]
        self.target: nn.Module = nn.Identity()
        if tokenise_target:
            conv = nn.Conv2d(channels, channels, 1)
            nn.init.dirac_(conv.weight)
            assert conv.bias is not None
            nn.init.zeros_(conv.bias)
            self.target = conv

    def enhancement(self, references: list[Tensor]) -> Tensor:
        """Compute E (Eq. 6).

        Parameters
        ----------
        references : list of Tensor
            References on the target's grid, [B or 1, C, h, w] each.

        Returns
        -------
        Tensor of float [B, C, h, w]
            E.
        """
        tokens = torch.cat([token(r) for token, r in zip(self.tokens, references, strict=True)], dim=1)
        groups = torch.split(tokens, self.groups, dim=1)
        return torch.cat([kernel(group) for kernel, group in zip(self.kernels, groups, strict=True)], dim=1)

    def forward(self, target: Tensor, references: list[Tensor]) -> Tensor:
        """Enhance the target (Eq. 7).

        Parameters
        ----------
        target : Tensor of float [B, C, h, w]
            Features to enhance.
        references : list of Tensor
            References on the target's grid, [B or 1, C, h, w] each, as many as the block was built for.

        Returns
        -------
        Tensor of float [B, C, h, w]
            Enhanced target.
        """
        out: Tensor = self.target(target) + self.enhancement(references) * target
        return out


class ALE(nn.Module):
    """Alternating local enhancement of the tile's features by the contexts' features over the tile.

    Structures (Fig. 13): ``a`` has one reference and one step, ``b`` one reference and two steps, ``c`` both references
    and one step, ``d`` both and two steps (Algorithm 1), ``e`` both and three steps. ``concat`` is concatenation and a
    1x1 convolution (Table 6). In every step but the last all features are enhanced at the same time, from the step
    before.

    Parameters
    ----------
    channels : int
        Channels of X.
    structure : AleStructure
        One of the structures above.
    reference : {"medium", "large"}
        Reference of ``a`` and ``b``.
    windows : tuple of int
        See ``LFI``.
    tokenise_target : bool
        See ``LFI``.

    Attributes
    ----------
    references : tuple of str
        Names of the contexts that serve as references.
    steps : ModuleList
        ``LFI`` blocks of each step by the name of their target; empty with ``concat``.
    """

    def __init__(
        self,
        channels: int,
        structure: AleStructure,
        reference: Literal["medium", "large"],
        windows: tuple[int, ...],
        tokenise_target: bool,
    ) -> None:
        super().__init__()
        self.references = (reference,) if structure in ("a", "b") else ("medium", "large")
        self.concat = nn.Conv2d(channels * 3, channels, 1) if structure == "concat" else None
        steps = {"concat": 0, "a": 1, "c": 1, "b": 2, "d": 2, "e": 3}[structure]
        everyone = ("tile", *self.references)
        self.steps = nn.ModuleList(
            nn.ModuleDict(
                {
                    name: LFI(channels, len(self.references), windows, tokenise_target)
                    for name in (everyone if step < steps - 1 else ("tile",))
                }
            )
            for step in range(steps)
        )
        if self.steps and isinstance(last := self.steps[-1]["tile"].target, nn.Conv2d):  # type: ignore[index]
            # X_I + ALE starts as X_I, so the enhancement is learned on top of a working network
            nn.init.zeros_(last.weight)

    def crop(self, grid: FeatureGrid, features: dict[str, Tensor], windows: dict[str, Tensor]) -> dict[str, Tensor]:
        """Resample the contexts' features onto the tile's feature grid, by windows.

        Parameters
        ----------
        grid : FeatureGrid
            Grid of the features, the same for every stream.
        features, windows : dict of str to Tensor
            As in ``LCF.correlate``.

        Returns
        -------
        dict of str to Tensor
            Features [B, C, h, w] of ``"tile"``, which is X_I, and of the references.
        """
        out = {"tile": features["tile"]}
        for name in self.references:
            matrices = interpolation_matrices(grid, windows["tile"], grid, windows[name])
            out[name] = apply_separable(*matrices, features[name]).expand(len(features["tile"]), -1, -1, -1)
        return out

    def forward(
        self,
        grid: FeatureGrid,
        features: dict[str, Tensor],
        windows: dict[str, Tensor],
        left_out: Collection[str] = (),
    ) -> Tensor:
        """Enhance the tile's features.

        Parameters
        ----------
        grid : FeatureGrid
            Grid of the features, the same for every stream.
        features, windows : dict of str to Tensor
            As in ``LCF.correlate``.
        left_out : collection of str, optional
            Contexts whose features are 0 in every step.

        Returns
        -------
        Tensor of float [B, C, h, w]
            Enhanced local features.
        """
        current = self.crop(grid, features, windows)
        current = {name: torch.zeros_like(x) if name in left_out else x for name, x in current.items()}
        if self.concat is not None:
            merged: Tensor = self.concat(torch.cat(list(current.values()), dim=1))
            return merged
        for step in self.steps:
            current = {
                name: current[name]
                if name in left_out
                else lfi(current[name], [current[other] for other in current if other != name])
                for name, lfi in step.items()  # type: ignore[operator]
            }
        return current["tile"]
