"""The assistant: looks a question up in the knowledge base, answers with citations, and lets a model add only what
the facts support."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain

from xinglin.knowledge.link import Linker
from xinglin.knowledge.store import Knowledge
from xinglin.knowledge.verify import supports
from xinglin.serve import quoting
from xinglin.serve.draft import Draft, last_question
from xinglin.serve.triage import triage
from xinglin.text import NOT_IN_KNOWLEDGE_BASE, fold, sentences, squeeze
from xinglin.types import ChatModel, Fact, Message, Passage, Reply, Sampling

MOST_HEADS = 3
MOST_RELATIONS = 4
_NAMING = frozenset({"别名", "商品名", "类别"})
_COMMON = ("氨氯地平", "高血压", "黄芪", "布洛芬", "阿莫西林", "糖尿病", "感冒", "桂枝汤")
_EXAMPLES = ("适应症", "典型症状", "功效", "禁忌", "不良反应", "何时就医", "组成", "检查")
_LEADING = ("适应症", "典型症状", "功效", "主治")
_SHELTER = "如果仍有轻生的念头，请拨打心理援助热线12356或120，并请身边的人陪着您。"
_WARNINGS = ("禁忌", "不良反应", "注意事项", "相互作用", "妊娠哺乳", "配伍禁忌", "何时就医")
_HINT = "请换一个名称（药品通用名或商品名、疾病名、中药名）再问，或咨询医师、药师。"
_GREETING = "您好，我是AI助手，不是医生。可以问我药品、疾病或中药的资料，例如“{example}”；我会标明每句话的出处。"
_COURTESIES = frozenset(
    [
        "你好",
        "您好",
        "你好啊",
        "嗨",
        "在吗",
        "hello",
        "hi",
        "谢谢",
        "谢谢你",
        "谢谢您",
        "多谢",
        "好的",
        "好",
        "嗯",
        "明白了",
    ]
)
_PRONOUN = re.compile("(那么|那|请问|另外|还有|还)?(它|他|她|[这那该此][个种]?(药|病|药物|疾病)?)?")
_MARK = re.compile(r"\[\d+\]")


@dataclass(frozen=True, slots=True)
class _Need:
    """What a question asks for: canonical heads, relations, and how the user named the heads."""

    heads: tuple[str, ...] = ()
    relations: tuple[str, ...] = ()
    aliases: tuple[tuple[str, str], ...] = ()
    carried: bool = False
    unknown: str = ""


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
        self._linker = Linker(knowledge)
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
        need = self._need(messages)
        if not need.heads or triage(last_question(messages)).action != "allow":
            return ()
        head = need.heads[0]
        said = [message.content for message in messages if message.role == "user"]
        asked = {relation for question in said for relation in self._linker.link(question).relations}
        left = [name for name in self.knowledge.relations(head) if name in self._patterns and name not in asked]
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
        need = self._need(messages)
        if not need.heads:
            self._decline(answer, question, need)
        else:
            self._quote(answer, need)
            if answer.quoted and self.model:
                answer.prompt = self._prompt(messages, need)
        return answer

    def _need(self, messages: Sequence[Message]) -> _Need:
        """Link the last question; what it leaves out ("有什么副作用", "那硝苯地平呢") comes from earlier turns."""
        questions = [message.content for message in messages if message.role == "user"]
        if not questions:
            return _Need()
        link = self._linker.link(questions[-1])
        heads = tuple(dict.fromkeys(mention.head for mention in link.mentions))[:MOST_HEADS]
        relations = link.relations[:MOST_RELATIONS]
        if heads:
            aliases = tuple((mention.text, mention.head) for mention in link.mentions if mention.head in heads)
            if not relations and fold(questions[-1]).rstrip("?!。").endswith("呢"):
                links = (self._linker.link(question) for question in reversed(questions[:-1]))
                asked = next((earlier.relations for earlier in links if earlier.relations), ())[:MOST_RELATIONS]
                held = {relation for head in heads for relation in self.knowledge.relations(head)}
                relations = tuple(relation for relation in asked if relation in held)
                return _Need(heads, relations, aliases, carried=bool(relations))
            return _Need(heads, relations, aliases)
        unknown = self._unknown(questions[-1])
        if relations and not unknown:
            return self._carry(questions[:-1], relations)
        return _Need((), relations, unknown=unknown)

    def _unknown(self, question: str) -> str:
        """The name of something that is not in the knowledge base; pronouns and courtesies name nothing."""
        name = self._linker.unknown(question).strip()
        folded = fold(name)
        return "" if _PRONOUN.fullmatch(folded) or _courtesy(question) else name

    def _carry(self, earlier: Sequence[str], relations: tuple[str, ...]) -> _Need:
        """The entity of the nearest earlier question that names one. If that one is unknown, no older one is taken:
        "有什么副作用" after a question about an absent drug must not be answered about another drug."""
        for question in reversed(earlier):
            link = self._linker.link(question)
            if link.mentions:
                heads = tuple(dict.fromkeys(mention.head for mention in link.mentions))[:MOST_HEADS]
                return _Need(heads, relations, carried=True)
            if name := self._unknown(question):
                return _Need((), relations, unknown=name if link.relations else "")
        return _Need((), relations)

    def _decline(self, answer: _Answer, question: str, need: _Need) -> None:
        if answer.draft.decision.tier == "emergency":
            return
        if _courtesy(question):
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

    def _quote(self, answer: _Answer, need: _Need) -> None:
        """Say what the knowledge base holds for the heads and relations, and plainly what it does not."""
        for text, head in dict.fromkeys(need.aliases):
            if fold(text) != fold(head):
                answer.draft.notice(f"“{text}”在知识库中对应“{head}”。")
        # Asked about departments, a model that answers with (true) examinations has not answered: it may add to what
        # was asked for, a warning, or anything where nothing particular was asked for.
        answer.facts = tuple(
            fact
            for head in need.heads
            for fact in self.knowledge.lookup(head)
            if answer.may_quote(fact) and (not need.relations or fact.relation in (*need.relations, *_WARNINGS))
        )
        if not need.relations:
            for head in need.heads:
                self._introduce(answer, head)
            return
        for relation in need.relations:
            holders = [head for head in need.heads if self.knowledge.lookup(head, relation)]
            for head in holders:
                self._say_facts(answer, self.knowledge.lookup(head, relation))
            if not holders:
                self._say_missing(answer, need.heads, relation)

    def _introduce(self, answer: _Answer, head: str) -> None:
        relations = self.knowledge.relations(head)
        leading = next((name for name in _LEADING if name in relations), None)
        if leading is not None:
            self._say_facts(answer, self.knowledge.lookup(head, leading))
        answer.draft.notice(f"关于{head}，还可以问：{'、'.join(name for name in relations if name != leading)}。")

    def _say_missing(self, answer: _Answer, heads: Sequence[str], relation: str) -> None:
        for head in heads:
            answer.draft.notice(f"{NOT_IN_KNOWLEDGE_BASE}{head}的{relation}。")
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

    def _prompt(self, messages: Sequence[Message], need: _Need) -> tuple[Message, ...]:
        """The question for the underlying model, made to stand alone when it leaned on earlier turns."""
        question = last_question(messages)
        if need.carried and need.relations and need.relations[0] in self._patterns:
            question = self._patterns[need.relations[0]].questions[0].format(head=need.heads[0])
        system = [message for message in messages if message.role == "system"]
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


def _courtesy(question: str) -> bool:
    return fold(question).strip("!?。,.~") in _COURTESIES
