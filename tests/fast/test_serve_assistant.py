"""The assistant over a small knowledge base of our own writing: citations, doses, follow-ups, honesty."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from xinglin.chat.scripted import Scripted
from xinglin.knowledge.sources import import_source
from xinglin.knowledge.store import Knowledge
from xinglin.serve.assistant import Assistant
from xinglin.text import NOT_IN_KNOWLEDGE_BASE
from xinglin.types import Fact, Kind, Message, Origin, Qualifiers, Reply, Sampling, make_id

ROWS = (
    ("安平片", "商品名", "安乐宁"),
    ("安平片", "适应症", "轻度头晕"),
    ("安平片", "适应症", "紧张不安"),
    ("安平片", "禁忌", "对本品过敏"),
    ("安平片", "不良反应", "口干"),
    ("安平片", "不良反应", "困倦"),
    ("安平片", "注意事项", "服药后不要驾驶"),
    ("安平片", "注意事项", "每日不超过20 mg"),
    ("康健素", "适应症", "食欲不振"),
    ("康健素", "不良反应", "便秘"),
    ("云岭热", "典型症状", "发热"),
    ("云岭热", "常用药物", "康健素"),
    ("云岭热", "护理", "每日食盐少于5 g"),
)


def _fact(head: str, relation: str, tail: str, *, kind: Kind = "summary", source: str = "pack:own") -> Fact:
    origin = Origin(source, f"{head}:1", "Apache-2.0", kind, group=head)
    return Fact(make_id("fact", head, relation, tail, source), head, relation, tail, origin)


def _dose(kind: Kind) -> Fact:
    plain = _fact("安平片", "用法用量", "成人口服，一次7.5 mg，每日2次", kind=kind)
    doses = Qualifiers("成人", "口服", "7.5", "mg", "每日2次", "15 mg")
    return Fact(plain.id, plain.head, plain.relation, plain.tail, plain.origin, doses)


def _assistant(*, says: str | None = None, dose: Kind = "summary", show_dropped: bool = False) -> Assistant:
    knowledge = Knowledge([*(_fact(*row) for row in ROWS), _dose(dose)])
    model = None if says is None else Scripted("inner", {}, default=says)
    return Assistant(knowledge, model=model, show_dropped=show_dropped)


def _ask(assistant: Assistant, *questions: str) -> Reply:
    """The reply to the last question after the earlier ones were asked and answered."""
    messages: list[Message] = []
    reply = Reply("", "")
    for question in questions:
        messages.append(Message("user", question))
        reply = assistant.answer([messages], Sampling())[0]
        messages.append(Message("assistant", reply.text))
    return reply


def _consistent(reply: Reply) -> bool:
    """Offsets fit, every [n] resolves to the sentence's own passages, and every passage is cited."""
    ids = [passage.id for passage in reply.passages]
    for sentence in reply.sentences:
        cited = tuple(ids[int(number) - 1] for number in re.findall(r"\[(\d+)\]", sentence.text))
        if reply.text[sentence.start : sentence.end] != sentence.text or cited != sentence.passages:
            return False
    return {name for sentence in reply.sentences for name in sentence.passages} == set(ids)


def test_a_question_is_answered_from_the_knowledge_base_with_a_citation() -> None:
    reply = _ask(_assistant(), "安平片的适应症是什么？")
    assert reply.text == "安平片的适应症：轻度头晕、紧张不安[1]。"
    (sentence,) = reply.sentences
    assert (sentence.source, sentence.verdict) == ("knowledge", "supported")
    assert len(reply.passages[0].facts) == 2
    assert reply.decision is not None
    assert reply.decision.action == "allow"
    assert _consistent(reply)


def test_an_elliptical_follow_up_takes_the_last_entity() -> None:
    assistant = _assistant()
    assert "安平片的不良反应：口干、困倦[1]。" in _ask(assistant, "安平片的适应症是什么？", "有什么副作用").text
    assert "康健素的不良反应" in _ask(assistant, "安平片的适应症是什么？", "康健素治什么？", "它有什么副作用？").text


def test_a_new_entity_without_attribute_takes_the_last_attribute() -> None:
    assert _ask(_assistant(), "安平片有什么副作用？", "那康健素呢？").text.startswith("康健素的不良反应：便秘[1]")


