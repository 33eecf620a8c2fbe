"""The nouns that cross rooms: frozen, slotted dataclasses, validated once at the file boundary.

A record's `id` is a hash of its content, so the same content always has the same id and `xinglin trace ID`
can walk from any record to the facts, files and licences behind it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Kind = Literal["label", "record", "summary", "document", "dialogue", "template", "model"]
Role = Literal["system", "user", "assistant"]


def make_id(noun: str, *parts: object) -> str:
    """Content id such as `fact-1f3a90b2c4d5`: 12 hexadecimal digits (48 bits) of SHA-256 over the parts."""
    text = json.dumps(parts, ensure_ascii=False, sort_keys=True, default=str)
    return f"{noun}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


@dataclass(frozen=True, slots=True)
class Maker:
    """Which step, model and prompt wrote a record."""

    step: str
    model: str = ""
    prompt_digest: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """The outcome of one named filter on a record."""

    name: str
    passed: bool
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a record comes from: file, place in it, licence, and the ids of the records it was made from."""

    source: str
    item: str
    licence: str
    kind: Kind
    group: str = ""
    parents: tuple[str, ...] = ()
    maker: Maker | None = None
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True, slots=True)
class Qualifiers:
    """The structured conditions of a fact. `dose` is per administration (per kg where `unit` says so); `low` and `high`
    are the limits of a reference range in `unit`."""

    population: str = ""
    route: str = ""
    dose: str = ""
    unit: str = ""
    frequency: str = ""
    daily_max: str = ""
    note: str = ""
    low: str = ""
    high: str = ""


@dataclass(frozen=True, slots=True)
class Fact:
    """One statement of the knowledge base: head, relation, tail, and the conditions under which it holds."""

    id: str
    head: str
    relation: str
    tail: str
    origin: Origin
    qualifiers: Qualifiers | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """A statement read out of a text; `start` and `end` are character offsets into that text."""

    head: str
    relation: str
    tail: str
    start: int
    end: int
    negated: bool = False
    qualifiers: Qualifiers | None = None


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of text with the ids of the facts it states; `score` is its retrieval score (higher is nearer)."""

    id: str
    text: str
    facts: tuple[str, ...]
    origin: Origin
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


GOOD_ANSWER, BAD_ANSWER = "kto:good", "kto:bad"
"""Tags of a sample whose answer somebody has judged; a bad one is never learnt as an answer to give."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A training conversation. `extra` keeps unknown columns, so that a round trip loses nothing."""

    id: str
    messages: tuple[Message, ...]
    origin: Origin
    tags: tuple[str, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Preference:
    """Two answers to one prompt, the first preferred by `margin` (1.0 when only the order is known).

    `extra` as in Sample."""

    id: str
    prompt: tuple[Message, ...]
    chosen: str
    rejected: str
    origin: Origin
    margin: float = 1.0
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ranking:
    """Several answers to one prompt; `order` lists their indices from best to worst, `by` says who ranked.

    `extra` as in Sample."""

    id: str
    prompt: tuple[Message, ...]
    answers: tuple[str, ...]
    order: tuple[int, ...]
    by: str
    origin: Origin
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Question:
    """An evaluation item: `answers` are the gold answers, `choices` candidate answers (the gold one among them;
    in an exam named by its letter). `extra` as in Sample."""

    id: str
    messages: tuple[Message, ...]
    answers: tuple[str, ...]
    task: str
    origin: Origin
    choices: tuple[str, ...] = ()
    spans: tuple[tuple[int, int], ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Weights on disk in Hugging Face format; `digest` is the SHA-256 over its files."""

    path: str
    stage: str
    base: str
    digest: str
    adapter: str = ""
    base_digest: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What a safety rule decided; `hits` names the rules, `advice` is shown to the user."""

    action: Literal["allow", "replace", "refuse"]
    tier: Literal["none", "urgent", "crisis", "emergency"] = "none"
    hits: tuple[str, ...] = ()
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence of a reply (offsets into `Reply.text`), who said it, and the passages that support it."""

    text: str
    start: int
    end: int
    source: Literal["knowledge", "model", "system"]
    passages: tuple[str, ...] = ()
    verdict: Literal["supported", "unverified", "notice"] = "unverified"


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model or the assistant answers; `tokens` counts generated tokens, `seconds` is wall time."""

    id: str
    text: str
    sentences: tuple[Sentence, ...] = ()
    passages: tuple[Passage, ...] = ()
    decision: Decision | None = None
    finish: Literal["stop", "length", "loop", "cancelled"] = "stop"
    tokens: int = 0
    prompt_tokens: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Prediction:
    """A question's id, the reply's text, and its score between 0 and 1."""

    question: str
    reply: str
    score: float


@dataclass(frozen=True, slots=True)
class Metric:
    """A number with its 95 % interval, the count it was computed from, and the signature of its definition."""

    name: str
    value: float
    low: float
    high: float
    count: int
    signature: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """The metrics of one model on one task."""

    model: str
    task: str
    metrics: tuple[Metric, ...]
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Case:
    """A simulated patient: what is visible, and what is told only when asked."""

    id: str
    profile: str
    hidden: dict[str, str]
    origin: Origin


@dataclass(frozen=True, slots=True)
class Episode:
    """A finished consultation with a simulated patient."""

    case: str
    messages: tuple[Message, ...]
    rewards: dict[str, float]


@dataclass(frozen=True, slots=True)
class Verdict:
    """A reviewer's decision on a record."""

    record: str
    by: str
    keep: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to decode: temperature 0 is greedy; `top_k` 0 and `top_p` 1 switch those filters off."""

    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0
    seed: int = 0


class ChatModel(Protocol):
    """Anything that turns messages into a reply: a local model, a remote one, a script, the assistant."""

    @property
    def name(self) -> str: ...

    def answer(self, prompts: Sequence[Sequence[Message]], sampling: Sampling) -> list[Reply]:
        """One reply per prompt, in order."""
        ...

    def stream(self, messages: Sequence[Message], sampling: Sampling) -> Iterator[str | Reply]:
        """Pieces of text as they are made, then the finished Reply as the last item."""
        ...


class ScoringModel(ChatModel, Protocol):
    """A ChatModel that can also say how likely given answers are."""

    def score(self, prompts: Sequence[Sequence[Message]], answers: Sequence[Sequence[str]]) -> list[list[float]]:
        """For each prompt the mean log-likelihood per token of each of its candidate answers."""
        ...
