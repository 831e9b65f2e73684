"""Make the files that ``tests/test_old_runs.py`` opens: outputs of the commands, finished, half done and killed.

``tests/data/files_a1848b4.tar.xz`` was made by it at commit a1848b4; it is not made again, since its age is what is
tested. Most of it are commands of ``fctl``; what only the window writes is imported from where it lay then.
Run it on a CPU, in an empty folder ``/tmp/old_files`` (this path stands in some of the files):
``python scripts/make_old_files.py ARCHIVE.tar.xz``.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import zarr
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

FOLDER = Path("/tmp/old_files")
CPU = ("--device", "cpu", "--precision", "fp32")
TABLE = [("dark", (0, 0, 0), False), ("bright", (255, 255, 255), False), ("cloud", (90, 90, 200), True)]
CLASSES = ", ".join(
    f'{{ name = "{name}", color = {list(color)}, ignored = {str(ignored).lower()} }}' for name, color, ignored in TABLE
)
USUAL = f"""
steps = 12
batch = 2
learning_rate = 2e-3
loss = "cross_entropy"
precision = "fp32"
save_every = 4
[data]
classes = {{ classes = [{CLASSES}] }}
"""
SCENE = """
[[data.scenes]]
image = "scene.png"
truth = "truth.png"
train = [[0, 192]]
val = [[192, 256]]
test = [[256, 320]]
"""
NETWORK = """
[network]
encoder = "mit_b0"
tile_size = 64
width = 8
share_encoders = "all"
ale_windows = [3]
contexts = [{ name = "local" }, { name = "medium", scale = 2.0 }, { name = "large", scale = "global" }]
"""


def command(*arguments: object) -> list[str]:
    """Return the argument list of a ``fctl`` command, for a new process."""
    return [sys.executable, "-m", "fctl_napari.cli", *map(str, arguments)]


def fctl(*arguments: object, code: int = 0) -> None:
    """Run a command to its end."""
    print("fctl", *arguments, flush=True)
    done = subprocess.run(command(*arguments), capture_output=True, text=True)
    print(done.stdout, done.stderr, flush=True)
    assert done.returncode == code, done.returncode


def killed(when: Callable[[], bool], *arguments: object) -> None:
    """Run a command and kill it, with its workers, once a condition holds."""
    print("killed: fctl", *arguments, flush=True)
    process = subprocess.Popen(
        command(*arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    while not when():
        assert process.poll() is None, "it ended before it was killed"
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def picture(seed: int, rows: int, columns: int, tint: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Draw blocks of 32 px, dark or bright, and return them with their classes."""
    rng = np.random.default_rng(seed)
    blocks = rng.permutation(np.arange(rows * columns) % 2).reshape(rows, columns)
    ground_truth = np.kron(blocks, np.ones((32, 32))).astype(np.uint8)
    image = ground_truth[..., None] * 120 + 15 * rng.integers(0, 4, ground_truth.shape).astype(np.uint8)[..., None]
    return np.repeat(image, 3, -1) + np.uint8([0, 40, 70]) * tint, ground_truth


def simplify(path: Path, frozen: tuple[str, ...]) -> None:
    """Let the frozen arrays of a checkpoint repeat a few random numbers, so that an archive of it is small."""
    with safe_open(path, "np") as file:
        metadata = file.metadata()
    arrays = load_file(path)
    numbers = np.random.default_rng(0).standard_normal(251)
    for name, array in arrays.items():
        if name.startswith(frozen) and array.size > 1000:
            arrays[name] = (np.resize(numbers, array.shape) * array.std()).astype(array.dtype)
    save_file(arrays, path, metadata)


def networks() -> None:
    """Train: a parent, the same run killed, one in stages killed, a refiner."""
    frozen = 'init_from = "base.safetensors"\nfrozen = ["encoders"]\n'
    Path("base.toml").write_text('name = "base"' + USUAL + SCENE + NETWORK)
    fctl("train", "base.toml", "--out", "base", "--set", "steps=1", "--device", "cpu")
    simplify(Path("base/base.safetensors"), ("encoders",))
    shutil.move("base/base.safetensors", "base.safetensors")
    Path("parent.toml").write_text('name = "parent"\n' + frozen + USUAL + SCENE + NETWORK)
    fctl("train", "parent.toml", "--out", "parent", "--device", "cpu")
    Path("parent/state.pt").unlink()
    killed(Path("cut/state.pt").exists, "train", "parent.toml", "--out", "cut", "--device", "cpu")

    stages = """
[[stages]]
name = "baseline"
contexts = []
network = { ale = "none" }
steps = 2
[[stages]]
name = "all"
init_from = "baseline"
"""
    Path("staged.toml").write_text('name = "staged"\n' + frozen + USUAL + SCENE + NETWORK + stages)
    killed(Path("staged/state.pt").exists, "train", "staged.toml", "--out", "staged", "--device", "cpu")

    settings = 'preset = "refiner"\nnetwork = { tile_size = 64 }\n' + USUAL + 'masks = "roughened"\n' + SCENE
    Path("base_refiner.toml").write_text('name = "base_refiner"\n' + settings)
    fctl("train", "base_refiner.toml", "--out", "base_refiner", "--set", "steps=1", "--device", "cpu")
    parts = ("encoders", "decoder")
    simplify(Path("base_refiner/base_refiner.safetensors"), parts)
    shutil.move("base_refiner/base_refiner.safetensors", "base_refiner.safetensors")
    with safe_open("base_refiner.safetensors", "np") as file:
        held = [name for name in file.keys() if name.startswith(parts) and file.get_tensor(name).size > 1000]  # noqa: SIM118
    names = sorted({name.removesuffix(".weight") + "." for name in held})
    start = f'init_from = "base_refiner.safetensors"\nfrozen = {json.dumps(["encoders", *names])}\n'
    Path("refiner.toml").write_text('name = "refiner"\n' + start + settings)
    fctl("train", "refiner.toml", "--out", "refiner", "--device", "cpu")
    Path("refiner/state.pt").unlink()
    shutil.rmtree("base")
    shutil.rmtree("base_refiner")


