"""What names a person is found and taken out, and what only looks like it stays."""

from __future__ import annotations

import json
import re
import stat
import time
from pathlib import Path

import pytest

from xinglin.errors import DataError, SafetyError
from xinglin.files import write_records
from xinglin.formats.nouns import read_nouns
from xinglin.safety import checks, dates, identifiers, institutions, keyed, latin, places, tables, view
from xinglin.safety import names as names_
from xinglin.safety.privacy import Policy, Redactor, deidentify, find
from xinglin.safety.redaction import Redaction, read_key, redact_file, redact_record
from xinglin.types import Message, Origin, Preference, Question, Sample

KEY = b"a key of our own"
CARD = "11010519491231002X"  # the example of GB 11643
ORIGIN = Origin("own", "1", "Apache-2.0", "record")
PATTERNS = {
    f"{module.__name__}.{name}": pattern
    for module in (identifiers, keyed, dates, names_, latin, places, institutions, tables, view)
    for name, pattern in vars(module).items()
    if isinstance(pattern, re.Pattern)
} | {
    "doctor": names_._doctor_title(),
    "person": names_._person_title(),
    "down": places._down(),
    "known": places._known(),
    "famous": institutions._famous(),
    **{f"keyed.{kind}": pattern for kind, pattern in keyed._KEYED},
    **{f"heading.{kind}": pattern for kind, pattern in tables._HEADINGS},
}


def kinds(text: str) -> list[tuple[str, str]]:
    return [(one.type, one.text) for one in find(text)]


def test_offsets_count_the_characters_of_the_original() -> None:
    text = "手机１３８\u200b１２３４\u200b５６７８，𠮷字\u200b，邮箱 li_na@example.com"
    for one in find(text):
        assert text[one.start : one.end] == one.text
    assert [one.type for one in find(text)] == ["PHONE", "EMAIL"]


def test_no_text_is_no_entity() -> None:
    assert find("") == []
    assert find("\u200b") == []
    assert deidentify(" \n ").text == " \n "


@pytest.mark.parametrize(
    "written",
    [
        "13812345678",
        "138 1234 5678", "138-1234-5678", "+86 13812345678", "１３８１２３４５６７８", "1 3 8 1 2 3 4 5 6 7 8",
        "幺三八一二三四五六七八", "一三八 一二三四 五六七八", "138\u200b1234\u200b5678",
    ],
)  # fmt: skip
def test_a_mobile_number_is_found_however_it_is_written(written: str) -> None:
    assert kinds(f"请打{written}，谢谢") == [("PHONE", written)]


@pytest.mark.parametrize(
    "written", [CARD, CARD.lower(), "110105 19491231 002X", "１１０１０５１９４９１２３１００２Ｘ"]
)
def test_an_identity_card_is_found_by_its_checks(written: str) -> None:
    assert kinds(f"号码{written}。") == [("ID_CARD", written)]


def test_a_card_with_a_slip_is_found_where_it_is_called_one_and_nowhere_else() -> None:
    slip = CARD[:-1] + "3"
    assert kinds(f"身份证号：{slip}") == [("ID_CARD", slip)]
    assert kinds(f"序列{slip}") == []
    assert not checks.is_card("11010519491331002X")
    assert kinds("一代证 110105491231002") == [("ID_CARD", "110105491231002")]


