"""Batches of tiles that lie ready on a device, run eagerly, as a CUDA graph, or compiled."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from throughput import Case, on_device, some_inputs
from throughput_rates import rate, timed
from torch import Tensor

from fctl_napari.model.checkpoint import load_checkpoint
from fctl_napari.segmentation.inference.device import numerics, store_for_inference

REPEATED_SECONDS = 1.0
"""How long a computation is repeated to be timed, s."""


@dataclass(frozen=True)
class Batch:
    """Tiles that lie ready on the device, and their network.

    Attributes
    ----------
    case
        The network and how it computes.
    size
        Number of tiles.
    compute
        The computation alone, without its precision: tiles, contexts and windows to logits.
    inputs
        What it takes.
    """

    case: Case
    size: int
    compute: Callable[..., Tensor]
    inputs: tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]

    @classmethod
    def ready(cls, case: Case, size: int) -> Batch:
        """Lay tiles ready.

        A context that all tiles share is encoded before.
        """
        model, _ = load_checkpoint(case.checkpoint)
        model.to(case.device).eval()
        store_for_inference(model, case.precision)
        tiles, contexts, windows = on_device(some_inputs(case, size), case.device)
        shared: dict[str, Tensor] = {}
        with torch.inference_mode(), numerics(case.device, case.precision):
            for context in model.config.outer_contexts:
                if context.scale == "global":
                    shared[context.name] = model.encode_context(context.name, contexts.pop(context.name)[:1])
                    windows[context.name] = windows[context.name][:1]

        def compute(tiles: Tensor, contexts: dict[str, Tensor], windows: dict[str, Tensor]) -> Tensor:
            encoded = {name: model.encode_context(name, images) for name, images in contexts.items()}
            return model.decode(model.encode_tile(tiles), encoded | shared, windows).float()

        return cls(case, len(tiles), compute, (tiles, contexts, windows))

    def run(self, _: int = 0) -> Tensor:
        """Compute the logits."""
        with torch.inference_mode(), numerics(self.case.device, self.case.precision):
            return self.compute(*self.inputs)


def tiles_per_second(run: Callable[[int], object], batch: Batch, quick: bool) -> float:
    """Time a computation of a batch."""
    run(0)
    once = timed(lambda: run(0), batch.case.device)
    count = 1 if quick else max(3, math.ceil(REPEATED_SECONDS / once))
    return rate(run, count, batch.case.device).tiles * batch.size


def graphed(batch: Batch) -> Callable[[int], Tensor]:
    """Capture a batch in a CUDA graph."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            batch.run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        logits = batch.run()

    def run(_: int) -> Tensor:
        graph.replay()
        return logits

    return run


def compiled(batch: Batch) -> Callable[[int], Tensor]:
    """Compile a batch, with CUDA graphs."""
    return replace(batch, compute=torch.compile(batch.compute, mode="reduce-overhead")).run
