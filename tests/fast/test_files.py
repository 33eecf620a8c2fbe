"""Files: strict encodings with line numbers, tables, records, writes that are whole or absent, digests."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from xinglin import files
from xinglin.errors import DataError
from xinglin.types import Message, Verdict

CHINESE = "甲状腺功能亢进，多食易饥。\n腹痛，2023年。\n"


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("codec", "found"), [("utf-8", "utf-8"), ("utf-8-sig", "utf-8"), ("gb18030", "gb18030"), ("gbk", "gb18030")]
)
def test_utf8_with_or_without_a_mark_and_gb18030_give_the_same_text(tmp_path: Path, codec: str, found: str) -> None:
    document = files.read_document(write(tmp_path / "a.txt", CHINESE.encode(codec)))
    assert (document.text, document.encoding) == (CHINESE, found)


def test_a_mark_before_gb18030_text_is_no_part_of_the_text(tmp_path: Path) -> None:
    document = files.read_document(write(tmp_path / "a.txt", b"\xef\xbb\xbf" + CHINESE.encode("gb18030")))
    assert (document.text, document.encoding) == (CHINESE, "gb18030")


def test_characters_that_only_gb18030_has_in_four_bytes_are_read(tmp_path: Path) -> None:
    text = "㐀𠮷😀 5 μg\n" * 3
    assert files.read_document(write(tmp_path / "a.txt", text.encode("gb18030"))).text == text


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf16_is_refused_with_the_way_to_convert_it(tmp_path: Path, codec: str) -> None:
    data = ("name,symptom\n" + CHINESE).encode(codec)
    with pytest.raises(DataError) as caught:
        files.read_document(write(tmp_path / "a.csv", data))
    assert "UTF-16" in caught.value.problem or "NUL" in caught.value.problem
    assert "UTF-8" in caught.value.fix
    assert caught.value.where.startswith(str(tmp_path / "a.csv"))


def test_a_byte_of_another_encoding_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        files.read_document(write(tmp_path / "a.txt", b"plain\nplain\nplain caf\xff\n"))
    assert caught.value.where == f"{tmp_path / 'a.txt'}:3"
    assert "0xff" in caught.value.problem


@pytest.mark.parametrize(
    ("parts", "line"),
    [
        (((CHINESE, "utf-8"), (CHINESE, "gb18030")), 3),
        (((CHINESE, "gb18030"), (CHINESE, "utf-8")), 3),
        ((("ascii\n", "ascii"), ("多食易饥\n", "gb18030"), ("甲状腺功能亢进\n", "utf-8")), 3),
    ],
)
def test_a_file_of_two_encodings_is_refused_at_the_line_where_it_turns(
    tmp_path: Path, parts: tuple[tuple[str, str], ...], line: int
) -> None:
    data = b"".join(text.encode(codec) for text, codec in parts)
    with pytest.raises(DataError, match="mixes") as caught:
        files.read_document(write(tmp_path / "a.txt", data))
    assert caught.value.where == f"{tmp_path / 'a.txt'}:{line}"


def test_utf8_that_was_cut_off_within_a_character_is_not_read_as_gb18030(tmp_path: Path) -> None:
    data = ("多食易饥" * 3).encode()[:-2]
    assert data.decode("gb18030"), "GB18030 takes these bytes without complaint"
    with pytest.raises(DataError, match="damaged"):
        files.read_document(write(tmp_path / "a.txt", data))


def test_a_missing_file_names_its_neighbours(tmp_path: Path) -> None:
    write(tmp_path / "drug.json", b"[]")
    with pytest.raises(DataError, match="no such file") as caught:
        files.read_document(tmp_path / "drugs.json")
    assert caught.value.fix == "did you mean drug.json?"
    with pytest.raises(DataError) as caught:
        files.read_document(tmp_path / "no" / "where.json")
    assert str(tmp_path / "no") in caught.value.fix


@pytest.mark.parametrize("read", [files.read_bytes, files.digest_file])
def test_folders_and_paths_through_files_are_no_files(tmp_path: Path, read: Callable[[Path], object]) -> None:
    inner = write(tmp_path / "a.txt", b"a")
    with pytest.raises(DataError, match="folder, a file is needed"):
        read(tmp_path)
    with pytest.raises(DataError, match="no folder"):
        read(inner / "b.txt")
    with pytest.raises(DataError, match="no such file"):
        read(tmp_path / "b.txt")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_says_so(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", b"a")
    path.chmod(0)
    with pytest.raises(DataError, match="no permission"):
        files.read_bytes(path)


def table(path: Path, text: str) -> list[tuple[int, dict[str, str]]]:
    return list(files.read_table(write(path, text.encode())))


def test_rows_carry_the_line_they_start_on_through_quotes_and_blank_lines(tmp_path: Path) -> None:
    rows = table(tmp_path / "a.csv", 'name,note\n甲,"一\n二"\n\n乙,"说""话"",逗号"\r\n,\n丙,三')
    assert rows == [
        (2, {"name": "甲", "note": "一\n二", "": ""}),
        (5, {"name": "乙", "note": '说"话",逗号', "": ""}),
        (7, {"name": "丙", "note": "三", "": ""}),
    ]


def test_cells_beyond_the_header_and_under_nameless_columns_are_kept_apart(tmp_path: Path) -> None:
    rows = table(tmp_path / "a.csv", "name, note ,,\n甲\n乙,b,c\n丙,b,,d,e\n丁,b,,\n")
    assert [cells[""] for _, cells in rows] == ["", "c", "d,e", ""]
    assert [cells["note"] for _, cells in rows] == ["", "b", "b", "b"]


@pytest.mark.parametrize(
    ("text", "problem", "line"),
    [
        ("", "no header", 1),
        (",,\n甲,乙,丙\n", "no header", 1),
        ("name,symptom,name\n甲,乙,丙\n", "twice: name", 1),
        ('name\n甲\n"乙\n丙\n', "malformed CSV", 4),
        ('name\n甲\n"乙"丙\n', "malformed CSV", 3),
    ],
)
def test_a_malformed_table_is_refused_with_its_line(tmp_path: Path, text: str, problem: str, line: int) -> None:
    with pytest.raises(DataError, match=problem) as caught:
        table(tmp_path / "a.csv", text)
    assert caught.value.where == f"{tmp_path / 'a.csv'}:{line}"
    assert caught.value.fix


def test_a_table_with_a_nul_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="NUL") as caught:
        table(tmp_path / "a.csv", "name\n甲\n乙\0\n")
    assert caught.value.where.endswith(":3")


def test_records_are_written_one_a_line_without_defaults_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "verdicts.jsonl"
    verdicts = [Verdict("sample-1", "王", True), Verdict("sample-2", "李", False, note="剂量\n不对")]
    assert files.write_records(path, verdicts) == 2
    assert path.read_text(encoding="utf-8").splitlines() == [
        '{"record":"sample-1","by":"王","keep":true}',
        '{"record":"sample-2","by":"李","keep":false,"note":"剂量\\n不对"}',
    ]
    assert files.read_records(path, Verdict) == verdicts


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"record":"a","by":"b"}', "keep: Field required"),
        ('{"record":"a","by":"b","keep":"perhaps"}', "keep: Input should be a valid boolean"),
        ('{"record":"a","by":"b","keep":true', "Invalid JSON"),
        ("[]", "not a Verdict"),
        ("null", "not a Verdict"),
    ],
)
def test_a_malformed_record_is_named_with_file_line_and_member(tmp_path: Path, line: str, problem: str) -> None:
    path = write(tmp_path / "v.jsonl", f'{{"record":"a","by":"b","keep":true}}\n\n{line}\n'.encode())
    with pytest.raises(DataError, match="not a Verdict") as caught:
        files.read_records(path, Verdict)
    assert caught.value.where == f"{path}:3"
    assert problem in caught.value.problem


def test_malformed_json_is_named_with_its_line(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", b'{\n "a": 1,\n "b": \n}\n')
    with pytest.raises(DataError, match="malformed JSON") as caught:
        files.read_json(path)
    assert caught.value.where == f"{path}:4"


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    files.write_json(path, {"甲": 1})
    before = path.read_bytes()

    def some() -> Iterator[Verdict]:
        yield Verdict("a", "b", True)
        raise ValueError("the source of the records broke")

    with pytest.raises(ValueError, match="broke"):
        files.write_records(path, some())
    with pytest.raises(UnicodeEncodeError):
        files.write_text(path, "half\ud800")
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["a.json"]


def test_json_is_written_with_sorted_keys_readable_and_whole(tmp_path: Path) -> None:
    files.write_json(tmp_path / "a.json", {"b": [1], "a": "甲"})
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{\n  "a": "甲",\n  "b": [\n    1\n  ]\n}\n'
    assert files.read_json(tmp_path / "a.json") == {"a": "甲", "b": [1]}
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o644


FULL = """
import resource, sys
from pathlib import Path
from xinglin import files
from xinglin.errors import MedError
from xinglin.types import Verdict
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
try:
    files.write_records(Path(sys.argv[1]), (Verdict(f"sample-{at}", "b", True) for at in range(10_000)))
