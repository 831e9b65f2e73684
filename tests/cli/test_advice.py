"""What a message advises can be done: each option and each command that it names exists where it is read."""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import pytest
import tifffile
import typer
from helpers_commands import Fctl
from PIL import Image

import fctl_napari
from fctl_napari.cli.app import app

PACKAGE = Path(fctl_napari.__file__).parent
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
NAMED = re.compile(r"\bfctl\b|--[a-z]")
"""What stands in every file with such a sentence."""
CALL = re.compile(r"fctl ((?:[a-z][a-z-]* ?)+)((?:[^;,.()]|\.(?=\w))*)")

SHOWN = {"convert", "segment", "explain", "finetune", "train", "ablate run", "data check", "data convert"}
RUNS = {"segment", "refine"}
EXPORTS = {"export", "corrections export"}
RAISED_BY = {
    "evaluation/context_reliance.py": {"evaluate"},
    "cli/info.py": {"info"},
    "cli/ablate.py": {"ablate run"},
    "cli/chosen_map.py": {"export", "evaluate", "report"},
    "cli/corrections.py": {"corrections import"},
    "cli/data.py": {"data check"},
    "correcting/class_edit.py": {"corrections classes"},
    "model/deepness.py": {"model onnx"},
    "model/onnx_export.py": {"model onnx"},
    "cli/model_wrap.py": {"model wrap"},
    "model/folders/imported.py": {"model import"},
    "model/folders/read_smp.py": {"model import"},
    "model/onnx_files/deepness_metadata.py": {"model import"},
    "model/onnx_files/read.py": {"model import"},
    "segmentation/jobs/loaded_networks.py": RUNS | {"explain"},
    "cli/evaluate.py": {"evaluate", "errors", "compare"},
    "cli/points.py": {"points set"},
    "cli/finetune.py": {"finetune"},
    "cli/corrected_images.py": {"finetune"},
    "cli/segment.py": {"segment"},
    "cli/segment_several.py": {"segment"},
    "evaluation/unclear_classes.py": {"evaluate"},
    "imagery/labels/polygon_files.py": {"corrections import"},
    "imagery/pyramid.py": SHOWN,
    "imagery/band_matching.py": SHOWN,
    "cli/options.py": SHOWN,
    "segmentation/inference/engines.py": {"segment"},
    "segmentation/inference/network_image.py": {"segment", "explain", "finetune"},
    "ablation/bands.py": {"ablate run"},
    "ablation/plan.py": {"ablate run"},
    "training/distributed.py": {"train"},
    "training/band_figures.py": {"train", "ablate run"},
    "training/config.py": {"train", "ablate run"},
    "segmentation/jobs/driver.py": RUNS,
    "exporting/export.py": EXPORTS,
    "segmentation/jobs/engine.py": RUNS,
    "segmentation/jobs/refining.py": {"refine"},
    "segmentation/store/store_lock.py": RUNS,
}
"""Which commands show the sentences of a file that name options without the command that has them.

Whoever writes such a sentence names here all commands that show it, or the command in the sentence (``fctl segment
--fresh``).
"""
OF_OTHERS = {
    ("cli/tables.py", "--raw"): {"evaluate"},
    ("cli/corrections.py", "--merge"): {"corrections classes"},
    ("cli/points.py", "--least"): {"points draw"},
    ("cli/chosen_map.py", "--raw"): {"export", "evaluate", "report", "points draw"},
    ("cli/facts.py", "--image"): {"info", "segment", "convert"},
    ("cli/finetune.py", "--inherit"): {"segment"},
    ("cli/finetune.py", "--corrections"): {"segment"},
}
"""Sentences that another command shows than the others of their file."""


def commands() -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}

    def collect(command: click.Command, name: str) -> None:
        found[name] = command
        for child, inner in getattr(command, "commands", {}).items():
            collect(inner, f"{name} {child}".strip())

    collect(typer.main.get_command(app), "")
    return found


ARGUMENTS = {
    **{"--range": "value_range", "--band-names": "bands", "--map": "mapping", "--min-area": "min_area"},
    **{"--holdout": "settings", "--set": "settings"},
    **{f"--{name}": name for name in ("bands", "batch", "device", "fresh", "region", "kind", "simplify", "maps")},
}
"""Arguments of the public functions that are options of commands."""
IN_PYTHON = "in Python: "
OF_COMMANDS = {
    "evaluation/points/checked_points.py",
    "exporting/logits.py",
    "training/distributed.py",
    "correcting/files.py",
}
"""Files whose sentences only commands show: the public functions do nothing of the kind."""

COMMANDS = commands()
OPTIONS = {
    name: {option for p in command.params for option in (*p.opts, *p.secondary_opts)} | {"--help"}
    for name, command in COMMANDS.items()
}


