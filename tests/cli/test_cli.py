"""``fctl``: help, networks, inputs that cannot be used, images."""

from __future__ import annotations

import errno
import json
import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tifffile
from helpers_commands import Fctl, Outcome, fctl_process
from PIL import Image

from fctl_napari.cli.facts import card_facts, show_facts
from fctl_napari.files import output_error
from fctl_napari.model.model_card import read_card
from fctl_napari.segmentation.store.store import Segmentation


def test_help_names_every_command_and_loads_nothing_heavy() -> None:
    code = (
        "import sys, fctl_napari.cli.app as c; sys.argv = ['fctl', '--help']\n"
        "try: c.main()\nfinally: print(sorted({'torch', 'numpy', 'zarr', 'qtpy', 'distributed'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    commands = ("demo", "sample", "info", "convert", "segment", "export", "evaluate", "errors", "compare", "train")
    for command in (*commands, "import-released", "weights", "model", "ablate", "data"):
        assert f" {command} " in done.stdout
    assert done.stdout.strip().endswith("[]")


# -- networks ------------------------------------------------------------------------------------------------------


def test_networks_are_compared(fctl: Fctl, tmp_path: Path) -> None:
    file = tmp_path / "table.json"
    done = fctl("model", "table", "segformer_b0", "fctl_lite", "--size", 300, 400, "--runs", 1, "--json", file)
    assert done.code == 0
    costs = json.loads(file.read_text())
    assert [cost["tiles"] for cost in costs] == [1, 1, 4]
    rows = [line.split()[:2] for line in done.out.splitlines()[1:4]]
    assert rows == [["segformer_b0", "local"], ["segformer_b0", "global"], ["fctl_lite", "local"]]
    assert "400 x 300 px (width x height)" in done.out


def test_every_ablation_is_listed(fctl: Fctl) -> None:
    done = fctl("ablate", "list")
    lines = done.out.splitlines()
    assert len(lines) == 1 + 33 + 1
    assert "table4-deepglobe-1016-1524-2448" in done.out


def test_weights_are_distinguished(fctl: Fctl, tiny_checkpoint: Path, tmp_path: Path) -> None:
    assert "a checkpoint of this project" in fctl("weights", "check", tiny_checkpoint).out
    for name, content in (
        ("other.pth", b"no weights"),
        ("a.png", b"\x89PNG\r\n"),
        ("a.csv", b"a,b"),
        ("a.onnx", b"zz"),
    ):
        (tmp_path / name).write_bytes(content)
        advice = "give a .pth, .pt, .bin, .safetensors or .onnx file of them, or download it again."
        said = fctl("weights", "check", tmp_path / name).sentence()
        assert said.endswith(f"{name}: cannot be read as weights; {advice}")


def test_released_files_that_are_not_there(fctl: Fctl, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("all.pth", "medium.pth", "large.pth", "out.safetensors")]
    assert "all.pth: there is no such weights file" in fctl("import-released", *files, "--classes", "inria").sentence()
    assert not files[-1].exists()


# -- inputs that cannot be used ------------------------------------------------------------------------------------


@pytest.fixture
def segmented_by_tiny(fctl: Fctl, tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Path:
    """A segmentation of 80 x 80 px."""
    folder = tmp_path_factory.mktemp("segmented")
    Image.fromarray(np.full((80, 80, 3), 90, np.uint8)).save(folder / "image.png")
    arguments = ("--out", folder / "s.ome.zarr", "--checkpoint", tiny_checkpoint, "--device", "cpu")
    assert fctl("segment", folder / "image.png", *arguments).code == 0
    return folder / "s.ome.zarr"


def write_bad_file(kind: str, folder: Path) -> Path:
    path = folder / ("image.tif" if "tif" in kind else "image.png")
    random = np.random.default_rng(0)
    if kind == "text":
        path.write_text("no image")
    elif kind == "truncated png":
        Image.fromarray(random.integers(0, 255, (90, 90, 3), np.uint8)).save(path)
        path.write_bytes(path.read_bytes()[:9000])
    elif kind == "truncated tif":
        tifffile.imwrite(path, random.integers(0, 255, (900, 900, 3), np.uint8), tile=(256, 256))
        path.write_bytes(path.read_bytes()[:90000])
    elif kind == "six channels tif":
        tifffile.imwrite(path, np.zeros((64, 64, 6), np.uint8), photometric="minisblack", planarconfig="contig")
    elif kind == "16-bit tif":
        tifffile.imwrite(path, np.zeros((64, 64, 3), np.uint16), photometric="rgb")
    elif kind == "float tif":
        tifffile.imwrite(path, np.zeros((64, 64), np.float32))
    elif kind == "empty":
        path.touch()
    return path


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("missing", "there is no such file"),
        ("empty", "empty"),
        ("text", "is not an image"),
        ("truncated png", "truncated|damaged"),
        ("truncated tif", "truncated|damaged"),
        ("six channels tif", "--bands"),
        ("16-bit tif", "--range LO HI"),
        ("float tif", "--range LO HI"),
    ],
)
def test_bad_images_are_refused_in_one_sentence(
    fctl: Fctl, tmp_path: Path, tiny_checkpoint: Path, kind: str, words: str
) -> None:
    path = write_bad_file(kind, tmp_path)
    out = tmp_path / "out.ome.zarr"
    outcome = fctl("segment", path, "--out", out, "--checkpoint", tiny_checkpoint, "--device", "cpu")
    sentence = outcome.sentence()
    assert str(path) in sentence

    assert re.search(words, sentence)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("info", ""), "the path of an image cannot be empty"),
        (("segment", " ", "--out", "s.ome.zarr"), "the path of an image cannot be empty"),
        (("segment", "i.png", "--out", ""), "the path of a result cannot be empty"),
        (("export", "s.ome.zarr", ""), "the path of a result cannot be empty"),
    ],
)
def test_an_empty_path_is_not_the_current_folder(fctl: Fctl, arguments: tuple[str, ...], words: str) -> None:
    assert words in fctl(*arguments).sentence()