except MedError as error:
    print(type(error).__name__, error, sep="\\n")
    sys.exit(error.code)
"""


def test_a_full_disk_stops_with_code_7_and_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    files.write_records(path, [Verdict("old", "b", True)])
    done = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (7, "")
    assert done.stdout.startswith(f"CapError\n{path}: could not write")
    assert "fix: free some disk space" in done.stdout
    assert files.read_records(path, Verdict) == [Verdict("old", "b", True)]
    assert [one.name for one in tmp_path.iterdir()] == ["a.jsonl"]


def test_digests_are_sha256_and_depend_on_content_only(tmp_path: Path) -> None:
    data = os.urandom(3 << 20)
    path = write(tmp_path / "a.bin", data)
    assert files.digest_file(path) == files.digest_bytes(data) == hashlib.sha256(data).hexdigest()
    assert files.digest_json({"b": 1, "a": "甲"}) == files.digest_json(json.loads('{"a": "甲", "b": 1}'))
    assert files.digest_json({"a": 1}) != files.digest_json({"a": 2})


def test_the_digest_of_a_folder_leaves_out_logs_manifest_and_hidden_files(tmp_path: Path) -> None:
    for name in ("a.txt", "model/b.txt", "logs/time.txt", "manifest.json", ".lock", "model/.b.partial", "model/logs/c"):
        files.write_text(tmp_path / name, name)
    assert list(files.digest_folder(tmp_path)) == ["a.txt", "model/b.txt", "model/logs/c"]
    assert files.digest_folder(tmp_path)["a.txt"] == hashlib.sha256(b"a.txt").hexdigest()


def test_lines_are_streamed_without_their_ends_and_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("头痛\r\n发热\n\nend".encode("utf-8-sig"))
    assert list(files.stream_lines(path)) == [(1, "头痛"), (2, "发热"), (3, ""), (4, "end")]


def test_a_line_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("头痛\n".encode() + "发热\n".encode("gb18030"))
    with pytest.raises(DataError, match="this line is not UTF-8") as caught:
        list(files.stream_lines(path))
    assert caught.value.where == f"{path}:2"


def test_records_are_streamed_as_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    files.write_records(path, [Message("user", "头痛"), Message("assistant", "休息")])
    assert list(files.stream_records(path, Message)) == files.read_records(path, Message)
    path.write_text('{"role": "user"}\n', encoding="utf-8")
    with pytest.raises(DataError, match="not a Message: content"):
        list(files.stream_records(path, Message))
