"""Ground truths of a fine-tuning whose values seem to be read as other classes than they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers_commands import Fctl
from PIL import Image

import fctl_napari as fctl_api
from fctl_napari.finetuning.finetune import Finetuner


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([0, 1], None),
        ([1, 0], "the classes of the ground truth seem to be mixed up: accuracy is 0."),
        ([255, 1], "px were not scored, and nothing in the ground truth is dark; if a value there stands for it"),
        ([0, 255], "px were not scored, and nothing in the ground truth is bright; if a value there stands for it"),
    ],
)
def test_values_that_seem_to_be_other_classes_are_pointed_out(request_for, corrected, tmp_path, values, says):
    Image.fromarray(np.array(values, np.uint8)[corrected.ground_truth]).save(tmp_path / "t.png")
    heard = []
    result = Finetuner(request_for(truth=str(tmp_path / "t.png"), steps=1), watch=heard.append).run()
    said = [note for note in result.notes if str(tmp_path / "t.png") in note]
    assert len(said) == (says is not None)
    assert all(says in note and "save the mask with the class indices of the checkpoint" in note for note in said)
    assert heard[-1].notes == result.notes


def test_the_command_and_the_function_say_it_too(fctl: Fctl, corrected, tmp_path: Path) -> None:
    Image.fromarray(1 - corrected.ground_truth).save(tmp_path / "t.png")
    shown = corrected.folder / "new.png", corrected.folder / "corrections.ome.zarr"
    options = ("--checkpoint", corrected.parent, "--truth", tmp_path / "t.png", "--device", "cpu", "--steps", 1)
    _, _, err = fctl("finetune", *shown, *options, "--out", tmp_path / "a.safetensors", "--keep-anyway")
    words = "t.png: the classes of the ground truth seem to be mixed up"
    assert words in err
    candidate = fctl_api.finetune(
        shown[0],
        corrected.parent,
        tmp_path / "b.safetensors",
        corrections=shown[1],
        ground_truth=tmp_path / "t.png",
        device="cpu",
        steps=1,
        progress=False,
    )
    assert any(words in note for note in candidate.notes)