def test_a_few_nan_end_no_run(fctl: Fctl, tmp_path: Path, tiny_checkpoint: Path) -> None:
    image = np.zeros((80, 80), np.float32)
    image[70, 70] = np.nan
    path = tmp_path / "nan.tif"
    tifffile.imwrite(path, image)
    assert re.search(r"no data +less than 1 % \(NaN\)", fctl("info", path).out)
    arguments = ("--out", tmp_path / "out.ome.zarr", "--checkpoint", tiny_checkpoint, "--device", "cpu")
    assert fctl("segment", path, *arguments, "--range", 0, 1).code == 0
    labels = Segmentation.open(tmp_path / "out.ome.zarr").labels.read((0, 0, 80, 80))
    assert np.argwhere(labels == 0).tolist() == [[70, 70]]


@pytest.mark.parametrize("region", [(0, 0, 0, 50), (50, 0, 20, 50), (150, 0, 200, 50)])
def test_region_without_pixels(fctl: Fctl, rgb_png: Path, tmp_path: Path, tiny_checkpoint: Path, region: tuple) -> None:
    arguments = ("--out", tmp_path / "s.ome.zarr", "--checkpoint", tiny_checkpoint, "--region", *region)
    assert "holds no pixel" in fctl("segment", rgb_png, *arguments).sentence()


def test_unknown_checkpoint(fctl: Fctl, rgb_png: Path, tmp_path: Path) -> None:
    outcome = fctl("segment", rgb_png, "--out", tmp_path / "s.ome.zarr", "--checkpoint", "mars")
    assert "mars: there is no such checkpoint" in outcome.sentence()