def texts(source: str) -> Iterator[tuple[int, str]]:
    """Sentences of a module: its strings with spaces, what is put into them as ``{}``; no docstrings."""
    if not NAMED.search(source):
        return
    nodes = list(ast.walk(ast.parse(source)))
    inner: set[int] = set()
    for node in nodes:
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr):
                inner.add(id(first.value))
        if isinstance(node, ast.JoinedStr):
            inner |= {id(part) for part in node.values}
    for node in nodes:
        if id(node) in inner:
            continue
        if isinstance(node, ast.JoinedStr):
            parts = [str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values]
            yield node.lineno, "".join(parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.lineno, node.value


def named_calls(text: str) -> tuple[list[tuple[str, set[str]]], str]:
    """The calls of commands that a text names, with their options; and the text without them."""
    calls = []
    for match in CALL.finditer(text):
        words = match[1].split()
        while words and " ".join(words) not in COMMANDS:
            words.pop()
        calls.append((" ".join(words), set(OPTION.findall(match[2]))))
    return calls, CALL.sub("", text)


SENTENCES = [
    (str(file.relative_to(PACKAGE)), line, text)
    for file in sorted(PACKAGE.rglob("*.py"))
    for line, text in texts(file.read_text("utf-8"))
    if OPTION.search(text) or "fctl " in text
]


def test_there_are_sentences_to_look_at() -> None:
    assert len(SENTENCES) > 30
    assert any("--range" in text for _, _, text in SENTENCES)
    calls, rest = named_calls("no maps; run fctl segment --maps --fresh, or fctl corrections info with --json.")
    assert calls == [("segment", {"--maps", "--fresh"}), ("corrections info", {"--json"})]
    assert not OPTION.search(rest)
    assert named_calls("start it afresh (--fresh), see fctl info")[1].startswith("start it afresh (--fresh), see ")


@pytest.mark.parametrize(("file", "line", "text"), SENTENCES)
def test_options_and_commands_of_a_sentence_exist(file: str, line: int, text: str) -> None:
    if file.startswith("cli") and any(text == (p.help or "") for c in COMMANDS.values() for p in c.params):
        return  # see below
    calls, rest = named_calls(text)
    for command, options in calls:
        if command:  # else no call: the program's name
            assert options <= OPTIONS[command], f"fctl {command} has not all of them"
    for option in OPTION.findall(rest):
        shown_by = OF_OTHERS.get((file, option)) or RAISED_BY.get(file, set())
        assert shown_by, f"{file}:{line}: name the command that has {option}, or list above who shows this"
        for command in shown_by:
            assert option in OPTIONS[command], f"{file}:{line}: fctl {command} has no {option}"


@pytest.mark.parametrize(
    ("file", "line", "text"),
    [one for one in SENTENCES if not one[0].startswith(("cli", "plugin")) and one[0] not in OF_COMMANDS],
)
def test_sentences_that_name_options_name_the_arguments_of_the_functions_too(file: str, line: int, text: str) -> None:
    said = text.partition(IN_PYTHON)[2]
    for option in ARGUMENTS.keys() & set(OPTION.findall(text)):
        assert ARGUMENTS[option] in said, f"{file}:{line}: say ({IN_PYTHON}{ARGUMENTS[option]}) behind {option}"


def test_arguments_that_sentences_name_exist() -> None:
    functions = [getattr(fctl_napari, name) for name in fctl_napari.__all__]
    known = {name for one in functions if callable(one) for name in inspect.signature(one).parameters}
    assert set(ARGUMENTS.values()) <= known


@pytest.mark.parametrize("name", COMMANDS)
def test_options_that_help_texts_name_exist(name: str) -> None:
    command = COMMANDS[name]
    for text in [command.help or "", *(getattr(p, "help", None) or "" for p in command.params)]:
        calls, rest = named_calls(text)
        for other, options in calls:
            assert not other or options <= OPTIONS[other], text
        assert set(OPTION.findall(rest)) <= OPTIONS[name] | {"--nproc"}, text  # torchrun's


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    """A data set of 16 bits and five bands, and a checkpoint's settings to train on it."""
    folder = tmp_path / "set"
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    rng = np.random.default_rng(0)
    ground_truth = (np.arange(120) // 20 % 2 + np.zeros((100, 1))).astype(np.uint8)
    for k in range(4):
        pixels = rng.integers(0, 3000, (100, 120, 5)).astype(np.uint16)
        tifffile.imwrite(folder / "images" / f"{k}.tif", pixels, photometric="minisblack", planarconfig="contig")
        Image.fromarray(ground_truth).save(folder / "masks" / f"{k}.png")
    classes = [{"name": "a", "color": [255, 0, 0]}, {"name": "b", "color": [0, 255, 0]}]
    (folder / "classes.json").write_text(json.dumps({"classes": classes}))
    settings = 'name = "t"\npreset = "fctl_lite"\nsteps = 1\nbatch = 1\n[network]\ntile_size = 64\nwidth = 8\n[data]\n'
    (tmp_path / "t.toml").write_text(f'{settings}layout = "pairs"\n')
    return folder


VALUES = {"--range": ("0", "3000"), "--bands": ("4", "1", "0")}


@pytest.mark.parametrize("command", ["data check", "data convert", "train", "segment", "convert", "explain"])
def test_who_follows_the_advice_on_deep_images_gets_through(
    fctl: Fctl, deep: Path, tmp_path: Path, tiny_checkpoint: Path, command: str
) -> None:
    image, out = deep / "images" / "0.tif", tmp_path / "out.ome.zarr"
    call: list[object] = {
        "data check": [deep],
        "data convert": [deep, tmp_path / "copy"],
        "train": [tmp_path / "t.toml", "--data", deep, "--out", tmp_path / "run", "--device", "cpu"],
        "segment": [image, "--out", out, "--checkpoint", tiny_checkpoint, "--device", "cpu"],
        "convert": [image, out],
        "explain": [image, 50, 50, "--checkpoint", tiny_checkpoint, "--device", "cpu"],
    }[command]
    given: set[str] = set()
    while True:
        code, said, err = fctl(*command.split(), *call)
        advised = {option for option in OPTION.findall(said + err) if option in VALUES} - given
        if code == 0:
            break
        assert code == 2
        assert advised, f"no way on: {said}{err}"
        for option in advised:
            given.add(option)
            call += [option, *VALUES[option]]
    if command != "convert":  # it keeps the values as they are
        assert given == set(VALUES)
