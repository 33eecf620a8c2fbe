"""The assistant: looks a question up in the knowledge base, answers with citations, and lets a model add only what
the facts support."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain

from xinglin.knowledge.store import Knowledge
from xinglin.knowledge.verify import supports
from xinglin.serve import quoting
from xinglin.serve.draft import Draft, last_question
from xinglin.serve.need import LEADING, LONGEST, SAFETY, Need, Needs, courtesy, is_medicine
from xinglin.serve.triage import triage
from xinglin.text import NOT_IN_KNOWLEDGE_BASE, fold, sentences, squeeze
from xinglin.types import ChatModel, Fact, Message, Passage, Reply, Sampling

_NAMING = frozenset({"别名", "商品名", "英文名", "拼音", "ATC编码", "ICD-10编码", "类别"})
_GROUPS = frozenset({"妊娠哺乳", "儿童用药", "老年用药", "肝肾功能不全"})
"""Relations about groups of people. Their words are said of illnesses too, where no such facts are meant."""
_COMMON = ("氨氯地平", "高血压", "黄芪", "布洛芬", "阿莫西林", "糖尿病", "感冒", "桂枝汤")
_EXAMPLES = ("适应症", "典型症状", "功效", "禁忌", "不良反应", "何时就医", "组成", "检查")
_SHELTER = "如果仍有轻生的念头，请拨打心理援助热线12356或120，并请身边的人陪着您。"
_WARNINGS = (
    *("禁忌", "不良反应", "注意事项", "相互作用", "妊娠哺乳", "儿童用药", "老年用药", "肝肾功能不全"),
    *("配伍禁忌", "使用注意", "过量", "检查禁忌", "禁止做法", "安全提醒", "何时就医"),
)
_URGENT = ("何时就医", "操作步骤", "禁止做法", "注意事项")
_CARE = ("护理", "何时就医")
_TOGETHER = {"释义": ("常指", "安全提醒"), "操作步骤": ("禁止做法", "何时就医")}
"""What belongs to an introduction by this relation: a word's meaning is not enough without its warning."""
_CHOICE = frozenset({"常用药物"})
_HINT = "请换一个名称（药品通用名或商品名、疾病名、中药名）再问，或咨询医师、药师。"
_GREETING = "您好，我是AI助手，不是医生。可以问我药品、疾病或中药的资料，例如“{example}”；我会标明每句话的出处。"
_GROUP = (
    "孕妇、哺乳期妇女、儿童和肝肾功能不全的人，用药须由医师选择，这里不列常用药物；"
    "可以问我某种药品的禁忌或妊娠哺乳用药资料。"
)
_JUDGE = "能否使用{heads}，须由医师或药师结合具体情况判断；知识库中没有提到不等于安全。"
_CUT = f"问题超过{LONGEST}字，只查阅了前{LONGEST}字，请缩短后再问。"
_MARK = re.compile(r"\[\d+\]")


@dataclass(slots=True)
class _Answer:
    """An answer in the making: what the knowledge base said, and what the model may still be asked.

    `sheltered`: a crisis was spoken of earlier in this conversation, so no dose of any source is given.
    """

    draft: Draft
    sheltered: bool = False
    facts: tuple[Fact, ...] = ()
    quoted: frozenset[str] = frozenset()
    prompt: tuple[Message, ...] = ()

    @property
    def urgent(self) -> bool:
        """Whether an emergency was recognised."""
        return self.draft.decision.tier == "emergency"

    def may_quote(self, fact: Fact) -> bool:
        """Whether this answer may show a fact."""
        return quoting.quotable(fact) and not (self.sheltered and quoting.states_dose(fact))


