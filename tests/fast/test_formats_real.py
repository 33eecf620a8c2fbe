"""The files of the shared data: each that holds records is recognised, read whole, and written without loss."""

from __future__ import annotations

from pathlib import Path

import pytest

from real_data import DATA
from xinglin.formats.containers import open_rows
from xinglin.formats.known import by_name, detect
from xinglin.formats.reading import Import
from xinglin.formats.row import Bad, Row, Source
from xinglin.types import Passage, Sample

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the shared data is not here")

BOOKS = {
    "000-神农本草经": 379,
    "004-食疗本草": 265,
    "018-本草备要": 488,
    "084-汤头歌诀": 231,
    "133-小儿药证直诀": 221,
    "204-医林改错": 112,
    "299-针灸大成": 295,
    "457-伤寒论": 11,
    "498-金匮要略浅注": 30,
    "506-濒湖脉学": 30,
    "506-濒湖脉学.gbk": 30,
    "526-温病条辨": 87,
    "592-医学三字经": 82,
}
DIALOGUES: dict[str, tuple[str, int, int]] = {
    "dialog_disc/CMB-cases.json": ("cmb-case", 73, 73),
    "dialog_disc/cmd_samples.json": ("disc-cmd", 120, 120),
    "dialog_disc/cmid_samples.json": ("cmid", 120, 120),
    "dialog_disc/test_examples.jsonl": ("disc", 163, 163),
    "dialog_imcs_dxy/dxy_dialog_data_dialog_v2.txt": ("dxy", 527, 527),
    "dialog_remedi/000001.session.json": ("remedi-session", 1, 1),
    "dialog_remedi/dev_human_annotation.txt": ("remedi", 933, 100),
    "drugkb_caregpt/drug.json": ("text", 2441, 2441),
    "drugkb_caregpt/导诊指导.json": ("content-rows", 60, 60),
    "drugkb_caregpt/导诊目录.txt": ("text", 11, 10),
    "pretrain_text/fever.txt": ("text", 996, 985),
    "pretrain_text/liver_cancer.json": ("marked", 1000, 1000),
    "pretrain_text/medical_corpus.txt": ("wenda", 87, 87),
    "qa_toyhom_internal_medicine/neike.gbk.txt": ("qa-blocks", 16192, 4048),
    "qa_toyhom_internal_medicine/neike_5000-6000.gbk.csv": ("toyhom", 7644, 7644),
    "qa_toyhom_internal_medicine/neike_5000-6000.utf8.csv": ("toyhom", 7644, 7644),
    "redflags_zh/red_flags.md": ("text", 192, 160),
    "sft_bentsao/infer.json": ("alpaca", 5, 5),
    "sft_bentsao/knowledge_tuning_data_sample.txt": ("input-only", 200, 200),
    "sft_bentsao/llama_data.json": ("alpaca", 8658, 8658),
    "sft_bentsao/question.json": ("question-only", 200, 200),
    "sft_medicalgpt/medical_sft_1K_format.jsonl": ("sharegpt", 1000, 1000),
    "tcm_huangdi/示例.json": ("alpaca", 100, 100),
    "tcm_shennong_examples/shennong_test_examples.xls": ("side-by-side", 201, 402),
    **{f"pretrain_tcm_books/{name}.txt": ("book", 0, count) for name, count in BOOKS.items()},
}
"""file → (format, rows (0: not counted), records); nothing is dropped from any of them."""
LABELLED = {
    **{f"cblue_promptcblue_toy/{name}.json": 80 for name in ("train", "dev", "test", "test_predictions")},
    **{
        f"cls_chineseblue/cMedQQ_{name}.txt": count for name, count in (("train", 16071), ("dev", 1793), ("test", 1935))
    },
    **{
        f"cls_chineseblue/cMedTC_{name}.txt": count for name, count in (("train", 14610), ("dev", 1550), ("test", 1800))
    },
    **{f"cls_chineseblue/cMedIC_{name}.txt": count for name, count in (("train", 1683), ("dev", 123), ("test", 84))},
    **{f"ner_cmedqaner/{name}.json": count for name, count in (("train", 1673), ("dev", 175), ("test", 215))},
    "mcq_apollo_dev/zh.json": 437,
    "mcq_ceval_medical/physician_dev.csv": 5,
    "mcq_cmexam_val/val.csv": 6811,
    "mcq_cmexam_val/val.xlsx": 6811,
    "mcq_cmmlu_medical/test__anatomy.csv": 148,
    "pref_medicalgpt/dpo_zh_500.jsonl": 500,
    "pref_medicalgpt/reward_medical_100.jsonl": 100,
    "pref_medicalgpt/sample.jsonl": 32,
    "rank_cmedir_dev/dev.json": 10000,
    "re_cmeie_sample/CMeIE_dev.json": 108,
    "re_cmeie_sample/CMeIE_train.json": 500,
    "safety_safetybench/health.json": 294,
}
"""Files of exams, preferences and extraction: rows. What becomes of them is tested with their formats."""


