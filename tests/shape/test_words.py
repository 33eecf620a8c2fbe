"""Every page that users read exists in Chinese and in English, and both show the same commands.

README.md has README_EN.md, docs/NAME.md has docs/en/NAME.md. The pages below are bilingual in themselves. Pages for
people who work on the project (AGENTS.md, docs/decisions/) are English only.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from house import ROOT, name, split_page

BILINGUAL = frozenset({"coverage.md", "licences.md", "words.md"})
CHINESE = [ROOT / "README.md", *(page for page in sorted((ROOT / "docs").glob("*.md")) if page.name not in BILINGUAL)]
_COMMAND = re.compile(r"^\s*(?:\$ )?((?:\.venv/bin/)?(?:xinglin|make) .*?)\s*(?:#.*)?$")


def twin(page: Path) -> Path:
    return page.with_name("README_EN.md") if page.name == "README.md" else page.parent / "en" / page.name


def prose(page: Path) -> str:
    """The page's text outside code."""
    _, outside = split_page(page.read_text(encoding="utf-8"))
    return re.sub(r"`[^`]*`|\]\([^)]*\)|<[^>]*>", "", "\n".join(line for _, line in outside))


def chinese_share(text: str) -> float:
    """Chinese characters among Chinese characters and Latin words."""
    characters, words = len(re.findall(r"[\u4e00-\u9fff]", text)), len(re.findall(r"[A-Za-z]{2,}", text))
    return characters / max(characters + words, 1)


def commands(page: Path) -> list[str]:
    inside, _ = split_page(page.read_text(encoding="utf-8"))
    return [found[1] for _, line in inside if (found := _COMMAND.match(line))]


@pytest.mark.parametrize("page", CHINESE, ids=name)
def test_a_chinese_page_has_an_english_twin_that_shows_the_same_commands(page: Path) -> None:
    assert twin(page).is_file(), f"write {name(twin(page))}"
    assert commands(page) == commands(twin(page))


def test_an_english_page_has_a_chinese_twin() -> None:
    english = [page.name for page in (ROOT / "docs" / "en").glob("*.md")]
    assert [one for one in english if not (ROOT / "docs" / one).is_file()] == []


@pytest.mark.parametrize("page", CHINESE, ids=name)
def test_each_page_is_written_in_its_language(page: Path) -> None:
    assert chinese_share(prose(page)) > 0.5
    assert chinese_share(prose(twin(page))) < 0.3


@pytest.mark.parametrize("page", sorted(BILINGUAL))
def test_a_bilingual_page_speaks_both(page: str) -> None:
    assert 0.2 < chinese_share(prose(ROOT / "docs" / page)) < 0.95