def test_a_bank_card_needs_its_check_digit_and_a_word_or_groups_of_four() -> None:
    assert checks.luhn("4111111111111111")
    assert kinds("卡号4111111111111111") == [("BANK_CARD", "4111111111111111")]
    assert kinds("4111 1111 1111 1111") == [("BANK_CARD", "4111 1111 1111 1111")]
    assert kinds("编号4111111111111112") == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("住院号：0098123", ("MRN", "0098123")),
        ("病案号ZY20230512", ("MRN", "ZY20230512")),
        ("标本条码：880012345678", ("EXAM_NO", "880012345678")),
        ("医保卡号 A102938475", ("INSURANCE_NO", "A102938475")),
        ("微信号：lan_0921", ("WECHAT", "lan_0921")),
        ("QQ：874512360", ("QQ", "874512360")),
        ("车牌粤B83J56", ("PLATE", "粤B83J56")),
        ("护照E38472910", ("PASSPORT", "E38472910")),
        ("请到12床", ("BED", "12床")),
        ("座机0531-86942217", ("TEL", "0531-86942217")),
        ("他今年94岁了", ("AGE_OVER", "94")),
        ("于二〇二三年五月十二日来诊", ("DATE", "二〇二三年五月十二日")),
        ("家住湖北省武汉市洪山区珞喻路312号5栋2单元1103室", ("ADDRESS", "湖北省武汉市洪山区珞喻路312号5栋2单元1103室")),
        ("我在深圳市第二人民医院看的", ("HOSPITAL", "深圳市第二人民医院")),
        ("就职于远帆物流公司", ("ORG", "远帆物流公司")),
    ],
)
def test_each_type_is_found_where_its_words_stand(text: str, expected: tuple[str, str]) -> None:
    assert kinds(text) == [expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("姓名：刘志远", [("NAME", "刘志远")]),
        ("姓 名：程 刚  性 别：男", [("NAME", "程 刚")]),
        ("我叫何俊", [("NAME", "何俊")]),
        ("王大夫您好", [("DOCTOR", "王")]),
        ("欧阳明慧医生", [("DOCTOR", "欧阳明慧")]),
        ("老张说有效", [("NAME", "老张")]),
        ("患者艾力·买买提", [("NAME", "艾力·买买提")]),
        ("Patient John Miller", [("NAME", "John Miller")]),
        ("复诊：Zhang Xiaomin", [("NAME", "Zhang Xiaomin")]),
        ('{"name": "孙丽"}', [("NAME", "孙丽")]),
        ("主治医师：赵明辉", [("DOCTOR", "赵明辉")]),
        ("患儿家属：王芳、李强", [("NAME", "王芳"), ("NAME", "李强")]),
    ],
)
def test_names_are_found_by_what_surrounds_them(text: str, expected: list[tuple[str, str]]) -> None:
    assert kinds(text) == expected


def test_cells_are_read_by_their_headings() -> None:
    text = "姓名\t年龄\t住院号\n王芳\t34\t0012345\n买买提\t22\tZY99881"
    assert kinds(text) == [("NAME", "王芳"), ("MRN", "0012345"), ("NAME", "买买提"), ("MRN", "ZY99881")]
    assert kinds("| 姓名 | 床号 |\n|---|---|\n| 欧阳修远 | 7 |") == [("NAME", "欧阳修远"), ("BED", "7")]


@pytest.mark.parametrize(
    "text",
    [
        "何首乌30g，当归15g，白芍12g，水煎服", "帕金森病、克罗恩病、桥本甲状腺炎",
        "黄疸三天，高热不退，白细胞11.2×10^9/L",
        "国药准字H20013458，批号20230715", "doi:10.1016/S0140-6736(18)31942-1",
        "题号13812345679：下列哪项正确",
        "请拨打120、110或12356", "张某，电话138****5678",
        "任何医生都不能确诊，上周医生说过", "卧床3天，起床2分钟",
        "90岁以上慎用", "当地医院和三甲医院",
        "患者：您好，头痛三天", "李时珍著《本草纲目》", "空腹血糖3.9-6.1mmol/L，血压120/80",
        "ICD-10：E11.900、K29.500", "订单号202309141234567890", "开放床位500张",
    ],
)  # fmt: skip
def test_what_only_looks_like_a_person_stays(text: str) -> None:
    assert kinds(text) == []


def test_a_name_is_gone_from_every_message_of_a_document() -> None:
    first, second = Redactor().redact(["我叫刘志远，胸闷。", "刘志远你好，志远，多久了？"])
    assert first.text == "我叫[姓名]，胸闷。"
    assert second.text == "[姓名]你好，[姓名]，多久了？"


def test_a_name_that_is_a_herb_too_is_not_taken_for_it_elsewhere() -> None:
    assert deidentify("姓名：黄连\n处方：黄连6g").text == "姓名：[姓名]\n处方：黄连6g"


def test_surrogates_are_the_same_for_a_patient_and_other_for_the_next() -> None:
    text = "姓名：刘志远，电话13812345678。老刘复诊。"
    one, again, other = (deidentify(text, "pseudonym", key=KEY, patient=patient).text for patient in ("p1", "p1", "p2"))
    assert one == again != other
    assert "志远" not in one
    assert "13812345678" not in one
    name, old = re.search("姓名：(.)", one), re.search("老(.)复", one)
    assert name is not None
    assert old is not None
    assert name[1] == old[1]