def test_a_follow_up_to_an_absent_drug_is_not_answered_about_an_older_one() -> None:
    reply = _ask(_assistant(), "安平片的适应症是什么？", "格林达胶囊的适应症是什么？", "有什么副作用")
    assert NOT_IN_KNOWLEDGE_BASE in reply.text
    assert "安平片" not in reply.text


def test_a_brand_is_answered_under_its_generic_name_and_says_so() -> None:
    reply = _ask(_assistant(), "安乐宁的禁忌有哪些？")
    assert "“安乐宁”在知识库中对应“安平片”。" in reply.text
    assert "安平片的禁忌：对本品过敏[1]。" in reply.text


def test_two_entities_are_both_answered_and_cited() -> None:
    reply = _ask(_assistant(), "安平片和康健素的不良反应有哪些？")
    assert len(reply.passages) == 2
    assert _consistent(reply)


def test_an_unknown_entity_is_said_plainly_and_the_model_is_not_asked() -> None:
    reply = _ask(_assistant(says="格林达胶囊用于一切疾病。"), "格林达胶囊的适应症是什么？")
    assert f"{NOT_IN_KNOWLEDGE_BASE}关于“格林达胶囊”的内容。" in reply.text
    assert "一切疾病" not in reply.text
    assert reply.passages == ()
    assert reply.tokens == 0


def test_an_unknown_attribute_offers_what_is_known() -> None:
    reply = _ask(_assistant(), "康健素的禁忌是什么？")
    assert f"{NOT_IN_KNOWLEDGE_BASE}康健素的禁忌。" in reply.text
    assert "关于康健素，知识库中有：适应症、不良反应。" in reply.text


def test_a_bare_name_is_introduced() -> None:
    reply = _ask(_assistant(), "云岭热")
    assert reply.text.startswith("云岭热的典型症状：发热[1]。")
    assert "还可以问：常用药物、护理。" in reply.text


def test_only_supported_new_model_sentences_are_kept() -> None:
    says = "安平片的适应症：轻度头晕、紧张不安。安平片的不良反应有口干。安平片能治愈肿瘤。安平片没有禁忌。"
    reply = _ask(_assistant(says=says), "安平片的适应症是什么？")
    assert [(sentence.source, sentence.text) for sentence in reply.sentences] == [
        ("knowledge", "安平片的适应症：轻度头晕、紧张不安[1]。"),
        ("model", "安平片的不良反应有口干[2]。"),
    ]
    assert reply.tokens > 0
    assert _consistent(reply)


def test_dropped_sentences_are_counted_only_when_asked_for() -> None:
    says = "安平片能治愈肿瘤。安平片没有禁忌。"
    assert "略去" not in _ask(_assistant(says=says), "安平片的适应症是什么？").text
    assert "模型另有2句" in _ask(_assistant(says=says, show_dropped=True), "安平片的适应症是什么？").text


def test_citation_marks_of_the_model_itself_are_removed() -> None:
    reply = _ask(_assistant(says="安平片的不良反应有口干[9]。"), "安平片的适应症是什么？")
    assert "[9]" not in reply.text
    assert _consistent(reply)


def test_a_summary_dose_is_never_shown_anywhere_in_the_reply() -> None:
    says = "安平片的用法用量：成人口服，一次7.5 mg，每日2次。"
    for question in ("安平片怎么吃？", "安平片的用法用量是什么？", "安平片的适应症是什么？"):
        reply = _ask(_assistant(says=says), question)
        everything = reply.text + "".join(passage.text for passage in reply.passages)
        assert "7.5" not in everything
        assert "15 mg" not in everything
    reply = _ask(_assistant(says=says), "安平片怎么吃？")
    assert "具体剂量以药品说明书和医嘱为准[1]。" in reply.text
    assert len(reply.passages[0].facts) == 1
    assert _consistent(reply)


def test_a_dose_hidden_in_another_relation_is_withheld_but_its_neighbours_are_quoted() -> None:
    reply = _ask(_assistant(), "安平片的注意事项有哪些？")
    assert "服药后不要驾驶[1]" in reply.text
    assert "20 mg" not in reply.text + "".join(passage.text for passage in reply.passages)
    assert "具体剂量以药品说明书和医嘱为准[2]。" in reply.text


