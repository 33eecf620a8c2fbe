"""What a question asks of the knowledge base: which heads, which relations, and whether it asks "may I take it?"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from xinglin.knowledge.link import Link, Linker
from xinglin.knowledge.store import Knowledge
from xinglin.text import fold
from xinglin.types import Message

MOST_HEADS = 3
MOST_RELATIONS = 4
LONGEST = 2000
"""Characters of a question that are read; the callers say so where something was cut."""

SAFETY = ("禁忌", "使用注意", "注意事项", "相互作用", "配伍禁忌", "妊娠哺乳")
"""What answers "may I take it?"."""
LEADING = ("适应症", "典型症状", "功效", "主治", "检查用途", "操作步骤", "释义")
"""What introduces a head when nothing particular was asked."""
_COURTESIES = "你好 您好 你好啊 嗨 在吗 hello hi 谢谢 谢谢你 谢谢您 多谢 好的 好 嗯 明白了"

_MEDICINE = frozenset({"适应症", "用法用量", "禁忌", "功效", "主治", "组成", "配伍禁忌", "相互作用"})
_MAY = re.compile(
    r"(?:能|可以|可不可以|可否|敢|适合)[^,。?!;]{0,14}(?:吃|用(?!来|于|在)|服|喝|饮|打|输)"
    r"|(?:吃|用|服|喝)[^,。?!;]{0,20}(?:可以吗|可以不|行吗|行不行|安全吗|没事吗|没事吧|要紧吗|影响|危险)"
    r"|喝酒|饮酒|酒后|喝了酒|[白啤红]酒"
)
_GROUP = re.compile(
    r"怀孕|怀了孕|孕妇|孕期|孕早|孕晚|孕\d|妊娠|备孕|哺乳|喂奶|母乳|孩子|小孩|宝宝|婴儿|婴幼|幼儿|儿童|小儿|新生儿|娃|儿子|女儿"
    r"|(?<!\d)(?:1[0-7]|\d)岁|\d个?月大|[一二三四五六七八九](?:个月大|岁)"
    r"|肝功|肾功|肝肾|肝衰|肾衰|透析|尿毒症|肝硬化|(?:肝|肾)脏?(?:不好|不全|不行|有问题|有病)"
)
_CONDITION = re.compile(r"老人|老年|爷爷|奶奶|过敏|(?:肝|肾|心|胃)(?:脏|功能)?(?:不好|不全|有病)")
_PRONOUN = re.compile("(那么|那|请问|另外|还有|还)?(它|他|她|[这那该此][个种]?(药|病|药物|疾病)?)?")
_AND = "(?:和|与|跟|同|及|以及|、|加|配)"
_BESIDE = re.compile(f"([^\0,。?!;、]{{2,20}}){_AND}\0|\0{_AND}([^\0,。?!;、]{{2,20}})")


@dataclass(frozen=True, slots=True)
class Need:
    """What a question asks for: canonical heads, relations, and how the user named the heads.

    `unknown` names what was asked about when no head was found, `missing` names beside the heads that are not in the
    knowledge base, `left_out` what exceeds the limits. `safety`: the question is whether something may be taken.
    `group`: someone in this conversation is pregnant, nursing, a child, or has failing kidneys or liver.
    """

    heads: tuple[str, ...] = ()
    relations: tuple[str, ...] = ()
    aliases: tuple[tuple[str, str], ...] = ()
    carried: bool = False
    unknown: str = ""
    missing: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    safety: bool = False
    group: bool = False


def courtesy(question: str) -> bool:
    """Whether a question is a greeting or thanks."""
    return fold(question).strip("!?。,.~") in _COURTESIES.split()


def is_medicine(knowledge: Knowledge, head: str) -> bool:
    """Whether a head is something one takes: a drug, a herb or a formula."""
    return not _MEDICINE.isdisjoint(knowledge.relations(head))


class Needs:
    """Reads needs out of conversations."""

    def __init__(self, knowledge: Knowledge) -> None:
        self.linker = Linker(knowledge)
        self._knowledge = knowledge

    def read(self, messages: Sequence[Message]) -> Need:
        """Link the last question; what it leaves out ("有什么副作用", "那硝苯地平呢") comes from earlier turns."""
        questions = [message.content[:LONGEST] for message in messages if message.role == "user"]
        if not questions:
            return Need()
        need = self._link(questions)
        group = any(_GROUP.search(fold(question)) for question in questions)
        return replace(need, group=group, safety=self._asks_safety(fold(questions[-1]), need))

    def _link(self, questions: Sequence[str]) -> Need:
        question = questions[-1]
        link = self.linker.link(question)
        relations = link.relations[:MOST_RELATIONS]
        if not link.mentions:
            unknown = self._unknown(question)
            may = _MAY.search(fold(question))
            if (relations and not unknown) or (may and (not unknown or _MAY.search(fold(unknown)))):
                return self._carry(questions[:-1], relations)
            return Need((), relations, unknown=unknown)
        every = tuple(dict.fromkeys(mention.head for mention in link.mentions))
        heads = every[:MOST_HEADS]
        aliases = tuple((mention.text, mention.head) for mention in link.mentions if mention.head in heads)
        left_out = (*every[MOST_HEADS:], *link.relations[MOST_RELATIONS:])
        carried = not relations and fold(question).rstrip("?!。").endswith("呢")
        if carried:
            relations = self._earlier_relations(questions[:-1], heads)
        missing = self._missing(question, link)
        carried = carried and bool(relations)
        return Need(heads, relations, aliases, carried=carried, missing=missing, left_out=left_out)

    def _earlier_relations(self, earlier: Sequence[str], heads: Sequence[str]) -> tuple[str, ...]:
        links = (self.linker.link(question) for question in reversed(earlier))
        asked = next((link.relations for link in links if link.relations), ())[:MOST_RELATIONS]
        held = {relation for head in heads for relation in self._knowledge.relations(head)}
        return tuple(relation for relation in asked if relation in held)

    def _asks_safety(self, question: str, need: Need) -> bool:
        """Whether a medicine may be taken: "能吃…吗", alcohol, a group, an illness beside the medicine."""
        medicines = [head for head in need.heads if is_medicine(self._knowledge, head)]
        if medicines:
            beside = len(medicines) < len(need.heads) and not need.relations
            return beside or any(cue.search(question) for cue in (_MAY, _GROUP, _CONDITION))
        return bool(need.heads and _MAY.search(question) and set(need.relations) <= set(SAFETY))

    def _missing(self, question: str, link: Link) -> tuple[str, ...]:
        """Names that stand beside a known one ("万艾可和硝酸甘油") and are not in the knowledge base."""
        masked = question
        for mention in sorted(link.mentions, key=lambda mention: -mention.start):
            masked = f"{masked[: mention.start]}\0{masked[mention.end :]}"
        names: list[str] = []
        for match in _BESIDE.finditer(masked):
            name = self._unknown(match[1] or match[2])
            # The linker takes off what may end a name in a sentence (可, 能); before 和 the name is whole.
            whole = match[1] and match[1].startswith(name) and len(match[1]) == len(name) + 1
            names.append(match[1] if name and whole else name)
        return tuple(dict.fromkeys(name for name in names if len(name) > 1 and not _MAY.search(fold(name))))

    def _unknown(self, question: str) -> str:
        """The name of something that is not in the knowledge base; pronouns and courtesies name nothing."""
        name = self.linker.unknown(question).strip()
        return "" if _PRONOUN.fullmatch(fold(name)) or courtesy(question) else name

    def _carry(self, earlier: Sequence[str], relations: tuple[str, ...]) -> Need:
        """The entity of the nearest earlier question that names one. If that one is unknown, no older one is taken:
        "有什么副作用" after a question about an absent drug must not be answered about another drug."""
        for question in reversed(earlier):
            link = self.linker.link(question)
            if link.mentions:
                heads = tuple(dict.fromkeys(mention.head for mention in link.mentions))
                return Need(heads[:MOST_HEADS], relations, carried=True, left_out=heads[MOST_HEADS:])
            if name := self._unknown(question):
                return Need((), relations, unknown=name if link.relations else "")
        return Need((), relations)