def test_surrogate_numbers_can_be_nobodys() -> None:
    masked = deidentify(f"身份证{CARD}，卡号4111111111111111，电话13812345678", "pseudonym", key=KEY).text
    card, bank, phone = re.findall(r"[\dX]{11,18}", masked)
    assert not checks.is_card(card)
    assert checks.has_birthday(card)
    assert not checks.luhn(bank)
    assert phone.startswith("12")


def test_shifted_dates_keep_their_intervals_and_their_writing() -> None:
    text = "2023年5月1日入院，2023-05-11手术，二〇二三年五月二十一日出院"
    masked = deidentify(text, "shift", key=KEY, patient="p1").text
    first, second = re.search(r"(\d+)年(\d+)月(\d+)日", masked), re.search(r"(\d{4})-(\d\d)-(\d\d)", masked)
    assert first is not None
    assert second is not None
    import datetime

    days = datetime.date(*map(int, second.groups())) - datetime.date(*map(int, first.groups()))
    assert days.days == 10
    assert "2023年5月1日" not in masked
    assert re.search("[〇一二三四五六七八九]{4}年.{1,3}月.{1,3}日出院", masked)
    assert dates.shift("2023年02月30日", 3) is None
    assert dates.shift("二〇二三年十二月三十一日", 1) == "二〇二四年一月一日"
    assert dates.shift("20231231", 1) == "20240101"
    assert dates.shift("12月31日", 1) == "1月1日"


@pytest.mark.parametrize("policy", ["pseudonym", "shift"])
def test_a_policy_with_surrogates_needs_a_key(policy: Policy) -> None:
    with pytest.raises(SafetyError, match="secret key"):
        deidentify("王芳", policy)


@pytest.mark.parametrize("character", list("10aA王路县号区村院月一零姓 -.·\t|:@床"))
def test_no_pattern_is_slow_on_one_repeated_character(character: str) -> None:
    text = character * 100_000
    for name, pattern in PATTERNS.items():
        began = time.process_time()
        for _ in pattern.finditer(text):
            pass
        assert time.process_time() - began < 1, f"{name}: a pattern that is not linear takes minutes"


