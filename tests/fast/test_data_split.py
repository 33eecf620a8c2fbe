"""A split keeps groups together, does not move old groups when data is added, and seals what is held out."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from curated_records import many, run, sample, write

from xinglin.data.split import Part, group_of, part_of, read_clusters, read_parts, split_files
from xinglin.data.streams import dedup_files
from xinglin.errors import DataError, RecipeError
from xinglin.files import read_records
from xinglin.types import Origin, Passage, Sample

HALVES = (Part("train", 0.5), Part("test", 0.5))


def grouped(groups: int, each: int = 3) -> list[Sample]:
    return [record for at in range(groups) for record in many(each, f"组{at}", group=f"g{at}")]


def groups_in(path: Path) -> set[str]:
    return {record.origin.group for record in read_records(path, Sample)}


def test_no_group_is_in_two_parts_and_nothing_is_lost(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", grouped(200))
    done = split_files([source], tmp_path / "out", read_parts("train=0.8,dev=0.1,test=0.1"))
    found = [groups_in(tmp_path / "out" / f"{name}.jsonl") for name in ("train", "dev", "test")]
    assert sum(map(len, found)) == len(set.union(*found)) == done.groups == 200
    assert sum(done.records.values()) == 600
    assert 130 <= len(found[0]) <= 185
    assert min(map(len, found)) >= 8


def test_data_that_is_added_moves_no_old_group_and_the_order_of_parts_does_not_matter(tmp_path: Path) -> None:
    few, more = write(tmp_path / "few.jsonl", grouped(60)), write(tmp_path / "more.jsonl", grouped(200)[::-1])
    split_files([few], tmp_path / "a", HALVES, seed=3)
    split_files([more], tmp_path / "b", HALVES[::-1], seed=3)
    for name in ("train", "test"):
        assert groups_in(tmp_path / "a" / f"{name}.jsonl") <= groups_in(tmp_path / "b" / f"{name}.jsonl")
    split_files([few], tmp_path / "c", HALVES, seed=4)
    assert groups_in(tmp_path / "a" / "test.jsonl") != groups_in(tmp_path / "c" / "test.jsonl")


def test_a_part_of_a_number_gets_about_so_many_records_in_whole_groups(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", grouped(50))
    done = split_files([source], tmp_path / "out", read_parts("train=rest,test=30"))
    assert done.records == {"train": 120, "test": 30}


def test_what_is_held_out_has_a_seal_that_sha256sum_can_check(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", grouped(40))
    done = split_files([source], tmp_path / "out", HALVES)
    digest, name = (tmp_path / "out" / "test.sha256").read_text("utf-8").split()
    assert digest == hashlib.sha256((tmp_path / "out" / name).read_bytes()).hexdigest() == done.digests["test"]
    assert not (tmp_path / "out" / "train.sha256").exists()


def test_near_duplicates_stay_together_and_chains_of_them_too(tmp_path: Path) -> None:
    base = "最近一周反复头痛并且伴有恶心呕吐，吃了止痛药没有效果，请问需要做什么检查"
    copies = [sample(base.replace("一周", f"{word}周"), group=f"copy{word}") for word in "一两三四五六七八"]
    source = write(tmp_path / "in.jsonl", [*copies, *grouped(40)])
    dedup_files([write(tmp_path / "copies.jsonl", copies)], tmp_path / "kept.jsonl", threshold=0.5, part="prompt")
    for name in ("removed", "groups"):
        clusters = read_clusters(tmp_path / f"kept.jsonl.{name}.jsonl")
        for seed in range(4):
            split_files([source], tmp_path / f"{name}{seed}", HALVES, seed=seed, clusters=clusters)
            parts = [
                {record.id for record in read_records(tmp_path / f"{name}{seed}" / f"{part}.jsonl", Sample)}
                for part in ("train", "test")
            ]
            assert any({record.id for record in copies} <= part for part in parts)
    chain = [[copies[at].id, copies[at + 1].id] for at in (0, 4, 2, 6, 1, 5, 3)]
    done = split_files([source], tmp_path / "out", HALVES, clusters=chain)
    assert done.groups == 41


def test_fewer_groups_than_parts_and_an_empty_part_are_refused(tmp_path: Path) -> None:
    one = write(tmp_path / "one.jsonl", many(5, group="g"))
    with pytest.raises(DataError, match=r"1 group\(s\) cannot be split into 2 parts"):
        split_files([one], tmp_path / "out", HALVES)
    with pytest.raises(DataError, match="gets none of the 2 groups"):
        split_files(
            [write(tmp_path / "two.jsonl", grouped(2))], tmp_path / "out", read_parts("train=0.998,a=0.001,b=0.001")[:2]
        )
    assert not (tmp_path / "out").exists()


def test_what_makes_a_group_is_chosen_by_name() -> None:
    plain, answered = sample("头痛怎么办？", "休息。"), sample("头痛怎么办", "就医。")
    assert group_of(plain) == group_of(answered)
    assert group_of(plain, "group") != group_of(answered, "group")
    assert group_of(sample(group="a"), "auto") == group_of(sample("别的问题", group="a"), "auto")
    assert group_of(sample(source="a"), "source") != group_of(sample(source="b"), "source")
    pages = [
        Passage(str(at), f"第{at}页", (), Origin("书.txt", str(at), "MIT", "document", group="书")) for at in (1, 2)
    ]
    assert group_of(pages[0], "document") == group_of(pages[1], "document")
    assert group_of(sample(tags=["entity:头痛"]), "entity") == group_of(
        sample("另一个", tags=["entity:头痛"]), "entity"
    )
    assert part_of("x", (Part("train"), Part("test", 0.3)), 0) in ("train", "test")


@pytest.mark.parametrize("text", ["", "train=1", "a=0.5,b=0.6", "a=0.5,a=0.5", "a=x,b=0.5", "a=rest,b=rest", "a=5,b=6"])
def test_parts_that_make_no_whole_are_refused(text: str) -> None:
    with pytest.raises(RecipeError, match="cannot be read"):
        read_parts(text)


def test_the_command_splits_with_clusters_and_says_what_a_wrong_file_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = grouped(30)
    source, linked = write(tmp_path / "in.jsonl", records), tmp_path / "linked.jsonl"
    linked.write_text(json.dumps({"id": records[0].id, "kept": records[5].id}) + "\n", encoding="utf-8")
    run("split", source, "-o", tmp_path / "out", "--parts", "train=0.5,test=0.5", "--clusters", linked, "--json")
    shown = json.loads(capsys.readouterr().out)
    assert (shown["groups"], shown["merged"]) == (29, 1)
    linked.write_text('{"a": 1}\n', encoding="utf-8")
    with pytest.raises(DataError, match="near-duplicates"):
        run("split", source, "-o", tmp_path / "out", "--clusters", linked)


def test_a_sealed_part_is_not_replaced_by_another(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", grouped(60))
    split_files([source], tmp_path / "out", HALVES, seed=3)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    split_files([source], tmp_path / "out", HALVES, seed=3)
    with pytest.raises(DataError, match="this part is sealed") as caught:
        split_files([source], tmp_path / "out", HALVES, seed=4)
    assert "another folder" in caught.value.fix
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
