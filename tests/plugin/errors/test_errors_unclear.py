"""Ground truths whose values seem to be other classes, in the tab Errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers_errors import Judged, OpenErrors
from PIL import Image

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("warm_engine")]


def test_classes_that_seem_mixed_up_are_pointed_out(
    open_errors: OpenErrors, judged: Judged, until: Callable[..., None], tmp_path: Path
) -> None:
    scene, store, ground_truth, _ = judged
    _, widget = open_errors(scene, store.path)
    for moved, hint in ((0, False), (1, True)):
        values = np.where(ground_truth == 255, 255, (ground_truth + moved) % 5).astype(np.uint8)
        Image.fromarray(values).save(tmp_path / f"{moved}.png")
        widget.add_ground_truth(tmp_path / f"{moved}.png")
        until(lambda: not widget.running)
        widget.form.figures.compute.click()
        until(lambda: not widget.running)
        said = widget.form.status.text()
        assert ("The classes of the ground truth seem to be mixed up" in said) == hint
        assert ("state what each value is under Classes…" in said) == hint
