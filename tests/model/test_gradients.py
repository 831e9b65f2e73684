"""Every parameter that an option switches on is trained; what it switches off is not there, or is not reached."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor

from fctl_napari.model.config import Context, FCtLConfig
from fctl_napari.model.fctl import FCtL

from .conftest import make_batch, small_config

LOCAL = Context(name="local")
MEDIUM = Context(name="medium", scale=2.0)
LARGE = Context(name="large", scale="global")

EVERYTHING = {
    "encoders.tile", "encoders.medium", "encoders.large",
    *(f"lcf.correlations.{u}.{p}" for u in ("local", "medium", "large")
      for p in ("query", "key", "value", "gamma", "v_pos", "z")),
    "lcf.fusion.squeeze", "lcf.fusion.split",
    *(f"ale.steps.{step}.{p}" for step in ("0.tile", "0.medium", "0.large", "1.tile")
      for p in ("tokens", "kernels", "target")),
    "decoder.score", "decoder.up",
}  # fmt: skip
"""The parts of ``small_config``'s network that have parameters."""


def without(*patterns: str) -> set[str]:
    return {part for part in EVERYTHING if not any(re.search(p, part) for p in patterns)}


ALE = r"^ale\."
CASES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "everything": ({}, EVERYTHING),
    "no gpe": ({"gpe": False}, without(r"v_pos", r"\.z$")),
    "no projections": ({"projections": False}, without(r"query", r"key", r"value")),
    "average": ({"fusion": "average"}, without("fusion")),
    "weighted": ({"fusion": "weighted"}, without("fusion") | {"lcf.fusion.logits"}),
    "values from the tile": ({"values_from": "local"}, EVERYTHING),
    "no scaling": ({"scale_logits": False}, EVERYTHING),
    "lcf off": ({"lcf": False}, without(r"^lcf")),
    "ale off": ({"ale": "none"}, without(ALE)),
    "ale concat": ({"ale": "concat"}, without(ALE) | {"ale.concat"}),
    "ale a": ({"ale": "a"}, without(r"ale\.steps\.0\.(medium|large)", r"ale\.steps\.1")),
    "ale b, large": ({"ale": "b", "ale_reference": "large"}, without(r"ale\.steps\.0\.medium")),
    "ale c": ({"ale": "c"}, without(r"ale\.steps\.0\.(medium|large)", r"ale\.steps\.1")),
    "ale e": ({"ale": "e"}, EVERYTHING | {p.replace(".0.", ".1.") for p in EVERYTHING if "steps.0" in p}
              | {p.replace(".1.", ".2.") for p in EVERYTHING if "steps.1" in p}),
    "target as it is": ({"ale_tokenise_target": False}, without(r"\.target")),
    "shared contexts": ({"share_encoders": "contexts"}, without(r"encoders\.(medium|large)") | {"encoders.context"}),
    "shared by all": ({"share_encoders": "all"}, without(r"encoders\.(medium|large)")),
    "width": ({"width": 12}, EVERYTHING | {f"necks.{s}.lateral" for s in ("tile", "medium", "large")}),
    "top down": ({"width": 12, "top_down": True},
                 EVERYTHING | {f"necks.{s}.{p}" for s in ("tile", "medium", "large") for p in ("lateral", "top")}),
    "stride 8": ({"correlation_stride": 8}, EVERYTHING),
    "stride 32": ({"correlation_stride": 32, "ale_windows": (1,)}, EVERYTHING),
    "local": ({"contexts": (LOCAL,), "ale": "none"}, without(ALE, r"medium", r"large")),
    "medium": ({"contexts": (MEDIUM,), "ale": "a"}, without(r"local", r"large", r"ale\.steps\.(0\.medium|1)")),
    "large": ({"contexts": (LARGE,), "ale": "b", "ale_reference": "large"}, without(r"local", r"medium")),
    "local, medium": ({"contexts": (LOCAL, MEDIUM), "ale": "none"}, without(ALE, r"large")),
    "medium, large": ({"contexts": (MEDIUM, LARGE)}, without(r"local")),
    "none": ({"contexts": (), "ale": "none"}, without(ALE, r"lcf", r"medium", r"large")),
    "vgg16": ({"encoder": "vgg16", "tile_size": 32, "contexts": (), "ale": "none", "correlation_stride": 32},
              without(ALE, r"lcf", r"medium", r"large")),
    "mit_b0": ({"encoder": "mit_b0", "correlation_stride": 32, "ale_windows": (1,)}, EVERYTHING),
    "segformer": ({"encoder": "mit_b0", "correlation_stride": 32, "ale_windows": (1,), "decoder": "segformer"},
                  without("decoder") | {"decoder"}),
}  # fmt: skip

LITE0_BLOCKS = {8: 5, 16: 11, 32: 16}
"""How many of EfficientNet-Lite0's blocks reach a stride."""


def beyond_the_correlation(config: FCtLConfig, name: str) -> bool:
    """Whether a parameter belongs to stages of a context's encoder that come after X."""
    found = re.match(r"encoders\.(medium|large|context)\.blocks\.(\d+)\.", name)
    return found is not None and not config.top_down and int(found[2]) >= LITE0_BLOCKS[config.correlation_stride]


def gradients(config: FCtLConfig) -> dict[str, Tensor | None]:
    """By parameter, the gradient of some loss in training mode; None where it is not reached."""
    model = FCtL(config).train()
    if config.encoder != "vgg16":  # too slow
        model = model.double()
    logits = model(*make_batch(config, tiles=1))
    (logits * torch.randn_like(logits)).sum().backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("case", CASES)
def test_gradients_reach_what_is_switched_on_and_nothing_else(case: str) -> None:
    fields, parts = CASES[case]
    config = small_config(**fields)
    found = gradients(config)
    # which parts exist
    strangers = [n for n in found if not any(n == p or n.startswith(p + ".") for p in parts)]
    assert strangers == []
    absent = [p for p in sorted(parts) if not any(n == p or n.startswith(p + ".") for n in found)]
    assert absent == []
    # which are reached
    assert {n for n, g in found.items() if g is None} == {n for n in found if beyond_the_correlation(config, n)}
    # softmax over a single context is 1 whatever its logits; softmax over j ignores what a key's bias adds for all j
    flat = "lcf.fusion." if len(config.contexts) == 1 else "-"
    for name, gradient in found.items():
        if gradient is None or name.endswith("key.bias"):
            continue
        assert bool(gradient.any()) == (not name.startswith(flat)), name
        assert gradient.isfinite().all(), name


def test_gates_that_start_closed_let_nothing_through_but_learn_to_open() -> None:
    config = small_config(gate_init=0.0, ale="none")
    for name, gradient in gradients(config).items():
        if gradient is None:
            continue
        if name.endswith("gamma"):
            assert gradient != 0, name
        elif re.match(r"lcf\.|encoders\.(medium|large)", name):
            assert not gradient.any(), name
