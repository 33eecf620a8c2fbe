"""A registry names files with licence, use and digest; nothing in it leads out of its folder."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from curated_records import many, run, write

from xinglin.data.registry import Registry, ingredient, inside, read_registry, records_of, verify
from xinglin.errors import DataError
from xinglin.formats.row import Bad
from xinglin.types import Sample


def registry(folder: Path, text: str) -> Registry:
    (folder / "data.yaml").write_text(text, encoding="utf-8")
    return read_registry(folder / "data.yaml")


def test_an_entry_has_its_members_and_what_its_licence_and_use_allow(tmp_path: Path) -> None:
    digest = "a" * 64
    found = registry(
        tmp_path,
        f"内科:\n  path: raw/a.csv\n  format: toyhom\n  sha256: {digest}\n  licence: MIT\n  use: research\n"
        "  url: https://example.org\n  note: 自撰\nbare: {path: b.jsonl}\n",
    )
    entry = found.entry("内科")
    assert (entry.path, entry.format, entry.sha256) == (tmp_path.resolve() / "raw/a.csv", "toyhom", digest)
    assert entry.uses == {"research", "internal"}
    assert found.entry("bare").uses == {"internal"}
    with pytest.raises(DataError, match="no entry 'bear'") as raised:
        found.entry("bear")
    assert "bare" in raised.value.fix


@pytest.mark.parametrize(
    ("text", "problem", "line"),
    [
        ("a:\n  path: x\n  licens: MIT\n", "unknown field licens", 3),
        ("a:\n  path: x\n  path: y\n", "field path twice", 3),
        ("a: {path: x}\na: {path: y}\n", "stands twice", 2),
        ("a:\n  licence: MIT\n", "no path", 1),
        ("a:\n  path: x\n  sha256: 12\n", "64 hexadecimal", 3),
        ("a:\n  path: x\n  use: fun\n", "use is fun", 3),
        ("a:\n  path: x\n  format: odd\n", "no format odd", 3),
        ("a:\n  path: x\n  columns: [b]\n", "columns is no mapping", 3),
        ("- a\n", "a registry is", 1),
        ("a/b: {path: x}\n", "is no name", 1),
    ],
)
def test_mistakes_are_named_with_their_line(tmp_path: Path, text: str, problem: str, line: int) -> None:
    with pytest.raises(DataError, match=problem) as raised:
        registry(tmp_path, text)
    assert raised.value.where == f"{tmp_path / 'data.yaml'}:{line}"
    assert raised.value.code == 3


@pytest.mark.parametrize(
    "path",
    [
        "../../etc/passwd",
        "a/../../b",
        "/etc/passwd",
        "file:///etc/passwd",
        "https://example.org/a.json",
        "~/a.json",
        "C:\\data\\a.json",
        "..\\..\\a.json",
        "\\\\server\\share",
        "a\0b",
        "link/secret.json",
        "alias.json",
    ],
)
def test_a_path_that_leads_out_of_the_folder_is_refused(tmp_path: Path, path: str) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "secret.json").write_text("[]", encoding="utf-8")
    (root / "link").symlink_to(outside)
    (root / "alias.json").symlink_to(outside / "secret.json")
    with pytest.raises(DataError) as raised:
        inside(path, root, where="data.yaml:2")
    assert raised.value.where == "data.yaml:2"
    quoted = json.dumps(path)
    with pytest.raises(DataError):
        registry(root, f"a:\n  path: {quoted}\n")


def test_a_link_that_stays_inside_and_a_folder_below_are_fine(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.json").write_text("[]", encoding="utf-8")
    (tmp_path / "b.json").symlink_to(tmp_path / "raw" / "a.json")
    assert inside("b.json", tmp_path) == inside("raw/a.json", tmp_path)


def test_a_file_that_is_not_the_registered_one_is_refused_with_both_digests(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", many(2))
    wrong, right = "0" * 64, hashlib.sha256((tmp_path / "a.jsonl").read_bytes()).hexdigest()
    entry = registry(tmp_path, f"a:\n  path: a.jsonl\n  sha256: '{wrong}'\n").entry("a")
    with pytest.raises(DataError) as raised:
        list(records_of(entry))
    assert wrong in str(raised.value)
    assert right in str(raised.value)
    assert raised.value.where.endswith("data.yaml:1")
    assert verify(registry(tmp_path, f"a: {{path: a.jsonl, sha256: {right.upper()}}}\n").entry("a")) == right


def test_columns_are_renamed_before_the_format_looks(tmp_path: Path) -> None:
    rows = [{"问题": "头痛怎么办", "补充": "", "答案": "注意休息"}, {"问题": "发热怎么办", "补充": ""}]
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "utf-8")
    entry = registry(
        tmp_path, "a:\n  path: a.jsonl\n  columns: {问题: instruction, 补充: input, 答案: output}\n  licence: MIT\n"
    ).entry("a")
    first, second = records_of(entry)
    assert isinstance(first, Sample)
    assert [one.content for one in first.messages] == ["头痛怎么办", "注意休息"]
    assert first.origin.licence == "MIT"
    assert isinstance(second, Bad)
    assert "答案" in second.reason


def test_our_own_records_are_read_as_they_are_and_an_unknown_licence_is_filled_in(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", [*many(1, "甲", licence="unknown"), *many(1, "乙", licence="CC0-1.0")])
    found = list(records_of(registry(tmp_path, "a: {path: a.jsonl, licence: MIT}\n").entry("a")))
    assert [one.origin.licence for one in found if not isinstance(one, Bad)] == ["MIT", "CC0-1.0"]


def test_entries_are_mixed_by_name_and_their_use_limits_the_mix(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "a.jsonl", many(10, "甲", licence="MIT"))
    other = write(tmp_path / "b.jsonl", many(10, "乙", licence="MIT"))
    text = "a: {path: a.jsonl, licence: MIT, use: research}\n"
    found = registry(tmp_path, text)
    assert ingredient("a=2,5", found).cap == 5
    run("mix", "a=1", f"{other}=1", "-o", tmp_path / "out.jsonl", "--registry", found.path, "--json")
    shown = json.loads(capsys.readouterr().out)
    assert (shown["records"], shown["uses"]) == (20, ["internal", "research"])
    with pytest.raises(DataError, match="1 source"):
        run("licence", found.path)
    run("licence", found.path, "--use", "research")
    with pytest.raises(DataError, match="no entry"):
        run("mix", "c", "-o", tmp_path / "out.jsonl", "--registry", found.path)
