"""Hooks of the documentation site: pages from outside of ``docs``, notebooks, model cards, changes, and equations.

``mkdocs.yml`` names this file. A page from outside lies on the site where it lies in the repository, and links between
files of the repository become links of the site, so that they hold in both.
"""

from __future__ import annotations

import html
import posixpath
import re
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from nbconvert import MarkdownExporter

from fctl_napari.cli.facts import card_facts
from fctl_napari.model.model_card import builtin_checkpoints, read_card

ROOT = Path(__file__).resolve().parents[1]
OUTSIDE = (
    "CHANGELOG.md",
    "CITATION.cff",
    "CONTRIBUTING.md",
    "LICENSE",
    "benchmarks/*.md",
    "changes/README.md",
    "findings/*.sh",
    "findings/README.md",
    "notebooks/results/README.md",
    "sample_data/README.md",
)
"""Files outside of ``docs`` that belong to the site."""

LINK = re.compile(r"\]\((?!\w+:)([^)\s#]+)")
EQUATION = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)
ROLE = re.compile(r":(?:func|class|meth):<code>")
FETCHED = re.compile(r'<(?:link|script|img|iframe)\b[^>]*\b(?:src|href)="?((?:https?:)?//[^"\s>]+)')
CODE = re.compile(r"`[^`\n]+`")
FENCED = re.compile(r"(?ms)(^ *```.*?^ *```)")
LIST = re.compile(r"(?m)^((?![-*|] |\d+\. |[ #>]).+\n)(?=[-*] |1\. )")
CARDS = re.compile(r"<!-- model cards:.*?-->")
CHANGES = "<!-- towncrier release notes start -->"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files from outside of ``docs``, and a page for each notebook, with what it printed and drew.

    Parameters
    ----------
    files : Files
        Files of the site.
    config : MkDocsConfig
        Settings of the site.

    Returns
    -------
    Files
        All files.
    """
    for path in sorted(path for pattern in OUTSIDE for path in ROOT.glob(pattern)):
        name = path.relative_to(ROOT).as_posix()
        if files.get_file_from_path(name) is None:
            files.append(File(name, str(ROOT), config.site_dir, config.use_directory_urls))
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        names = {"unique_key": path.stem, "output_files_dir": path.stem}  # of pictures
        text, pictures = MarkdownExporter().from_filename(path, names)
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=text))
        for name, data in pictures["outputs"].items():
            files.append(File.generated(config, f"notebooks/{name}", content=data))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fill in model cards and changes, and turn links of the repository into links of the site.

    Parameters
    ----------
    markdown : str
        Text of the page.
    page : Page
        The page.
    config : MkDocsConfig
        Settings of the site.
    files : Files
        Files of the site.

    Returns
    -------
    str
        Text of the page on the site.
    """
    markdown = CARDS.sub(lambda _: model_cards(), markdown).replace(CHANGES, unreleased_changes())
    markdown = "".join(
        part if part.lstrip().startswith("```") else as_python_markdown(part) for part in FENCED.split(markdown)
    )
    folder = posixpath.dirname(page.file.src_uri)
    here = Path(page.file.abs_src_path or ROOT / page.file.src_uri).parent

    def on_the_site(link: re.Match[str]) -> str:
        target = (here / link[1]).resolve()
        if not target.is_relative_to(ROOT):
            return link[0]
        name = target.relative_to(ROOT).as_posix().removeprefix("docs/").replace(".ipynb", ".md")
        return "](" + posixpath.relpath(name, folder or ".")

    return LINK.sub(on_the_site, markdown)


def on_page_content(content: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Set equations as MathML, and drop Sphinx's roles in front of names.

    Parameters
    ----------
    content : str
        The page as HTML.
    page : Page
        The page.
    config : MkDocsConfig
        Settings of the site.
    files : Files
        Files of the site.

    Returns
    -------
    str
        The page as HTML.
    """
    content = EQUATION.sub(
        lambda found: convert(html.unescape(found[3]), display="block" if found[2] == "[" else "inline"), content
    )
    return ROLE.sub("<code>", content)


def as_python_markdown(text: str) -> str:
    """Write what GitHub's Markdown reads so that Python-Markdown reads the same.

    Parameters
    ----------
    text : str
        Markdown without fenced code.

    Returns
    -------
    str
        Markdown: no backslash before ``|`` in code, and an empty line before each list.
    """
    return LIST.sub(r"\1\n", CODE.sub(lambda code: code[0].replace("\\|", "|"), text))


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Refuse a page that fetches something from elsewhere.

    Parameters
    ----------
    output : str
        The whole page.
    page : Page
        The page.
    config : MkDocsConfig
        Settings of the site.

    Returns
    -------
    str
        The page as it is.
    """
    if found := FETCHED.search(output):
        raise PluginError(f"{page.file.src_uri}: fetches {found[1]}; the site has to be whole without a network.")
    return output


def model_cards() -> str:
    """Return the cards of the built-in checkpoints as a table.

    Returns
    -------
    str
        Markdown: a line for each fact that ``fctl info`` prints, a column for each checkpoint.
    """
    cards = [card_facts(read_card(path)) for path in builtin_checkpoints().values()]
    names, *facts = [[fact, *(card.get(fact, "") for card in cards)] for fact in {**cards[0], **cards[1]}]
    return "\n".join(f"| {' | '.join(row)} |" for row in (names, ["---"] * len(names), *facts))


def unreleased_changes() -> str:
    """Return the fragments of the changelog as a section.

    Returns
    -------
    str
        Markdown; empty where there are none.
    """
    sections = []
    for kind in ("added", "changed", "fixed", "removed"):
        fragments = [path.read_text("utf-8").strip() for path in sorted((ROOT / "changes").glob(f"+*.{kind}.md"))]
        if fragments:
            sections.append(f"### {kind.capitalize()}\n" + "\n".join(f"- {fragment}" for fragment in fragments))
    return "\n\n".join(["## Not released yet", *sections]) if sections else ""
