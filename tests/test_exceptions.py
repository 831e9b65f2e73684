"""Errors of settings, said in our words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from helpers_training import make, toml_of

import fctl_napari
from fctl_napari.exceptions import ConfigError, FctlError, InputError
from fctl_napari.model.classes import ClassTable
from fctl_napari.notebook.messages import read_message
from fctl_napari.training.config import load_train_config

PYDANTIC = ("Input should", "Extra inputs", "Field required", "Value error", "validation error", "valid integer")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"steps": -3}, "steps: cannot be -3; give a number of at least 1."),
        ({"steps": "many"}, "steps: cannot be 'many'; give a whole number."),
        ({"steps": 2.5}, "steps: cannot be 2.5; give a whole number."),
        ({"stepz": 3}, "stepz: there is no such setting; check the name."),
        ({"precision": "fp64"}, "precision: cannot be 'fp64'; give 'auto', 'fp32' or 'bf16'."),
        ({"augment": {"dihedral": "perhaps"}}, "augment.dihedral: cannot be 'perhaps'; give true or false."),
        ({"augment": 3}, "augment: cannot be 3; give a table of settings."),
        ({"frozen": 3}, "frozen: cannot be 3; give a list."),
        ({"data.scenes": [{"truth": "t.png"}]}, "data.scenes.0.image: is missing; state it."),
        ({"data.bands": [0, None, 1]}, "data.bands: cannot be"),
        ({"data.holdout": "9"}, "data: no scene is of the group '9' that is to be held out."),
    ],
    ids=str,
)
def test_a_training_config_is_refused_in_our_words(settings: dict[str, Any], words: str, tmp_path: Path) -> None:
    path = tmp_path / "t.toml"
    path.write_text(toml_of(make()))
    with pytest.raises(ConfigError) as error:
        load_train_config(path, settings)
    assert str(error.value).startswith(f"{path}: {words}")
    assert not any(word in str(error.value) for word in PYDANTIC)


@pytest.mark.parametrize("classes", [[{"name": "a"}], [{"name": "a", "color": "red"}], 3], ids=str)
def test_a_class_table_is_refused_in_our_words(classes: object, tmp_path: Path) -> None:
    path = tmp_path / "classes.json"
    path.write_text(json.dumps({"classes": classes}))
    with pytest.raises(InputError, match=r"classes\.json: is not a class table \(classes") as error:
        ClassTable.read(path)
    assert not any(word in str(error.value) for word in PYDANTIC)


def test_arguments_and_messages_are_refused_in_our_words() -> None:
    with pytest.raises(FctlError, match=r"seeds cannot be 0 \(a number of at least 1 is needed\)") as argument:
        fctl_napari.ablate(3, seeds=0)
    with pytest.raises(FctlError, match="give a 'kind' that is known; reload the page") as message:
        read_message({"kind": "what"})
    for error in (argument, message):
        assert not any(word in str(error.value) for word in PYDANTIC)