def test_out_that_is_something_else(fctl: Fctl, rgb_png: Path, tmp_path: Path, tiny_checkpoint: Path) -> None:
    out = tmp_path / "s.ome.zarr"
    out.mkdir()
    (out / "thesis.tex").write_text("precious")
    arguments = ("--out", out, "--checkpoint", tiny_checkpoint, "--fresh", "--device", "cpu")
    assert "is not a segmentation" in fctl("segment", rgb_png, *arguments).sentence()
    assert (out / "thesis.tex").read_text() == "precious"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("segment", "x.png"), "missing option '--out'; fctl segment --help says what it takes."),
        (("evaluate", "x"), "missing argument 'TRUTH'; fctl evaluate --help says what it takes."),
        (("segment", "x", "--merge", "blend"), "'--merge': 'blend' is not one of 'crop', 'average', 'released'; fctl"),
        (
            ("finetune", "x", "--out", "y", "--steps", "0"),
            "'--steps': cannot be '0'; give a number of at least 1; fctl",
        ),
        (("errors", "x", "--most", "many"), "'--most': cannot be 'many'; give a whole number; fctl errors"),
        (("corrections", "bogus"), "no such command 'bogus'; fctl corrections --help says what it takes."),
        (("info", "x", "--bogus"), "no such option: --bogus"),
    ],
)
def test_wrong_usage_is_one_sentence(fctl: Fctl, arguments: tuple[str, ...], words: str) -> None:
    assert words in fctl(*arguments).sentence()


@pytest.mark.parametrize("arguments", [(), ("corrections",)])
def test_a_group_of_commands_alone_is_its_help(fctl: Fctl, arguments: tuple[str, ...]) -> None:
    outcome = fctl(*arguments)
    assert (outcome.code, outcome.err) == (2, "")
    assert "Usage: fctl" in outcome.out


def test_only_a_terminal_gets_a_bar(segmented_by_tiny: Path, tmp_path: Path) -> None:
    """A notebook sets FORCE_COLOR for what it runs, and shows what is written as text."""
    command = [sys.executable, "-m", "fctl_napari.cli", "export", str(segmented_by_tiny)]
    environment = {**os.environ, "FORCE_COLOR": "1", "TERM": "xterm"}
    run = partial(subprocess.run, env=environment, check=True, timeout=120)
    done = run([*command, str(tmp_path / "a.png")], capture_output=True)
    assert b"\x1b" not in done.stderr
    assert b"Exporting" not in done.stderr
    ours, theirs = os.openpty()
    run([*command, str(tmp_path / "b.png")], stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    assert b"\x1b" in os.read(ours, 100_000)
    os.close(ours)


@pytest.mark.parametrize(
    "wrong", [("--device", "abacus"), ("--device", "cuda:99"), ("--scheduler", "tcp://127.0.0.1:1")]
)
def test_a_run_that_cannot_start_leaves_nothing_and_takes_nothing_away(
    fctl: Fctl, segmented_by_tiny: Path, tiny_checkpoint: Path, tmp_path: Path, wrong: tuple[str, str]
) -> None:
    image, out = tmp_path / "image.png", tmp_path / "s.ome.zarr"
    Image.fromarray(np.zeros((80, 80, 3), np.uint8)).save(image)
    call = ("segment", image, "--checkpoint", tiny_checkpoint, "--device", "cpu", *wrong, "--out")
    assert wrong[1] in fctl(*call, out).err
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []
    shutil.copytree(segmented_by_tiny, out)
    before = Segmentation.open(out).labels.read((0, 0, 80, 80))
    assert wrong[1] in fctl(*call, out, "--fresh").err
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["s.ome.zarr"]
    assert Segmentation.open(out).done().all()
    assert np.array_equal(Segmentation.open(out).labels.read((0, 0, 80, 80)), before)
    assert fctl(*call[:-3], "--out", out, "--fresh").code == 0  # and it can be made afresh
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["s.ome.zarr"]


def test_full_disk(fctl: Fctl, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A library's own OSError, met outside the places that expect one, is still one sentence."""
    from fctl_napari.imagery import sample

    def write(*_: object, **__: object) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "0" / "c"))

    monkeypatch.setattr(sample, "write_sample", write)
    assert "the disk is full" in fctl("sample", tmp_path / "s").sentence()