@pytest.mark.parametrize("unit", ["路1号", "北京市区", "姓名：", "1-", "王王医院", "138 ", "县镇村", "a@a."])
def test_the_whole_is_linear_on_repeated_pieces(unit: str) -> None:
    text = unit * (20_000 // len(unit))
    began = time.process_time()
    find(text)
    assert time.process_time() - began < 4


def _rows(path: Path, *texts: str) -> Path:
    path.write_text("".join(json.dumps({"id": at, "text": text}) + "\n" for at, text in enumerate(texts)), "utf-8")
    return path


def test_rows_keep_their_members_and_say_what_was_removed(tmp_path: Path) -> None:
    path, out = _rows(tmp_path / "in.jsonl", "我叫何俊，头痛", "没有"), tmp_path / "out.jsonl"
    done = redact_file(Redaction(path), out)
    first, second = (json.loads(line) for line in out.read_text("utf-8").splitlines())
    assert first == {
        "id": 0,
        "text": "我叫[姓名]，头痛",
        "entities": [{"type": "NAME", "start": 2, "end": 4, "text": "何俊"}],
    }
    assert second == {"id": 1, "text": "没有", "entities": []}
    assert (done.rows, done.touched, done.entities) == (2, 1, {"NAME": 1})
    assert not list(tmp_path.glob("out.jsonl.*"))


def test_records_are_masked_in_every_text_and_in_what_was_kept_of_their_columns(tmp_path: Path) -> None:
    messages = (Message("user", "我叫刘志远，电话13812345678"), Message("assistant", "刘志远您好"))
    sample = Sample("sample-1", messages, ORIGIN, extra={"note": ["刘志远复诊"], "age": 3})
    path, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    write_records(path, [sample])
    redact_file(Redaction(path), out)
    (made,) = read_nouns(out)
    assert isinstance(made, Sample)
    assert [one.content for one in made.messages] == ["我叫[姓名]，电话[手机号]", "[姓名]您好"]
    assert made.extra == {"note": ["[姓名]复诊"], "age": 3}
    listed = [json.loads(line) for line in (tmp_path / "out.jsonl.entities.jsonl").read_text("utf-8").splitlines()]
    assert [one["path"] for one in listed] == [
        "messages[0].content", "messages[0].content", "messages[1].content", "extra.note[0]",
    ]  # fmt: skip
    assert listed[2] == {
        "id": "sample-1",
        "path": "messages[1].content",
        "type": "NAME",
        "start": 0,
        "end": 3,
        "text": "刘志远",
    }
    redact_file(Redaction(path, listed=False), out)
    assert not (tmp_path / "out.jsonl.entities.jsonl").exists()


def test_bad_lines_are_named_without_what_they_say(tmp_path: Path) -> None:
    path, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    path.write_text('{"text": "好"}\n{"text": "我叫何俊\n[1]\n{"title": "何俊"}\n', "utf-8")
    with pytest.raises(DataError, match="3 of 4"):
        redact_file(Redaction(path), out)
    assert not out.exists()
    dropped = (tmp_path / "out.jsonl.dropped.jsonl").read_text("utf-8")
    assert dropped.count("\n") == 3
    assert "何俊" not in dropped
    assert redact_file(Redaction(path, max_dropped=0.8), out).rows == 1


def test_the_same_file_gives_the_same_bytes(tmp_path: Path) -> None:
    path = _rows(tmp_path / "in.jsonl", "姓名：刘志远，2023年5月1日", "姓名：刘志远")
    outs = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    for out in outs:
        redact_file(Redaction(path, "pseudonym", KEY, patient="id"), out)
    assert outs[0].read_bytes() == outs[1].read_bytes()


def test_a_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "secret" / "key"
    made = read_key(path)
    assert read_key(path) == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text("short")
    with pytest.raises(DataError, match="5 bytes"):
        read_key(path)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text("\n")
    with pytest.raises(DataError, match="no row"):
        redact_file(Redaction(tmp_path / "in.jsonl"), tmp_path / "out.jsonl")


def test_the_command_masks_a_file_and_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from xinglin.cli.data_privacy import deidentify as command

    out = tmp_path / "out.jsonl"
    command(_rows(tmp_path / "in.jsonl", "我叫何俊"), out=out, as_json=True)
    assert json.loads(capsys.readouterr().out)["entities"] == {"NAME": 1}
    command(_rows(tmp_path / "in.jsonl", "我叫何俊"), out=out, policy="shift-bare", key_file=tmp_path / "key")
    printed = capsys.readouterr().out
    assert "何俊" not in printed + out.read_text("utf-8")


def test_spans_of_a_question_move_with_its_masked_text() -> None:
    text = "患者张晓梅，头痛三天，联系电话13800138000，伴有恶心。"
    spans = tuple((text.index(word), text.index(word) + 2) for word in ("头痛", "恶心"))
    question = Question("q", (Message("user", text),), ("symptom\t头痛", "symptom\t恶心"), "ner", ORIGIN, spans=spans)
    changed, removed = redact_record(question)
    assert isinstance(changed, Question)
    said = changed.messages[0].content
    assert [said[start:end] for start, end in changed.spans] == ["头痛", "恶心"]
    assert {entity.type for _, entity in removed} == {"NAME", "PHONE"}
    with pytest.raises(SafetyError, match="would move the spans"):
        redact_record(question, "pseudonym", key=b"0" * 16)


def test_what_stands_in_extra_of_any_record_is_masked_too() -> None:
    pair = Preference("p", (Message("user", "头痛怎么办"),), "休息", "不管", ORIGIN, extra={"note": "回访13800138000"})
    changed, _ = redact_record(pair)
    assert isinstance(changed, Preference)
    assert "138" not in changed.extra["note"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("给陈建国换了药", ["陈建国"]),
        ("术后第二天马德福诉切口疼痛", ["马德福"]),
        ("已把付海洋送到急诊", ["付海洋"]),
        ("今日查房，吴彩霞一般情况可", ["吴彩霞"]),
        ("妞妞又咳嗽了", ["妞妞"]),
        ("其子张鹏签字", ["张鹏"]),
        ("单医生让我问一下", ["单"]),
        ("给宝宝喝药", []),
        ("谷丙转氨酶51，余正常", []),
        ("酗酒史长达5年", []),
        ("食欲差，和普通感冒有关吗", []),
    ],
)
def test_names_that_nothing_announces_are_known_by_both_sides(text: str, found: list[str]) -> None:
    assert [one.text for one in find(text) if one.type in ("NAME", "DOCTOR")] == found
