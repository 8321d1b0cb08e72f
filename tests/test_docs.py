"""Links of README and docs lead to files and headings that are there, and the README's index has every page."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\(([^)\s]+)\)")


def text_of(page):
    """Without code, in which brackets are no links."""
    text = page.read_text(encoding="utf-8")
    return re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)


def anchors(page):
    """GitHub's: lower case, without punctuation, a hyphen for each space."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    links = [link for link in LINK.findall(text_of(page)) if "://" not in link]
    for link in links:
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_readme_is_short_and_has_every_page_in_its_index():
    readme = ROOT / "README.md"
    assert len(readme.read_text(encoding="utf-8").split()) < 1900
    index = text_of(readme).partition("## Further")[2]
    assert {link.partition("/")[2] for link in LINK.findall(index)} == {page.name for page in PAGES[1:]}