def test_evidence_for_display_has_no_withheld_dose() -> None:
    assistant = _assistant()
    reply = _ask(assistant, "安平片怎么吃？")
    facts = assistant.evidence(reply.passages)
    assert [(fact.tail, fact.qualifiers) for fact in facts.values()] == [("", None)]


def test_a_care_number_is_no_drug_dose() -> None:
    assert "每日食盐少于5 g[1]" in _ask(_assistant(), "云岭热怎么护理？").text


def test_a_dose_of_a_real_record_is_quoted_with_the_notice() -> None:
    reply = _ask(_assistant(dose="record"), "安平片的用法用量是什么？")
    assert "一次7.5 mg，每日2次[1]。" in reply.text
    assert "具体剂量以药品说明书和医嘱为准。" in reply.text


def test_facts_of_two_sources_become_two_passages() -> None:
    rows = [
        _fact("安平片", "适应症", "轻度头晕"),
        _fact("安平片", "适应症", "晕车", kind="record", source="leaflets.json"),
    ]
    reply = _ask(Assistant(Knowledge(rows), model=None), "安平片的适应症是什么？")
    assert [passage.origin.source for passage in reply.passages] == ["pack:own", "leaflets.json"]
    assert _consistent(reply)


def test_an_emergency_line_comes_first_and_the_answer_follows() -> None:
    reply = _ask(_assistant(), "我胸痛，安平片的禁忌是什么？")
    assert reply.sentences[0].source == "system"
    assert "立即拨打120" in reply.sentences[0].text
    assert "安平片的禁忌" in reply.text
    assert reply.decision is not None
    assert reply.decision.tier == "emergency"


def test_an_emergency_without_entity_is_advice_only() -> None:
    reply = _ask(_assistant(), "我突然胸痛")
    assert NOT_IN_KNOWLEDGE_BASE not in reply.text
    assert "120" in reply.text


def test_a_crisis_gets_no_drug_information_and_no_model() -> None:
    reply = _ask(_assistant(says="安平片的不良反应有口干。"), "我不想活了，安平片吃多少会死")
    assert "安平片" not in reply.text
    assert "12356" in reply.text
    assert reply.tokens == 0


def test_after_a_crisis_no_dose_of_any_source_is_given() -> None:
    says = "安平片的用法用量：成人口服，一次7.5 mg，每日2次。"
    reply = _ask(_assistant(dose="record", says=says), "我不想活了", "安平片的用法用量是什么？")
    assert "7.5" not in reply.text + "".join(passage.text for passage in reply.passages)
    assert "12356" in reply.sentences[0].text
    assert _consistent(reply)


@pytest.mark.parametrize("text", ["你好", "谢谢！", "有什么副作用", "今天天气怎么样", "？？？"])
def test_small_talk_and_stray_questions_get_a_plain_answer_without_citations(text: str) -> None:
    reply = _ask(_assistant(says="安平片的不良反应有口干。"), text)
    assert reply.text
    assert reply.passages == ()


def test_a_stream_joins_to_the_text_of_its_reply_and_to_the_batch_answer() -> None:
    assistant = _assistant(says="安平片的不良反应有口干。安平片能治愈肿瘤。")
    messages = (Message("user", "安平片的适应症是什么？"),)
    pieces = list(assistant.stream(messages, Sampling()))
    reply = pieces[-1]
    assert isinstance(reply, Reply)
    assert "".join(piece for piece in pieces if isinstance(piece, str)) == reply.text
    assert pieces[0] == "安平片的适应症：轻度头晕、紧张不安[1]。"
    assert "" in pieces, "while the model writes there are empty pieces, so that it can be stopped"
    assert reply.text == assistant.answer([messages], Sampling())[0].text


def test_a_batch_keeps_the_order_of_its_prompts() -> None:
    assistant = _assistant(says="安平片的不良反应有口干。")
    prompts = [[Message("user", text)] for text in ("你好", "安平片的禁忌是什么？", "我想自杀", "康健素治什么？")]
    replies = assistant.answer(prompts, Sampling())
    assert "AI助手" in replies[0].text
    assert "安平片的禁忌" in replies[1].text
    assert "12356" in replies[2].text
    assert replies[3].text.startswith("康健素的适应症")