def test_files_that_may_not_grow(tmp_path: Path) -> None:
    """A real refusal by the system, in a process of its own: files end at 20 kB there."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    noise = np.random.default_rng(0).integers(0, 255, (600, 600, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    process = fctl_process("convert", tmp_path / "noise.png", tmp_path / "out.ome.zarr", preexec_fn=limit)
    texts = process.communicate(timeout=120)
    outcome = Outcome(process.returncode, *texts)
    assert "cannot be written" in outcome.sentence()


def test_a_full_disk_is_reported_as_such() -> None:
    assert "disk is full" in str(output_error("f", OSError(errno.ENOSPC, "No space left on device")))


# -- images --------------------------------------------------------------------------------------------------------


def test_info_on_images_and_checkpoints(fctl: Fctl, rgb_png: Path, tiny_checkpoint: Path) -> None:
    assert "200 x 150 px" in fctl("info", rgb_png).out
    facts = fctl("info", tiny_checkpoint).out
    assert "efficientnet_lite0" in facts
    assert "local (x 1), medium (x 2), large (whole image)" in facts


def test_rows_without_a_value_are_left_out(tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show_facts(card_facts(read_card(tiny_checkpoint).model_copy(update={"description": ""})))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("checkpoint ")
    assert not any(line.startswith("about") for line in lines)


def test_info_measures_what_is_not_8_bit(fctl: Fctl, tmp_path: Path, rgb_png: Path) -> None:
    """Its line can be pasted into the next command."""
    values = np.random.default_rng(0).integers(210, 3981, (64, 80, 3)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "i.tif", values, photometric="rgb")
    said = re.search(r"^values .*(--range (\d+) (\d+))$", fctl("info", tmp_path / "i.tif").out, re.MULTILINE)
    assert said is not None
    assert 210 <= int(said[2]) < 240 < 3950 < int(said[3]) <= 3980
    assert fctl("convert", tmp_path / "i.tif", tmp_path / "o.ome.zarr", *said[1].split()).code == 0
    assert f"{said[2]} .. {said[3]}" in fctl("info", tmp_path / "o.ome.zarr").out
    assert "values" not in fctl("info", rgb_png).out


def test_images_at_an_address(
    fctl: Fctl, serve: Callable, tmp_path: Path, rgb_png: Path, tiny_checkpoint: Path, make_rgb: Callable
) -> None:
    """They can be looked at, converted and segmented, the last like the file itself."""
    (tmp_path / "there").mkdir()
    assert fctl("convert", rgb_png, tmp_path / "there" / "i.ome.zarr").code == 0
    url = f"{serve(tmp_path / 'there').url}/i.ome.zarr"
    assert "200 x 150 px" in fctl("info", url).out
    assert fctl("convert", url, tmp_path / "copy.ome.zarr").code == 0
    assert "200 x 150 px" in fctl("info", tmp_path / "copy.ome.zarr").out
    results = []
    for image, name in ((url, "remote"), (rgb_png, "local")):
        out = tmp_path / f"{name}.ome.zarr"
        outcome = fctl("segment", image, "--out", out, "--checkpoint", tiny_checkpoint, "--device", "cpu")
        assert outcome.code == 0, outcome.err
        results.append(Segmentation.open(out))
    assert results[0].image_path == url
    window = (0, 0, 150, 200)
    np.testing.assert_array_equal(results[0].labels.read(window), results[1].labels.read(window))
    assert "give a path" in fctl("convert", rgb_png, url + "2").sentence()
    outcome = fctl("segment", url + "x", "--out", tmp_path / "no", "--checkpoint", tiny_checkpoint, "--device", "cpu")
    assert "there is nothing at this address" in outcome.sentence()


def test_convert_and_its_second_run(fctl: Fctl, rgb_png: Path, tmp_path: Path) -> None:
    out = tmp_path / "c.ome.zarr"
    assert fctl("convert", rgb_png, out).code == 0
    assert fctl("convert", rgb_png, out).code == 0
    assert "200 x 150 px" in fctl("info", out).out
