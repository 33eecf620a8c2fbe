"""Cleaning takes out dirt by named, counted rules, leaves medicine alone, and a second time changes nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from curated_records import many, run, sample, write
from hypothesis import given, settings
from hypothesis import strategies as st

from real_data import DATA
from xinglin.data.clean import NAMES, Cleaner, chosen, clean_files
from xinglin.data.filters import FILTERS, loops
from xinglin.data.intake import Intake
from xinglin.data.rules import ODD, RULES
from xinglin.errors import DataError, RecipeError
from xinglin.files import read_records
from xinglin.types import Message, Origin, Passage, Preference, Question, Sample

DIRTY = [
    ("html", "多喝水。<br/>注意<b>休息</b>&amp;保暖", "多喝水。\n注意休息&保暖"),
    ("html", "血糖&gt;7.0mmol/L，白细胞10<sup>9</sup>/L", "血糖>7.0mmol/L，白细胞10^9/L"),
    ("html", "&amp;lt;p&amp;gt;饭后服用", "饭后服用"),
    ("invisible", "头\u200b痛\ufeff三\x07天", "头痛三天"),
    ("prompt", "<s>问：感冒怎么办？\n答：", "感冒怎么办？"),
    ("prompt", "### Response: 注意休息。", "注意休息。"),
    ("prompt", "<|im_start|>assistant\n注意休息。<|im_end|>", "注意休息。"),
    ("prompt", "<bot>:注意休息。", "注意休息。"),
    ("urls", "可以看这里（https://example.org/a?b=1&c=2）的说明。", "可以看这里的说明。"),
    ("urls", "详见：www.example.com/page.html，注意休息。", "，注意休息。"),
    ("urls", "安装说明在https://example.org/a\n\n第二段。", "安装说明在\n\n第二段。"),
    ("urls", "见[用药说明](https://example.org/x)。", "见用药说明。"),
    ("adverts", "按时服药，加微信abc12345咨询，注意休息。", "按时服药，注意休息。"),
    ("adverts", "注意保暖。咨询电话：0101-2345678。", "注意保暖。"),
    ("adverts", "饮食清淡，关注我们的公众号。", "饮食清淡。"),
    ("adverts", "点击右侧头像，饮食清淡。", "饮食清淡。"),
    ("boilerplate", "您好，很高兴为您解答。建议查血常规。希望我的回答对您有帮助！", "您好。建议查血常规。"),
    ("boilerplate", "建议查血常规。本回答由网友推荐", "建议查血常规。"),
    ("boilerplate", "建议查血常规。提问者对于答案的评价：谢谢", "建议查血常规。"),
    ("boilerplate", "建议查血常规。如果还有疑问，请随时提问。", "建议查血常规。"),
    ("tails", "血常规 胸片 [详细]", "血常规 胸片"),
    ("tails", "建议做胃镜检查...", "建议做胃镜检查"),
    ("glued", "遵医嘱 takethetabletwithfood 即可", "遵医嘱 take the tablet with food 即可"),
    ("glued", "Take it with food.Avoid alcohol, 饭后", "Take it with food. Avoid alcohol, 饭后"),
    ("width", "服用ＰＣＭ０．５ｇ，每日２次", "服用PCM0.5g，每日2次"),
    ("punctuation", "头痛,恶心?建议就医;注意休息!", "头痛，恶心？建议就医；注意休息！"),
    ("punctuation", "血钾(3.5-5.5mmol/L)偏低.", "血钾（3.5-5.5mmol/L）偏低。"),
    ("repeats", "救命！！！！怎么办？？", "救命！怎么办？"),
    ("blanks", " 头痛　　三天 ，\n\n\n\n发热 ", "头痛 三天，\n\n发热"),
]
MEDICINE = [
    "每次0.25 g，每日3次，饭后服。",
    "血糖6.1～7.0 mmol/L，餐后2小时7.8mmol/L。",
    "疗程3-5天，比例1:1，稀释至1:1000。",
    "每天8:30服药，体温37.5℃，血压140/90mmHg。",
    "布洛芬（Ibuprofen）与对乙酰氨基酚（paracetamol）不同服。",
    "参考doi:10.1016/j.jinf.2020.01.001和https://doi.org/10.1000/182。",
    "联系邮箱someone@www.example.org。",
    "若出现胸痛，请立即拨打急救电话120-12345678。",
    "心理援助热线：12356，24小时免费电话400-1234567。",
    "维生素B12、HbA1c、mRNA、pH 7.35-7.45、CO2CP。",
    "acetylsalicylicacid与methylprednisolone不是连写。",
    "白细胞<4.0×10^9/L，血小板<100，年龄<5岁者p<0.05。",
    "我好害怕……真的……",
    "增加剂量到2,000 IU，1,25-二羟维生素D3。",
    "头痛 发热 咳嗽",
    "头部：药物<sep>尾部：症状",
    "电话随访，微信不回复。",
]


def only(name: str, text: str) -> str:
    return Cleaner(frozenset([name])).text(text)


@pytest.mark.parametrize(("name", "dirty", "clean"), DIRTY)
def test_each_rule_takes_its_dirt_out(name: str, dirty: str, clean: str) -> None:
    assert only(name, dirty) == clean


@pytest.mark.parametrize("text", MEDICINE)
def test_no_rule_touches_doses_ranges_ratios_times_names_and_numbers_that_save_lives(text: str) -> None:
    assert Cleaner().text(text) == text


def test_every_rule_and_filter_has_a_case_and_a_name_of_its_own() -> None:
    assert len(set(NAMES)) == len(NAMES) == len(RULES) + len(FILTERS)
    assert {name for name, _, _ in DIRTY} == {rule.name for rule in RULES}


def test_what_one_rule_uncovers_another_takes_in_the_same_cleaning() -> None:
    assert Cleaner().text("&lt;p&gt;注意休息,&nbsp;多喝水!!&lt;/p&gt;[详细]") == "注意休息，多喝水！"


PIECES = st.sampled_from(
    [
        *(dirty for _, dirty, _ in DIRTY),
        *MEDICINE,
        "，",
        "。",
        "...",
        "…",
        "&lt;",
        "p>",
        "[详细]",
        " ",
        "\n",
        "www.",
        "！",
    ]
)


@given(st.lists(st.one_of(PIECES, st.text(max_size=12)), max_size=6))
@settings(max_examples=300, deadline=None)
def test_a_second_cleaning_changes_nothing(pieces: list[str]) -> None:
    once = Cleaner().text("".join(pieces))
    again = Cleaner()
    assert again.text(once) == once
    assert not again.changed


def fault(record: Sample | Preference | Question | Passage) -> str:
    away: list[str] = []
    list(Cleaner().clean([record], lambda _, rule, reason: away.append(rule)))
    return away[0] if away else ""


def test_each_filter_names_what_it_turns_away() -> None:
    assert fault(sample(answer="  ")) == "empty"
    assert fault(sample(answer="好")) == "short"
    assert fault(sample("How are you?", "Fine, thank you.")) == "chinese"
    assert fault(sample(answer="建议做血常\ufffd检查。")) == "damaged"
    assert fault(sample("孩子咳嗽两天了要紧吗", "孩子咳嗽两天了，要紧吗？")) == "echo"
    assert fault(sample(answer="建议先查血常规，再根据结果决定用药，平时注意保暖，多喝温水，")) == "truncated"
    assert (
        fault(sample(answer="建议先查血常规，再根据结果决定用药，平时注意保暖，多喝温水，另外需要注意饮食和作..."))
        == "truncated"
    )
    assert fault(sample(answer="注意休息，多喝温水。" * 12)) == "loop"
    assert (
        fault(sample(answer="请看 " + "abcdefghijklmnopqrstuvwxyz" + "qwertyuiopasdfghjklzxcvbnm" + "zyxwvutsrq"))
        == "run"
    )
    assert fault(sample()) == ""


def test_an_exam_item_may_have_a_letter_for_an_answer() -> None:
    origin = Origin("own.csv", "1", "CC0-1.0", "label")
    item = Question("q", (Message("user", "下列哪项是解热镇痛药（ ）"),), ("A",), "choice", origin, ("A", "B"))
    assert fault(item) == ""


def test_a_loop_is_half_a_text_of_pieces_that_stood_before() -> None:
    varied = "".join(chr(0x4E00 + at * 7) for at in range(120))
    assert not loops(varied)
    assert loops(varied[:40] + varied[40:50] * 12)
    assert not loops(varied + varied[:20])


def test_a_question_with_spans_stays_as_it_is_because_its_offsets_would_move() -> None:
    text = "患者<b>头痛</b>三天"
    item = Question(
        "q", (Message("user", text),), ("头痛",), "ner", Origin("own", "1", "CC0-1.0", "label"), spans=((5, 7),)
    )
    cleaner = Cleaner()
    assert list(cleaner.clean([item])) == [item]
    assert cleaner.spanned == 1


def test_cleaning_keeps_ids_and_everything_but_the_texts() -> None:
    dirty = sample("头痛,怎么办?", tags=["department:内科"])
    (clean,) = Cleaner().clean([dirty])
    assert isinstance(clean, Sample)
    assert clean.messages[0].content == "头痛，怎么办？"
    assert replace(clean, messages=dirty.messages) == dirty


def test_the_files_of_a_cleaning_count_everything_that_came_in(tmp_path: Path) -> None:
    records = [*many(3), sample("头痛,怎么办?"), sample(answer="好"), sample(answer=" ")]
    source, out = write(tmp_path / "in.jsonl", records), tmp_path / "out.jsonl"
    done = clean_files(Intake([source]), out, Cleaner())
    assert (done.read, done.kept, done.changed) == (6, 4, 1)
    assert done.rules["punctuation"] == 1
    assert {name: count for name, count in done.rejected.items() if count} == {"short": 1, "empty": 1}
    away = [json.loads(line) for line in (tmp_path / "out.jsonl.rejected.jsonl").read_text("utf-8").splitlines()]
    assert [(one["id"], one["rule"]) for one in away] == [(records[4].id, "short"), (records[5].id, "empty")]
    report = json.loads((tmp_path / "out.jsonl.report.json").read_text("utf-8"))
    assert report["step"] == "clean"
    assert report["read"] == report["kept"] + sum(report["rejected"].values())
    assert len(read_records(out, Sample)) == 4
    first = out.read_bytes()
    again = clean_files(Intake([out]), tmp_path / "again.jsonl", Cleaner())
    assert (tmp_path / "again.jsonl").read_bytes() == first
    assert again.changed == 0
    assert not (tmp_path / "again.jsonl.rejected.jsonl").exists()


def test_too_many_unreadable_lines_fail_and_are_listed_and_nothing_is_written(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", many(3))
    source.write_text(source.read_text("utf-8") + '{"text": 1}\nnot json\n', encoding="utf-8")
    out = tmp_path / "out.jsonl"
    with pytest.raises(DataError, match="2 of 5"):
        clean_files(Intake([source]), out, Cleaner())
    assert not out.exists()
    assert len((tmp_path / "out.jsonl.dropped.jsonl").read_text("utf-8").splitlines()) == 2
    clean_files(Intake([source], max_dropped=0.5), out, Cleaner())
    assert len(read_records(out, Sample)) == 3
    with pytest.raises(DataError, match="one of the inputs"):
        clean_files(Intake([source]), source, Cleaner())


def test_the_command_takes_rules_and_skips_and_lists_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path / "in.jsonl", [sample("头痛,怎么办??"), sample(answer="好")])
    run("clean", source, "-o", tmp_path / "out.jsonl", "--rules", "punctuation", "--json")
    shown = json.loads(capsys.readouterr().out)
    assert (shown["kept"], shown["rules"], shown["rejected"]) == (2, {"punctuation": 1}, {})
    run("clean", source, "-o", tmp_path / "out.jsonl", "--skip", "short,repeats")
    assert "punctuation" in capsys.readouterr().out
    run("clean", "--json")
    assert [one["name"] for one in json.loads(capsys.readouterr().out)] == list(NAMES)
    with pytest.raises(RecipeError, match="no cleaning rule 'adverst'"):
        chosen(["adverst"])


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data is not here")
def test_real_answers_are_clean_after_one_pass_and_few_are_turned_away() -> None:
    from xinglin.formats.reading import Import

    paths = [
        DATA / "sft_bentsao" / "llama_data.json",
        *sorted((DATA / "qa_toyhom_internal_medicine").glob("*.utf8.csv")),
    ]
    records = list(Import(paths).records())[::4]
    cleaner = Cleaner()
    kept = list(cleaner.clean(records))
    assert len(kept) > 0.98 * len(records)
    assert cleaner.changed["punctuation"] > 100
    again = Cleaner()
    assert list(again.clean(kept)) == kept
    assert not again.changed


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data is not here")
def test_the_quick_look_at_a_text_misses_nothing_that_a_rule_would_change() -> None:
    from xinglin.formats.nouns import texts_of
    from xinglin.formats.reading import Import

    paths = sorted((DATA / "qa_toyhom_internal_medicine").glob("*.utf8.csv"))
    texts = [text for record in Import(paths).records() for _, text in texts_of(record)][::9]
    for rule in RULES:
        missed = [text for text in texts if not rule.may(text) and rule.change(text) != text]
        assert not missed, rule.name
    assert all(ODD.search(text) or not any(rule.odd and rule.may(text) for rule in RULES) for text in texts)
