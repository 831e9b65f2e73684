"""Check of the package's words: no retired word in a name, no summary that begins with a question word.

``python scripts/check_words.py`` prints what it finds, and ends with 1 if there is something. The words and what to say
instead stand in ``docs/glossary.md``.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "fctl_napari"
INSTEAD = {
    "asking": "client",
    "called": "predicted",
    "centre": "center",
    "centres": "centers",
    "colour": "color",
    "colours": "colors",
    "doubt": "uncertainty",
    "doubts": "uncertain",
    "grey": "gray",
    "growing": "layers",
    "hear": "receive",
    "heard": "received",
    "ledger": "write_ahead_log",
    "lesson": "target, run",
    "lessons": "targets, runs",
    "news": "progress, message",
    "painted": "edited, corrected",
    "place": "path, location, region",
    "places": "paths, locations, regions",
    "spot": "marker",
    "tell": "emit, report",
    "told": "emitted, reported",
    "trial": "candidate",
    "trials": "candidates",
    "truth": "ground_truth",
    "truths": "ground_truths",
    "verdict": "gate_result",
    "walk": "iter_blocks",
}
PHRASES = {"go_on": "resume", "measured_on": "held_out"}
KEYS = {
    # fields whose names stand in files that people have
    ("evaluation/review_marks.py", "truth"),
    ("evaluation/review_marks.py", "called"),
    ("finetuning/request.py", "truth"),
    ("finetuning/request.py", "truth_tiles"),
    ("training/data_settings.py", "truth"),
    # methods of Python's files
    ("imagery/formats/remote.py", "tell"),
}
QUESTIONS = ("What", "Which", "Whether", "Where", "How", "Of", "Who", "If")


def names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the names that a module defines, with their lines.

    Parameters
    ----------
    tree : ast.AST
        The module.

    Yields
    ------
    tuple of (int, str)
        Line and name.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id if isinstance(node, ast.Name) else node.attr


def retired(name: str) -> str:
    """Return the words to use instead of a name's retired words.

    Parameters
    ----------
    name : str
        A name.

    Returns
    -------
    str
        The words to use; empty if none is retired.
    """
    words = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)]
    text = "_".join(words).replace("ground_truth", "")
    for phrase, instead in PHRASES.items():
        if re.search(rf"(^|_){phrase}($|_)", text):
            return instead
    return next((INSTEAD[word] for word in text.split("_") if word in INSTEAD), "")


def check(file: Path) -> Iterator[str]:
    """Yield the findings on the words of a file.

    Parameters
    ----------
    file : Path
        A Python file of the package.

    Yields
    ------
    str
        One line for each finding.
    """
    relative = file.relative_to(PACKAGE).as_posix()
    tree = ast.parse(file.read_text("utf-8"))
    found = {(1, file.stem), *names(tree)}
    for line, name in sorted(found):
        instead = retired(name)
        if instead and (relative, name) not in KEYS:
            yield f"{relative}:{line}: {name}: say {instead}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            summary = (ast.get_docstring(node) or "").split("\n\n")[0]
            line = getattr(node, "lineno", 1)
            if summary.split(" ")[0] in QUESTIONS:
                yield f"{relative}:{line}: the summary begins with {summary.split(' ')[0]}"
            if ";" in summary and not relative.startswith("cli/"):  # those are what ``--help`` says
                yield f"{relative}:{line}: the summary has a semicolon"


def main() -> int:
    """Check all files of the package.

    Returns
    -------
    int
        Exit status.
    """
    findings = [line for file in sorted(PACKAGE.rglob("*.py")) for line in check(file)]
    print("\n".join(findings) or "no retired words")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
