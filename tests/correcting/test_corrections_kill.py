"""kill -9 while somebody paints: every finished stroke is there, at all levels, and can be undone."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from helpers_corrections import AUTHORS, TABLE, Model, blank, state

from fctl_napari.correcting.corrections import Corrections

pytestmark = pytest.mark.slow

SHAPE = (2100, 1100)
"""Three levels."""

PAINTER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_corrections_kill import paint_on

paint_on(Path(sys.argv[2]), int(sys.argv[3]))
"""


def order(number: int) -> tuple[str, dict[str, object]]:
    """What the painter does as its n-th deed: the same in every process."""
    rng = np.random.default_rng(number)
    deed = rng.choice(["paint"] * 6 + ["undo", "redo"])
    height, width = rng.integers(1, 900, 2).tolist()
    y, x = rng.integers(0, SHAPE[0] - height), rng.integers(0, SHAPE[1] - width)
    values = np.full((height, width), rng.choice([0, 1, 2, 3, 255]), np.uint8)
    mask = rng.random((height, width)) < 0.8
    mask[0, 0] = True
    return str(deed), {
        "y": int(y), "x": int(x), "mask": mask, "values": values, "author": AUTHORS[int(rng.integers(3))]
    }  # fmt: skip


def paint_on(path: Path, first: int) -> None:
    corrections = Corrections.open_or_create(path, blank(SHAPE), TABLE)
    print("open", flush=True)
    for number in range(first, 10_000):
        deed, stroke = order(number)
        if deed == "paint":
            corrections.write(stroke["y"], stroke["x"], stroke["values"], mask=stroke["mask"], author=stroke["author"])
        else:
            getattr(corrections, deed)()
        print(number, flush=True)


class Replay:
    """The painter's deeds, done on arrays."""

    def __init__(self) -> None:
        self.model = Model(SHAPE)
        self.known: list[str] = []
        self.done = 0

    def resume(self) -> None:
        deed, stroke = order(self.done)
        if deed == "paint":
            author = str(stroke.pop("author"))
            if author not in self.known:
                self.known.append(author)
            self.model.paint(self.done, self.known.index(author) + 1, **stroke)
        elif deed == "undo" and (candidates := self.model.to_undo(None)):
            candidates[0].undone = True
            self.model.undone.append(candidates[0])
        elif deed == "redo" and (candidates := self.model.to_redo(None)):
            candidates[0].undone = False
            self.model.undone.remove(candidates[0])
        self.done += 1


@pytest.mark.parametrize("rounds", [3, pytest.param(12, marks=pytest.mark.nightly)])
def test_every_finished_stroke_survives(rounds: int, tmp_path: Path) -> None:
    path, replay = tmp_path / "c.ome.zarr", Replay()
    moments = random.Random(0)
    for _ in range(rounds):
        painter = subprocess.Popen(
            [sys.executable, "-c", PAINTER, str(Path(__file__).parent), str(path), str(replay.done)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert painter.stdout is not None
        assert painter.stdout.readline() == "open\n"
        finished = replay.done
        for _ in range(moments.randint(1, 6)):
            finished = int(painter.stdout.readline()) + 1
        time.sleep(moments.uniform(0, 0.1))
        painter.kill()
        painter.wait()
        told = [int(line) + 1 for line in painter.stdout.read().split("\n") if line.strip()]
        painter.stdout.close()
        finished = max([finished, *told])
        while replay.done < finished:
            replay.resume()
        mode = moments.choice(["r", "r+"])
        with Corrections.open(path, mode) as found:
            there = state(found)
        if not np.array_equal(there, replay.model.state()):
            replay.resume()  # it was killed after the journal was written, and before it could say so
        np.testing.assert_array_equal(there, replay.model.state())
    with Corrections.open(path, "r+") as found:
        assert not [*path.rglob("*.partial")]
        for expected in replay.model.to_undo(None):
            stroke = found.undo()
            assert stroke is not None
            assert stroke.pixels == sum(np.count_nonzero(mask) for _, _, mask, _ in expected.strokes)
        assert found.undo() is None
        assert not state(found).any()


def test_what_was_cut_off_while_facts_were_written_is_cleared_by_the_next_writer(tmp_path: Path) -> None:
    path = tmp_path / "c.ome.zarr"
    with Corrections.open_or_create(path, blank(SHAPE), TABLE) as corrections:
        corrections.write(3, 4, np.ones((2, 2), np.uint8), author="a")
    for name in ("zarr.1f2e.partial", ".painted.json.x1"):
        (path / name).write_text("{")  # as zarr and atomic writes leave them
    Corrections.open(path).close()
    assert (path / "zarr.1f2e.partial").exists(), "a reader changes nothing"
    Corrections.open(path, "r+").close()
    assert not [*path.glob("*.partial"), *path.glob(".painted*")]
