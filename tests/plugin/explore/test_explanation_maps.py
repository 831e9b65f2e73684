"""What the panel offers for each kind of network, color limits and composites; no window."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from fctl_napari.model.config import FCtLConfig
from fctl_napari.model.presets import preset
from fctl_napari.plugin.layers.explanation_colors import scale
from fctl_napari.plugin.layers.explanation_maps import (
    ATTENTION,
    CONTEXT_COLORS,
    ENHANCEMENT,
    RECEIVED,
    REGION,
    VIEWS,
    WEIGHTS,
    WHAT_IF,
    composite,
    lacks,
    views_of,
)

WEIGHT = arrays.arrays(np.float32, (4, 4), elements=st.floats(0, 1, width=32))


@pytest.mark.parametrize(
    ("config", "views", "words"),
    [
        (preset("fctl_vgg16"), VIEWS, ()),
        (preset("lcc_released"), (ATTENTION, RECEIVED, WEIGHTS, WHAT_IF, REGION), ("(GPE)", "(ALE)")),
        (preset("fcn8s"), (REGION,), ("no contexts",)),
        (preset("fctl_vgg16", lcf=False), (ENHANCEMENT, WHAT_IF, REGION), ("(LCF)",)),
        (preset("fctl_vgg16", ale="concat"), (ATTENTION, RECEIVED, WEIGHTS, WHAT_IF, REGION), ("concat",)),
    ],
    ids=["all", "released", "baseline", "ALE only", "concat"],
)
def test_what_a_network_lacks_is_not_offered(
    config: FCtLConfig, views: tuple[str, ...], words: tuple[str, ...]
) -> None:
    assert views_of(config) == views
    said = lacks(config)
    assert bool(said) == bool(words)
    assert all(word in said for word in words)


@given(weights=st.dictionaries(st.sampled_from(sorted(CONTEXT_COLORS)), WEIGHT, min_size=1))
def test_a_composite_has_a_color_for_each_context(weights: dict[str, np.ndarray]) -> None:
    limits = dict.fromkeys(weights, (0.0, 1.0))
    picture = composite(weights, limits)
    assert picture.shape == (4, 4, 3)
    for channel, name in enumerate(("local", "medium", "large")):
        expected = weights[name] * 255 if name in weights else np.zeros((4, 4))
        assert np.abs(picture[..., channel] - expected).max() <= 0.5 + 1e-4


def test_scales_grow_evenly_and_let_the_image_through() -> None:
    heat = scale(None)
    lightness = heat[:, :3] @ (0.2126, 0.7152, 0.0722)
    assert (np.diff(lightness) > -1e-3).all()
    assert lightness[-1] - lightness[0] > 0.8
    assert 0 < heat[0, 3] < 0.5
    assert heat[-1, 3] == 1
    tint = scale((255, 0, 0))
    assert (tint[:, :3] == (1, 0, 0)).all()
    assert tint[0, 3] == 0
    assert (np.diff(tint[:, 3]) > 0).all()
