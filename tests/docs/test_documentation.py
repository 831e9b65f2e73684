"""The documentation names what is there: files, headings, commands, options and public functions."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer

import fctl_napari
from fctl_napari.cli.app import app

ROOT = Path(__file__).parents[2]
FOLDERS = (".", "benchmarks", "changes", "docs", "findings", "notebooks/results", "sample_data")
PAGES = sorted(path for folder in FOLDERS for path in (ROOT / folder).glob("[!+]*.md"))
FENCED = re.compile(r"(?ms)^ *```.*?^ *```")
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]+))?\)")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
CALL = re.compile(r"(?m)\bfctl ([^`\n#]+)")


def prose(page: Path) -> str:
    return FENCED.sub("", page.read_text("utf-8"))


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub and the site make them."""
    headings = re.findall(r"(?m)^#+ (.+)$", prose(page))
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for name, anchor in LINK.findall(prose(page)):
        target = page.parent / name if name else page
        assert target.exists(), f"{name} is not there"
        if anchor:
            assert anchor in anchors(target), f"{name}#{anchor}: there is no such heading"


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 110


def test_readme_leads_to_each_task() -> None:
    linked = {name for name, _ in LINK.findall(prose(ROOT / "README.md"))}
    nav = (ROOT / "mkdocs.yml").read_text("utf-8")
    tasks = re.findall(r": (\w+\.md)\n", nav[nav.index("Tasks:") : nav.index("faq.md")])
    assert len(tasks) > 8
    assert {f"docs/{name}" for name in tasks} <= linked


def commands() -> Iterator[tuple[str, set[str]]]:
    """Names of all commands, with their options."""

    def below(command: click.Command, name: str) -> Iterator[tuple[str, set[str]]]:
        inner = getattr(command, "commands", {})
        if not inner:
            yield name, {option for p in command.params for option in (*p.opts, *p.secondary_opts)} | {"--help"}
        for child, each in inner.items():
            yield from below(each, f"{name} {child}".strip())

    yield from below(typer.main.get_command(app), "")


COMMANDS = dict(commands())


def options_of(call: str) -> set[str] | None:
    """Options of the commands that a call like ``points draw|set S`` or ``points`` may mean; None if there is none."""
    first, *rest = call.split()
    second = rest[0].replace("\\", "").split("|") if rest else []
    names = [f"{first} {word}" for word in second if f"{first} {word}" in COMMANDS]
    if not names:
        names = [name for name in COMMANDS if name.split()[0] in first.split("|")]
    return set().union(*(COMMANDS[name] for name in names)) if names else None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_have_the_options_that_are_shown(page: Path) -> None:
    text = page.read_text("utf-8").replace("\\\n", " ")
    code = "\n".join([*FENCED.findall(text), *re.findall(r"`(fctl [^`\n]+)`", FENCED.sub("", text))])
    for call in CALL.findall(code):
        if call.split()[0] in ("COMMAND", "--help"):
            continue
        options = options_of(call)
        assert options is not None, f"fctl {call}: there is no such command"
        assert set(OPTION.findall(call)) <= options, f"fctl {call}: has not all of these options"


def test_each_command_stands_in_the_table_with_options_that_it_has() -> None:
    rows = re.findall(r"(?m)^\| `fctl ([^`]+)` \|(.*)$", (ROOT / "docs" / "commands.md").read_text("utf-8"))
    there: set[str] = set()
    for call, words in rows:
        named = {call.split()[0], *(other.split()[0] for other in CALL.findall(words))}
        own = {name: options for name, options in COMMANDS.items() if name.split()[0] in named}
        there |= {name for name in own if re.search(rf"\b{name.split()[-1]}\b", call + words)}
        assert set(OPTION.findall(words)) <= set().union(*own.values()), f"fctl {call}: has not all of these options"
    assert there == set(COMMANDS)


PUBLIC = {*fctl_napari.__all__, "open"}


def test_the_reference_has_all_public_names() -> None:
    text = (ROOT / "docs" / "reference.md").read_text("utf-8")
    shown = {line.rpartition(".")[2] for line in text.splitlines() if line.startswith(":::")}
    assert shown >= PUBLIC
    overview = (ROOT / "docs" / "api.md").read_text("utf-8")
    functions = {name for name in PUBLIC if inspect.isfunction(getattr(fctl_napari, name))}
    assert functions <= set(re.findall(r"(?m)^\| `(\w+)\(", overview))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_public_functions_that_are_shown_exist(page: Path) -> None:
    assert set(re.findall(r"\bfctl\.(\w+)\(", page.read_text("utf-8"))) <= PUBLIC