def read(path: Path) -> Import:
    job = Import([path], max_dropped=0.01)
    for _ in job.records():
        pass
    return job


@pytest.mark.parametrize("file", DIALOGUES)
def test_every_file_of_dialogues_and_documents_is_recognised_and_read_whole(file: str) -> None:
    name, rows, kept = DIALOGUES[file]
    found = read(DATA / file).done[0]
    assert (found.format, found.kept, found.dropped) == (name, kept, 0)
    assert rows in (0, found.rows)
    assert found.encoding == ("gb18030" if ".gbk" in file else "" if file.endswith(".xls") else "utf-8")


@pytest.mark.parametrize("file", LABELLED)
def test_every_file_of_exams_preferences_and_labels_is_recognised(file: str) -> None:
    found = read(DATA / file).done[0]
    assert found.rows == LABELLED[file]
    assert found.format not in {name for name, _, _ in DIALOGUES.values()}


def test_every_dialogue_of_a_file_of_its_own_is_read() -> None:
    job = Import(sorted((DATA / "dialog_smile_psych").glob("*.json")))
    assert sum(1 for _ in job.records()) == 148
    assert {one.format for one in job.done} == {"roles"}
    assert sum(one.rows for one in job.done) == 1701


@pytest.mark.parametrize("file", [name for name in DIALOGUES if "drug.json" not in name])
def test_what_was_read_is_written_and_read_again_as_the_same_records(file: str) -> None:
    rows = list(open_rows(DATA / file).rows)
    found = detect([row for row in rows[:64] if isinstance(row, Row)])
    first = [one for one in found.read(rows, Source("a", "b")) if not isinstance(one, Bad)]
    assert found.write is not None
    written = list(found.write(first))
    again = list(found.read((Row("a", value) for value in written), Source("a", "b")))
    assert [texts(one) for one in again] == [texts(one) for one in first]


def texts(record: object) -> object:
    """What must come back: everything but the number of the row, where blank lines were left out."""
    if isinstance(record, Passage):
        return record.text, record.origin.group
    return (record.id, record.messages, record.tags, record.extra) if isinstance(record, Sample) else record


@pytest.mark.parametrize(
    "file",
    [
        "sft_bentsao/llama_data.json",
        "dialog_disc/test_examples.jsonl",
        "qa_toyhom_internal_medicine/neike_5000-6000.utf8.csv",
    ],
)
def test_rows_of_real_files_come_back_exactly(file: str) -> None:
    rows = [row for row in open_rows(DATA / file).rows if isinstance(row, Row)]
    found = detect(rows[:64])
    assert found.write is not None
    records = [one for one in found.read(rows, Source("a")) if not isinstance(one, Bad)]
    assert list(found.write(records)) == [row.value for row in rows]


def test_a_question_ends_the_few_dialogues_without_an_answer() -> None:
    """Measured in the reference: conversations of odd length, or with a question last, are kept as they are."""
    rows = open_rows(DATA / "dialog_disc/test_examples.jsonl").rows
    odd = [one for one in by_name("disc").read(rows, Source("a")) if isinstance(one, Sample) and len(one.messages) % 2]
    assert len(odd) == 3


@pytest.mark.parametrize("file", ["lexicons/THUOCL_medical.txt", "kg_39health_disease/disease.csv", "icd10_zh/ICD.csv"])
def test_tables_of_knowledge_are_no_records(file: str) -> None:
    from xinglin.errors import DataError

    with pytest.raises(DataError, match="unknown format"):
        read(DATA / file)