class Assistant:
    """A ChatModel over a knowledge base and, if given, an underlying model.

    `show_dropped` adds a notice with the number of model sentences that the facts did not support.
    """

    def __init__(
        self, knowledge: Knowledge, *, model: ChatModel | None, name: str = "assistant", show_dropped: bool = False
    ) -> None:
        self.knowledge = knowledge
        self.model = model
        self.show_dropped = show_dropped
        self._name = name
        self._needs = Needs(knowledge)
        self._patterns = knowledge.patterns

    @property
    def name(self) -> str:
        """The name under which the assistant is served."""
        return self._name

    def answer(self, prompts: Sequence[Sequence[Message]], sampling: Sampling) -> list[Reply]:
        """One reply per conversation; the underlying model is asked for all of them in one batch.

        `sampling` is for the underlying model: knowledge is quoted whole or not at all.
        """
        answers = [self._look_up(messages) for messages in prompts]
        asked = [answer.prompt for answer in answers if answer.prompt]
        spoken = iter(self.model.answer(asked, sampling) if self.model and asked else [])
        return [
            self._finish(answer, messages, next(spoken) if answer.prompt else None)
            for answer, messages in zip(answers, prompts, strict=True)
        ]

    def stream(self, messages: Sequence[Message], sampling: Sampling) -> Iterator[str | Reply]:
        """Safety and knowledge at once, then the checked sentences of the model, then the Reply.

        While the model writes, empty pieces are yielded: its words come out only after they were checked.
        """
        answer = self._look_up(messages)
        yield answer.draft.text
        spoken = None
        if self.model and answer.prompt:
            for piece in self.model.stream(answer.prompt, sampling):
                if isinstance(piece, Reply):
                    spoken = piece
                else:
                    yield ""
        shown = len(answer.draft.text)
        reply = self._finish(answer, messages, spoken)
        if reply.text[shown:]:
            yield reply.text[shown:]
        yield reply

    @cached_property
    def examples(self) -> tuple[str, ...]:
        """Four questions that the knowledge base can answer, of different relations and heads."""
        found: dict[str, str] = {}
        for relation in _EXAMPLES:
            common = (head for head in _COMMON if self.knowledge.lookup(head, relation))
            others = (fact.head for fact in self.knowledge.facts.values() if fact.relation == relation)
            head = next((head for head in chain(common, others) if head not in found), None)
            if head is not None and relation in self._patterns:
                found[head] = self._patterns[relation].questions[0].format(head=head)
        return tuple(found.values())[:4]

    @cached_property
    def sources(self) -> tuple[tuple[str, str, int], ...]:
        """Sources of the knowledge base with their licences and numbers of facts."""
        origins = (fact.origin for fact in self.knowledge.facts.values())
        counts = Counter((origin.source, origin.licence) for origin in origins)
        return tuple((source, licence, count) for (source, licence), count in sorted(counts.items()))

    def follow_ups(self, messages: Sequence[Message], count: int = 4) -> tuple[str, ...]:
        """Questions about the same entity that the knowledge base can also answer, what was not asked yet first."""
        need = self._needs.read(messages)
        decision = triage(last_question(messages))
        if not need.heads or decision.action != "allow" or decision.tier == "emergency":
            return ()
        head = need.heads[0]
        said = [message.content for message in messages if message.role == "user"]
        asked = {relation for question in said for relation in self._needs.linker.link(question).relations}
        left = [name for name in self.knowledge.relations(head) if name in self._patterns and name not in asked]
        left = [name for name in left if not (need.group and name in _CHOICE)]
        left.sort(key=lambda name: name in _NAMING)
        return tuple(self._patterns[name].questions[0].format(head=head) for name in left[:count])

    def evidence(self, passages: Sequence[Passage]) -> dict[str, Fact]:
        """The facts behind passages, by id, for display; what may not be quoted has an empty tail."""
        facts = [self.knowledge.facts[name] for passage in passages for name in passage.facts]
        return {fact.id: fact if quoting.quotable(fact) else replace(fact, tail="", qualifiers=None) for fact in facts}

    def _look_up(self, messages: Sequence[Message]) -> _Answer:
        """Everything that needs no model: safety first, then quotations, or a plain "not here"."""
        question = last_question(messages)
        decision = triage(question)
        answer = _Answer(Draft(decision))
        for line in decision.advice.splitlines():
            answer.draft.notice(line)
        if decision.action != "allow":
            return answer
        earlier = [message.content for message in messages if message.role == "user"][:-1]
        if any(triage(text).action == "replace" for text in earlier):
            answer.sheltered = True
            answer.draft.notice(_SHELTER)
        if len(question) > LONGEST:
            answer.draft.notice(_CUT)
        need = self._needs.read(messages)
        if not need.heads:
            self._decline(answer, question, need)
        else:
            self._quote(answer, need)
            if answer.quoted and self.model:
                answer.prompt = self._prompt(messages, answer)
        return answer

    def _decline(self, answer: _Answer, question: str, need: Need) -> None:
        if answer.draft.decision.tier == "emergency":
            return
        if need.group and not courtesy(question):
            answer.draft.notice(_GROUP)
        if courtesy(question):
            example = next(iter(self.examples), "")
            answer.draft.notice(_GREETING.format(example=example))
        elif fold(need.unknown) in self.knowledge.ambiguous:
            heads = "、".join(self.knowledge.ambiguous[fold(need.unknown)])
            answer.draft.notice(f"“{need.unknown}”在知识库中可能指：{heads}。请用其中一个名称再问。")
        elif need.unknown:
            answer.draft.notice(f"{NOT_IN_KNOWLEDGE_BASE}关于“{need.unknown}”的内容。")
            answer.draft.notice(_HINT)
        elif need.relations:
            answer.draft.notice("请说明您问的是哪种药品、疾病或中药。")
        else:
            answer.draft.notice(f"{NOT_IN_KNOWLEDGE_BASE}与这个问题相符的内容。")
            answer.draft.notice(_HINT)

    def _quote(self, answer: _Answer, need: Need) -> None:
        """Say what the knowledge base holds for the heads and relations, and plainly what it does not."""
        for text, head in dict.fromkeys(need.aliases):
            if fold(text) != fold(head):
                answer.draft.notice(f"“{text}”在知识库中对应“{head}”。")
        for name in need.missing:
            answer.draft.notice(f"{NOT_IN_KNOWLEDGE_BASE}关于“{name}”的内容，以下回答不涉及它。")
        if need.left_out:
            answer.draft.notice(f"问题中还提到：{'、'.join(need.left_out)}。这次没有回答，请分开提问。")
        answer.facts = tuple(fact for fact in self._nearby(answer, need) if answer.may_quote(fact))
        if answer.urgent:
            self._quote_urgent(answer, need)
        elif need.safety:
            self._quote_safety(answer, need)
        else:
            self._quote_asked(answer, need)

    def _nearby(self, answer: _Answer, need: Need) -> Iterator[Fact]:
        """The facts a model may add. Asked about departments, a model that answers with (true) examinations has not
        answered: it may add to what was asked for, a warning, or anything where nothing particular was asked for."""
        limited = answer.urgent or need.safety or need.relations
        allowed = {*_WARNINGS, *(() if answer.urgent else need.relations)}
        for head in need.heads:
            for fact in self.knowledge.lookup(head):
                hidden = need.group and fact.relation in _CHOICE
                if not hidden and (not limited or fact.relation in allowed):
                    yield fact

    def _quote_urgent(self, answer: _Answer, need: Need) -> None:
        """In an emergency: warnings that were asked for, otherwise when to see a doctor and what to mind."""
        asked = [relation for relation in need.relations if relation in _WARNINGS]
        for head in need.heads:
            for relation in asked or _URGENT:
                self._say_facts(answer, self.knowledge.lookup(head, relation))

    def _quote_safety(self, answer: _Answer, need: Need) -> None:
        """May it be taken? What speaks against it comes first; indications only when asked for, and last."""
        medicines = [head for head in need.heads if is_medicine(self.knowledge, head)]
        heads = medicines or list(need.heads)
        first = [name for name in need.relations if name not in LEADING]
        last = [name for name in need.relations if name in LEADING]
        wanted = dict.fromkeys((*first, *(SAFETY if medicines else _CARE), *last))
        if medicines:
            answer.draft.notice(_JUDGE.format(heads="、".join(heads)))
        for head in heads:
            held = set(self.knowledge.relations(head))
            if medicines and held.isdisjoint(SAFETY):
                answer.draft.notice(f"{NOT_IN_KNOWLEDGE_BASE}{head}的禁忌、注意事项和相互作用，请咨询医师或药师。")
            if not medicines:
                answer.draft.notice(f"关于{head}能否这样做，知识库中没有直接的资料；请咨询医师。")
                self._say_facts(answer, self.knowledge.lookup(head, "安全提醒"))
            for relation in wanted:
                if relation in held and not (need.group and relation in _CHOICE):
                    self._say_facts(answer, self.knowledge.lookup(head, relation))

    def _quote_asked(self, answer: _Answer, need: Need) -> None:
        relations = tuple(name for name in need.relations if name not in _GROUPS or self._held(need, name))
        if need.group:
            answer.draft.notice(_GROUP)
            relations = tuple(name for name in relations if name not in _CHOICE)
        if not relations and "常用药物" not in need.relations:
            for head in need.heads:
                self._introduce(answer, head, group=need.group)
            return
        for relation in relations:
            holders = [head for head in need.heads if self.knowledge.lookup(head, relation)]
            for head in holders:
                self._say_facts(answer, self.knowledge.lookup(head, relation))
            kinds = {is_medicine(self.knowledge, head) for head in holders}
            others = [head for head in need.heads if head not in holders]
            for head in others if holders else ():
                if is_medicine(self.knowledge, head) in kinds:
                    answer.draft.notice(f"{NOT_IN_KNOWLEDGE_BASE}{head}的{relation}。")
        for head in need.heads:  # a lay word is never answered without its warning
            warnings = self.knowledge.lookup(head, "安全提醒")
            self._say_facts(answer, [fact for fact in warnings if fact.id not in answer.quoted])
        missing = [relation for relation in relations if not self._held(need, relation)]
        if missing:
            self._say_missing(answer, need.heads, missing)

    def _held(self, need: Need, relation: str) -> bool:
        return any(self.knowledge.lookup(head, relation) for head in need.heads)

    def _introduce(self, answer: _Answer, head: str, *, group: bool) -> None:
        relations = self.knowledge.relations(head)
        leading = next((name for name in LEADING if name in relations), None)
        said = (leading, *_TOGETHER.get(leading, ())) if leading else ()
        for relation in said:
            self._say_facts(answer, self.knowledge.lookup(head, relation))
        others = [name for name in relations if name not in said and not (group and name in _CHOICE)]
        answer.draft.notice(f"关于{head}，还可以问：{'、'.join(others)}。")

    def _say_missing(self, answer: _Answer, heads: Sequence[str], missing: Sequence[str]) -> None:
        for head in heads:
            answer.draft.notice(f"{NOT_IN_KNOWLEDGE_BASE}{head}的{'、'.join(missing)}。")
            relations = "、".join(self.knowledge.relations(head))
            if relations:
                answer.draft.notice(f"关于{head}，知识库中有：{relations}。")

    def _say_facts(self, answer: _Answer, facts: Sequence[Fact]) -> None:
        """Quote facts of one head and relation; doses of unreviewed summaries are cited but not shown."""
        shown = [fact for fact in facts if answer.may_quote(fact)]
        kept = [fact for fact in facts if not answer.may_quote(fact)]
        for passage in quoting.passages(self.knowledge, shown):
            answer.draft.say(passage.text, source="knowledge", verdict="supported", cites=[passage])
        answer.quoted |= frozenset(quoting.names(shown))
        if kept and answer.sheltered:
            answer.draft.notice(f"{quoting.ASK_LABEL}。")
        elif kept:
            note = f"{kept[0].head}的{kept[0].relation}中涉及剂量的内容是未经医师审核的概要，不展示数字"
            answer.draft.notice(f"{note}；{quoting.ASK_LABEL}。", cites=[quoting.withheld_passage(kept)])
        elif any(quoting.states_dose(fact) for fact in shown):
            answer.draft.notice(f"{quoting.ASK_LABEL}。")

    def _prompt(self, messages: Sequence[Message], answer: _Answer) -> tuple[Message, ...]:
        """A short question in our own words about what was quoted first: the user's text may be long, or lean on
        earlier turns, and costs the model time in proportion."""
        first = self.knowledge.facts[answer.draft.passages[0].facts[0]]
        pattern = self._patterns.get(first.relation)
        question = pattern.questions[0].format(head=first.head) if pattern else f"{first.head}的{first.relation}？"
        system = [message for message in messages if message.role == "system" and len(message.content) <= LONGEST]
        return (*system, Message("user", question))

    def _finish(self, answer: _Answer, messages: Sequence[Message], spoken: Reply | None) -> Reply:
        """Add the model's sentences that the facts support and that say something new; drop the others."""
        if spoken is not None:
            dropped = self._add_supported(answer, spoken.text)
            if dropped and self.show_dropped:
                answer.draft.notice(f"模型另有{dropped}句未得到知识库支持，已略去。")
        return answer.draft.reply(self.name, messages, spoken=spoken)

    def _add_supported(self, answer: _Answer, text: str) -> int:
        """Append supported sentences; returns how many were not supported."""
        by_id = {fact.id: fact for fact in answer.facts}
        said = set(answer.quoted)
        heard: set[str] = set()
        dropped = 0
        for start, end in sentences(text):
            sentence = _MARK.sub("", text[start:end]).strip()
            if not sentence or squeeze(sentence) in heard:
                continue
            heard.add(squeeze(sentence))
            backing = supports(sentence, answer.facts)
            dropped += not backing
            new = [by_id[name] for name in backing if name in by_id and name not in said]
            if new:
                cites: list[Passage] = quoting.passages(self.knowledge, [by_id[name] for name in backing])
                answer.draft.say(sentence, source="model", verdict="supported", cites=cites)
                said |= {fact.id for fact in new}
        return dropped
