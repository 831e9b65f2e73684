"""Fit of a light head to painted cells: balanced cross-entropy with weight decay, by L-BFGS, and a temperature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor, nn

from fctl_napari.model.light_decoder import HIDDEN, NEVER, LightDecoder

DECAY = 1.0
"""Weight decay, which is strong: strokes show few of the regions that a class has."""

BALANCE = 0.5
"""Power of the inverse number of a class's px by which it is weighed."""

STEPS = 60
"""Largest number of L-BFGS steps."""

SMALLEST_DEVIATION = 1e-3
"""Added to the standard deviation of each feature, as some are the same in all cells."""


@dataclass(frozen=True)
class LabelledCells:
    """Cells that were painted on.

    Attributes
    ----------
    features : Tensor of float32 [N, D]
        Features of each cell.
    pixels : Tensor of float32 [N, classes]
        Number of its px that were given each class.
    """

    features: Tensor
    pixels: Tensor

    @property
    def known(self) -> Tensor:
        """Tensor of bool [classes]: True for classes that have px."""
        return self.pixels.sum(0) > 0

    @staticmethod
    def joined(parts: Sequence[LabelledCells]) -> LabelledCells:
        """Join sets of cells.

        Parameters
        ----------
        parts : sequence of LabelledCells
            The sets, at least one.

        Returns
        -------
        LabelledCells
            All of their cells.
        """
        return LabelledCells(torch.cat([p.features for p in parts]), torch.cat([p.pixels for p in parts]))

    def drawn(self, most: int, generator: torch.Generator) -> LabelledCells:
        """Draw cells evenly among the classes.

        Parameters
        ----------
        most : int
            Largest number of cells.
        generator : torch.Generator
            Source of chance.

        Returns
        -------
        LabelledCells
            All cells if they are few enough.
        """
        if len(self.features) <= most:
            return self
        owner = self.pixels.argmax(1)
        classes = owner.unique()
        chosen = []
        for k in classes.tolist():
            own = (owner == k).nonzero()[:, 0]
            chosen.append(own[torch.randperm(len(own), generator=generator)[: max(1, most // len(classes))]])
        picked = torch.cat(chosen)
        return LabelledCells(self.features[picked], self.pixels[picked])


@dataclass
class FittedHead:
    """Weights of a light head over scaled features.

    Attributes
    ----------
    layers : list of tuple of (Tensor, Tensor)
        Weight [outputs, inputs] and bias [outputs] of one or two layers.
    center, deviation : Tensor of float32 [D]
        Mean of the features, and the divisor that scales them.
    known : Tensor of bool [classes]
        Classes that were painted; others are never predicted.
    temperature : float
        Divisor of the scores.
    """

    layers: list[tuple[Tensor, Tensor]]
    center: Tensor
    deviation: Tensor
    known: Tensor
    temperature: float = 1.0

    def scores(self, features: Tensor) -> Tensor:
        """Compute the logits of cells.

        Parameters
        ----------
        features : Tensor of float32 [N, D]
            Features of the cells.

        Returns
        -------
        Tensor of float32 [N, classes]
            Logits.
        """
        scores = _scores(self.layers, (features - self.center) / self.deviation) / self.temperature
        return torch.where(self.known, scores, NEVER)

    @torch.no_grad()
    def install(self, decoder: LightDecoder) -> None:
        """Give the weights to a decoder.

        Parameters
        ----------
        decoder : LightDecoder
            Decoder of the same sources and layers.
        """
        (weight, bias), *rest = self.layers
        if rest:
            score = decoder.score
            assert isinstance(score, nn.Sequential)
            last = score[-1]
            assert isinstance(last, nn.Conv2d)
            assert last.bias is not None
            (out, out_bias), shown = rest[0], self.known
            last.weight.copy_((out * shown[:, None] / self.temperature)[:, :, None, None])
            last.bias.copy_(torch.where(shown, out_bias / self.temperature, NEVER))
        else:
            weight = weight * self.known[:, None] / self.temperature
            bias = torch.where(self.known, bias / self.temperature, NEVER)
        decoder.set_weights(weight / self.deviation, bias, self.center)


def fit_head(
    cells: LabelledCells, scale: Tensor, hidden: bool, generator: torch.Generator, like: FittedHead | None = None
) -> FittedHead:
    """Fit a head to cells.

    Parameters
    ----------
    cells : LabelledCells
        Cells to learn from.
    scale : Tensor of float32 [D]
        Standard deviation that each feature is given: weights of features below 1 decay more.
    hidden : bool
        If True, fit a hidden layer of ``HIDDEN`` channels.
    generator : torch.Generator
        Source of chance.
    like : FittedHead or None, optional
        Head to start from.

    Returns
    -------
    FittedHead
        The head.
    """
    start = None if like is None else like.layers
    center = cells.features.mean(0)
    deviation = (cells.features.std(0, correction=0) + SMALLEST_DEVIATION) / scale
    inputs = (cells.features - center) / deviation
    classes, width = cells.pixels.shape[1], inputs.shape[1]
    if start is None:
        start = [(torch.zeros(classes, width), torch.zeros(classes))]
        if hidden:
            first = torch.randn(HIDDEN, width, generator=generator) / width**0.5
            start = [(first, torch.zeros(HIDDEN)), (torch.zeros(classes, HIDDEN), torch.zeros(classes))]
    layers = [(weight.clone().requires_grad_(), bias.clone().requires_grad_()) for weight, bias in start]
    wanted = _shares(cells.pixels, cells.known)
    hide = torch.where(cells.known, 0.0, NEVER)
    search = torch.optim.LBFGS(
        [p for layer in layers for p in layer], max_iter=STEPS, line_search_fn="strong_wolfe", history_size=10
    )

    def loss() -> float:
        search.zero_grad()
        penalty = sum((weight**2).sum() for weight, _ in layers)
        total = _loss(_scores(layers, inputs) + hide, wanted) + DECAY / 2 * penalty
        total.backward()
        return float(total.detach())

    search.step(loss)
    done = [(weight.detach(), bias.detach()) for weight, bias in layers]
    return FittedHead(done, center, deviation, cells.known)


def _scores(layers: Sequence[tuple[Tensor, Tensor]], inputs: Tensor) -> Tensor:
    (weight, bias), *rest = layers
    scores = inputs @ weight.T + bias
    for weight, bias in rest:
        scores = scores.relu() @ weight.T + bias
    return scores


def _shares(pixels: Tensor, known: Tensor) -> Tensor:
    """Weigh the px of each class, which sum to 1: none that the head does not know, and rare ones more."""
    counts = (pixels * known).sum(0)
    shares = pixels * torch.where(known & (counts > 0), counts.clamp(min=1) ** -BALANCE, 0.0)
    return shares / shares.sum().clamp(min=1e-12)


def _loss(scores: Tensor, shares: Tensor) -> Tensor:
    return -(shares * scores.log_softmax(1)).sum()


def calibrate(head: FittedHead, held_out: LabelledCells) -> float:
    """Give a head the temperature with the smallest loss on held-out cells.

    Parameters
    ----------
    head : FittedHead
        The head.
    held_out : LabelledCells
        Cells that it was not fitted to.

    Returns
    -------
    float
        The temperature.
    """
    head.temperature = 1.0
    scores, shares = head.scores(held_out.features), _shares(held_out.pixels, head.known)

    def loss(log_temperature: float) -> float:
        return float(_loss(torch.where(head.known, scores / 2.0**log_temperature, NEVER), shares))

    head.temperature = float(2.0 ** minimize_scalar(loss, bounds=(-5, 5), method="bounded").x)
    return head.temperature