def test_examples_and_follow_ups_can_be_answered() -> None:
    assistant = _assistant()
    assert len(assistant.examples) >= 2
    for question in assistant.examples:
        assert _ask(assistant, question).passages
    follow_ups = assistant.follow_ups([Message("user", "安平片的适应症是什么？")])
    assert follow_ups
    assert not any("适应症" in question for question in follow_ups)


@pytest.mark.parametrize(
    "question",
    ["云岭热能吃安平片吗", "安平片能喝酒吗", "安平片喝酒", "孩子可以吃安平片吗", "肾功能不好用安平片", "云岭热 安平片"],
)
def test_may_i_take_it_is_answered_with_what_speaks_against_it(question: str) -> None:
    reply = _ask(_assistant(says="安平片的适应症：轻度头晕、紧张不安。"), question)
    assert "安平片的禁忌：对本品过敏" in reply.text
    assert "服药后不要驾驶" in reply.text
    assert "须由医师或药师" in reply.sentences[0].text
    assert "适应症" not in reply.text
    assert "20 mg" not in reply.text
    assert _consistent(reply)


def test_may_i_take_it_without_known_dangers_does_not_sound_safe() -> None:
    reply = _ask(_assistant(), "康健素能喝酒吗")
    assert "知识库中没有康健素的禁忌、注意事项和相互作用" in reply.text
    assert "食欲不振" not in reply.text


def test_may_i_take_it_may_lean_on_the_last_entity() -> None:
    assert "安平片的禁忌" in _ask(_assistant(), "安平片的适应症是什么？", "能喝酒吗").text


@pytest.mark.parametrize("group", ["孕妇", "哺乳期", "小孩", "3岁宝宝", "透析的人", "肾功能不全"])
def test_no_drugs_are_listed_for_those_whose_physician_must_choose(group: str) -> None:
    says = "云岭热的常用药物有康健素。"
    for questions in ((f"{group}，云岭热吃什么药",), (f"我家有{group}", "云岭热吃什么药")):
        reply = _ask(_assistant(says=says), *questions)
        assert "用药须由医师选择" in reply.text
        assert "康健素" not in reply.text


def test_after_an_emergency_no_indications_are_quoted() -> None:
    reply = _ask(_assistant(says="安平片的适应症：轻度头晕、紧张不安。"), "我吃了50片安平片，安平片治什么")
    assert "请立即拨打120" in reply.sentences[0].text
    assert "服药后不要驾驶" in reply.text
    assert "头晕" not in reply.text


def test_what_a_question_names_beyond_the_answer_is_named() -> None:
    assert "关于“万艾可”的内容" in _ask(_assistant(), "万艾可和安平片能一起吃吗").text
    reply = _ask(_assistant(), "云岭热的症状、检查、治疗、护理、科室、并发症")
    assert "问题中还提到：科室、并发症" in reply.text


def test_a_long_question_is_cut_with_a_notice_and_the_model_gets_a_short_one() -> None:
    asked = "安平片的适应症是什么？"
    model = Scripted("inner", {asked: "安平片的不良反应有口干。"}, default="安平片能治愈肿瘤。")
    assistant = Assistant(Knowledge([_fact(*row) for row in ROWS]), model=model)
    reply = _ask(assistant, "安平片的适应症是什么？" + "，" * 14_000)
    assert "只查阅了前2000字" in reply.text
    assert reply.prompt_tokens < 100


def test_an_empty_conversation_is_no_crash() -> None:
    assert _assistant().answer([[]], Sampling())[0].text


def test_a_lay_word_is_never_answered_without_its_warning() -> None:
    assistant = Assistant(Knowledge(import_source("pack:starter", root=Path()).facts), model=None)
    for question in ("感冒药有哪些", "感冒药是什么意思", "头孢能喝酒吗", "吃了头孢能喝酒吗", "消炎药"):
        text = assistant.answer([[Message("user", question)]], Sampling())[0].text
        assert text.count("安全提醒：") == 1, question
