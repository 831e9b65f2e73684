"""Which arrays of a network count classes is found from the network itself, whatever its widths are."""

from __future__ import annotations

import pytest
import torch

from fctl_napari.model.build import make_network
from fctl_napari.model.class_axes import class_axes, take_classes
from fctl_napari.model.presets import PRESETS, preset


@pytest.mark.parametrize(
    ("name", "fields"), [*((name, {}) for name in PRESETS), ("fctl_mit_b0", {"decoder": "segformer"})]
)
def test_every_network_counts_classes_at_its_end_and_at_masks_alone(name: str, fields: dict[str, str]) -> None:
    config = preset(name, classes=5, **fields)
    before = torch.get_rng_state()
    axes = class_axes(config)
    assert torch.equal(torch.get_rng_state(), before), "laying it out draws nothing"
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in make_network(config).state_dict().items()}
    assert all(key.startswith(("decoder.", "encoders.tile.")) for key in axes)
    if name == "cascadepsp":  # it sees one class at a time, whichever
        assert axes == {}
        return
    assert any(key.startswith("decoder.") and shapes[key] == (5,) for key in axes)  # the last bias
    for key, found in axes.items():
        masks = key.startswith("encoders.")
        assert masks == (name == "refiner" and key == "encoders.tile.blocks.0.0.weight")
        assert all(shapes[key][axis] == (3 + 5 if masks else 5) for axis in found), key


def test_a_width_that_is_the_number_of_classes_is_not_taken_for_it() -> None:
    config = preset("fctl_lite", tile_size=64, width=8, classes=8, contexts=[{"name": "local"}], ale="none")
    axes = class_axes(config)
    state = make_network(config).state_dict()
    assert state["lcf.correlations.local.query.weight"].shape[:2] == (8, 8)
    assert all(key.startswith("decoder.") for key in axes)
    square = [key for key in axes if len(axes[key]) == 2]
    assert square
    assert all(axes[key] == (0, 1) and state[key].shape[:2] == (8, 8) for key in square)
    score = next(key for key in axes if state[key].shape[:2] == (8, 8) and key.startswith("decoder.score"))
    assert axes[score] == (0,), "its input is 8 wide as well"


def test_classes_are_taken_row_by_row() -> None:
    own, given = torch.zeros(4, 4), torch.arange(9.0).reshape(3, 3)
    found = take_classes(own, given, (0, 1), [2, None, 0, None], 3)
    assert found.tolist() == [[8, 0, 6, 0], [0, 0, 0, 0], [2, 0, 0, 0], [0, 0, 0, 0]]
    assert not own.any()
    # what stands before the classes is no class
    found = take_classes(torch.zeros(2, 5), torch.arange(10.0).reshape(2, 5), (1,), [None, 0], 2)
    assert found.tolist() == [[0, 1, 2, 0, 3], [5, 6, 7, 0, 8]]
