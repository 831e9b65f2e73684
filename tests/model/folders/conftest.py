"""The folder of a small SegFormer, as transformers saves it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

NAMES = ("water", "land", "road")


@pytest.fixture(scope="session")
def oracle() -> nn.Module:
    """A SegFormer-B0 of transformers, whose every part shows in its logits."""
    import transformers  # slow to import

    torch.manual_seed(0)
    labels = dict(enumerate(NAMES))
    config = transformers.SegformerConfig(id2label=labels, label2id={name: k for k, name in labels.items()})
    model: nn.Module = transformers.SegformerForSemanticSegmentation(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 / max(1, parameter[0].numel()) ** 0.5 * torch.randn_like(parameter))
        statistics = dict(model.named_buffers())
        statistics["decode_head.batch_norm.running_mean"].normal_(std=0.1)
        statistics["decode_head.batch_norm.running_var"].uniform_(0.5, 2)
    return model


@pytest.fixture(scope="session")
def saved(oracle: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that it is saved to."""
    folder = tmp_path_factory.mktemp("saved") / "rivers"
    oracle.save_pretrained(folder)  # type: ignore[operator]
    size = {"height": 96, "width": 96}
    (folder / "preprocessor_config.json").write_text(json.dumps({"do_rescale": True, "size": size}))
    (folder / "README.md").write_text("---\ntags: [water]\nlicense: cc-by-4.0 # of the labels\n---\n# Rivers\n")
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy of the folder that may be changed."""
    return Path(shutil.copytree(saved, tmp_path / "rivers"))


@pytest.fixture
def state_in(folder: Path) -> Callable[..., None]:
    """``state_in("config.json", depths=...)``: change fields of a document of the folder, None leaving one out."""

    def change(file: str, **fields: Any) -> None:
        path = folder / file
        document = json.loads(path.read_text()) if path.exists() else {}
        document |= fields
        path.write_text(json.dumps({key: value for key, value in document.items() if value is not None}))

    return change