def segmentations() -> None:
    """Segment: whole with maps, averaged and killed, refined in part."""
    parent = ("--checkpoint", "parent/parent.safetensors", *CPU)
    fctl("segment", "new.png", "--out", "whole.ome.zarr", "--maps", *parent)
    average = ("segment", "new.png", *parent, "--merge", "average", "--save-logits")
    fctl(*average, "logits.npy", "--out", "average.ome.zarr")
    shutil.rmtree("average.ome.zarr")
    np.save("logits.npy", np.load("logits.npy")[:, ::3, ::3])

    def some() -> bool:
        done = Path("half.ome.zarr/done/c/0/0")
        return done.is_file() and bool(zarr.open_array("half.ome.zarr/done", mode="r")[:].any())

    killed(some, *average, "no.npy", "--out", "half.ome.zarr", "--batch", 1)
    for file in Path("half.ome.zarr/.scratch").glob("*-[5-9]*"):  # as if killed a little earlier
        file.unlink()
    refine = ("refine", "whole.ome.zarr", "--refiner", "refiner/refiner.safetensors", *CPU)
    fctl(*refine, "--out", "refined.ome.zarr", "--region", 0, 0, 96, 128)


def corrections() -> None:
    """Paint as the window does: two authors, an undone stroke, and a death in the middle of a stroke."""
    from fctl_napari.correcting.corrections import Corrections
    from fctl_napari.imagery.open import open_image
    from fctl_napari.model.model_card import read_card

    classes = read_card("parent/parent.safetensors").classes
    ground_truth = np.asarray(Image.open("new_truth.png")) + np.uint8(1)
    with Corrections.create("new.corrections.ome.zarr", open_image("new.png"), classes) as painted:
        for number, (y, x) in enumerate((y, x) for y in (4, 68) for x in (4, 68, 132, 196)):
            author = "ann" if number % 3 else "bob"
            painted.write(y, x, ground_truth[y : y + 24, x : x + 24], author=author)
        painted.write(4, 4, np.full((6, 8), 255, np.uint8), author="bob")
        painted.write(40, 100, np.full((20, 20), 1, np.uint8), author="ann")
        painted.undo("ann")
    later = Path("later.ome.zarr")
    shutil.copytree("new.corrections.ome.zarr", "died.corrections.ome.zarr")
    shutil.copytree("new.corrections.ome.zarr", later)
    died = Path("died.corrections.ome.zarr")
    with Corrections.open(later, "r+", image=open_image("new.png")) as painted:
        painted.write(80, 300, np.full((10, 10), 2, np.uint8), author="cem")
        whole = (later / "journal").stat().st_size
        painted.write(0, 300, np.full((10, 10), 1, np.uint8), author="cem")
    journal = (later / "journal").read_bytes()
    (died / "journal").write_bytes(journal[: (whole + len(journal)) // 2])
    shutil.copy(later / "zarr.json", died)
    (died / "0" / "c" / "0" / "0.partial").write_bytes(b"half")
    shutil.rmtree(later)


def finetunings() -> None:
    """Fine-tune: kept, waiting, killed, and the window's note of a run that is not decided."""
    from fctl_napari.finetuning.request import finetune_request
    from fctl_napari.finetuning.run import travelling
    from fctl_napari.finetuning.unfinished import remember

    tuning = ("finetune", "new.png", "new.corrections.ome.zarr", *CPU, "--data", ".", "--held-out", 0.3)
    parent = ("--checkpoint", "parent/parent.safetensors")
    fctl(*tuning, *parent, "--out", "first.safetensors", "--bound", 1, "--steps", 75)
    again = (*tuning, "--checkpoint", "first.safetensors", "--bound", 0.001, "--steps", 30)
    fctl(*again, "--out", "second.safetensors", code=1)
    Path(".second.finetune.pt").unlink()
    killed(Path(".third.finetune.pt").exists, *again, "--out", "third.safetensors")
    shutil.rmtree(".third.finetune.features", ignore_errors=True)
    request = finetune_request(
        image="new.png",
        corrections="new.corrections.ome.zarr",
        checkpoint="first.safetensors",
        out="third.safetensors",
        data_folder=".",
        held_out=0.3,
        bound=0.001,
        steps=30,
        device="cpu",
        precision="fp32",
    )
    remember(travelling(request))
    fctl(
        *("segment", "new.png", "--out", "child.ome.zarr", "--checkpoint", "first.safetensors", *CPU),
        *("--inherit", "whole.ome.zarr", "--corrections", "new.corrections.ome.zarr"),
    )


def analyses() -> None:
    """Evaluate, mark, map classes, export, convert a data set."""
    from fctl_napari.evaluation.error_regions import find_errors, order
    from fctl_napari.evaluation.review_marks import Marks
    from fctl_napari.imagery.labels.class_mapping import ClassMapping
    from fctl_napari.imagery.labels.ground_truth import open_ground_truth
    from fctl_napari.segmentation.store.store import Segmentation

    store, ground_truth = Segmentation.open("whole.ome.zarr"), open_ground_truth("new_truth.png")
    first, second, *_ = order(find_errors(store, ground_truth), "size")
    Marks.of_segmentation(store).set(first, "truth is wrong")
    Marks.of_segmentation(store).set(second, "done")
    fctl("errors", "whole.ome.zarr", "new_truth.png", "--json", "errors.json")
    Image.fromarray(np.asarray(Image.open("new_truth.png")) * np.uint8(200) + np.uint8(7)).save("valued.png")
    ClassMapping(("dark", "bright"), {7: 0, 207: 1, 255: 255}).save("map.json")
    maker = ("--checkpoint", "parent/parent.safetensors")
    fctl("evaluate", "whole.ome.zarr", "valued.png", "--map", "map.json", *maker, "--json", "figures.json")
    for name in ("out.png", "out.tif", "out.geojson", "out.coco.json", "labels.ome.zarr"):
        fctl("export", "whole.ome.zarr", name)

    Path("data/images").mkdir(parents=True)
    Path("data/masks").mkdir()
    for number in range(4):
        image, mask = picture(10 + number, 2, 3)
        Image.fromarray(image).save(f"data/images/{number}.png")
        Image.fromarray(mask).save(f"data/masks/{number}.png")
    table = [{"name": name, "color": color, "ignored": ignored} for name, color, ignored in TABLE]
    Path("data/classes.json").write_text(json.dumps({"classes": table}))
    for part, names in (("train", "0\n2\n"), ("val", "1\n"), ("test", "3\n")):
        Path(f"data/{part}.txt").write_text(names)
    fctl("data", "convert", "data", "converted")
    fctl("data", "check", "converted", "--json", "checked.json")


def ablation() -> None:
    """Train the rows of a table, killed in the middle of the second."""

    def second_row() -> bool:
        states = list(Path("ablation").glob("rows/*/state.pt"))
        return bool(states) and Path("ablation/results.csv").is_file()

    ablate = ("ablate", "run", 5, "--recipe", "parent.toml", "--out", "ablation", "--seeds", 1, "--workers", 1)
    killed(second_row, *ablate, "--steps", 6, "--set", "save_every=2", "--device", "cpu")


def expected() -> None:
    """Write down the contents of stores, read by zarr alone."""
    found = {}
    for path in sorted(Path().glob("*.ome.zarr/**/0/zarr.json")):
        array = zarr.open_array(path.parent, mode="r")[:]
        found[str(path.parent)] = [hashlib.sha256(array.tobytes()).hexdigest(), int(array.sum())]
    Path("expected.json").write_text(json.dumps(found, indent=1))


def main(archive: str) -> None:
    """Make everything and pack it."""
    target = Path(archive).absolute()
    FOLDER.mkdir(exist_ok=True)
    os.chdir(FOLDER)
    image, ground_truth = picture(0, 6, 10)
    Image.fromarray(image).save("scene.png")
    Image.fromarray(ground_truth).save("truth.png")
    image, ground_truth = picture(1, 3, 13, tint=True)
    Image.fromarray(image).save("new.png")
    Image.fromarray(ground_truth).save("new_truth.png")
    networks()
    segmentations()
    corrections()
    finetunings()
    analyses()
    ablation()
    expected()
    pack(target)


def pack(target: Path) -> None:
    """Pack all files except locks into an archive."""
    with tarfile.open(target, "w:xz", preset=9) as file:
        for path in sorted(FOLDER.iterdir()):
            if path.suffix != ".lock":
                file.add(path, path.name)


if __name__ == "__main__":
    main(sys.argv[1])
