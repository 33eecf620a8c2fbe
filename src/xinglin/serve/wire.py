"""The shapes on the wire: OpenAI's chat completion request and response, and our `xinglin` field beside it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from xinglin.serve import disclaimer
from xinglin.serve.need import LONGEST
from xinglin.types import Message, Passage, Reply, Sampling

MAX_TOKENS = 4096
"""Upper limit of generated tokens per answer; larger wishes are lowered to it."""
DEFAULT_TOKENS = 512
"""Generated tokens per answer when the caller names no limit; the same on the page and in the terminal."""
MAX_MESSAGES = 200
MAX_CHARACTERS = 32_000
"""Upper limit of all messages of a request together."""
_KNOWN = frozenset({"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key"})


class Wrong(Exception):
    """A request that cannot be served: HTTP status, OpenAI error code, and the parameter at fault."""

    def __init__(self, message: str, *, status: int = 400, code: str = "invalid_request", param: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.param = param


class TextPart(BaseModel):
    """One text part of a message's content."""

    type: Literal["text"]
    text: str


class Turn(BaseModel):
    """One message; `developer` is read as `system`."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]

    @property
    def text(self) -> str:
        """The content as one string, parts joined by line ends."""
        return self.content if isinstance(self.content, str) else "\n".join(part.text for part in self.content)


class StreamOptions(BaseModel):
    """Options of a streamed answer."""

    include_usage: bool = False


class ChatRequest(BaseModel):
    """A chat completion request. Members we do not know are kept, and named in `xinglin.ignored`."""

    model_config = ConfigDict(extra="allow")

    model: str
    messages: list[Turn] = Field(min_length=1, max_length=MAX_MESSAGES)
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    seed: int | None = None
    n: Literal[1] | None = None
    tools: list[Any] | None = Field(default=None, max_length=0)
    functions: list[Any] | None = Field(default=None, max_length=0)
    logprobs: Literal[False] | None = None

    def conversation(self) -> tuple[Message, ...]:
        """The messages as nouns; too long or without a question is refused."""
        turns = [Message("system" if turn.role == "developer" else turn.role, turn.text) for turn in self.messages]
        if sum(len(turn.content) for turn in turns) > MAX_CHARACTERS:
            raise Wrong(
                f"the messages are longer than {MAX_CHARACTERS} characters together",
                status=413,
                code="context_length_exceeded",
                param="messages",
            )
        last = next((turn.content for turn in reversed(turns) if turn.role == "user"), "")
        if len(last) > LONGEST:
            raise Wrong(
                f"the last question is longer than {LONGEST} characters (问题超过{LONGEST}字，请缩短)",
                code="context_length_exceeded",
                param="messages",
            )
        if not any(turn.role == "user" and turn.content.strip() for turn in turns):
            raise Wrong("there is no user message with text", param="messages")
        return tuple(turns)

    def sampling(self) -> Sampling:
        """How to decode, with our defaults for what the request leaves open."""
        plain = Sampling()
        wished = self.max_completion_tokens or self.max_tokens or DEFAULT_TOKENS
        return Sampling(
            max_tokens=min(wished, MAX_TOKENS),
            temperature=plain.temperature if self.temperature is None else self.temperature,
            top_p=plain.top_p if self.top_p is None else self.top_p,
            seed=plain.seed if self.seed is None else self.seed,
        )

    def ignored(self) -> list[str]:
        """Names of members that were sent but change nothing here."""
        sent = self.model_extra or {}
        return sorted(name for name, value in sent.items() if value is not None and name not in _KNOWN)


class Citation(BaseModel):
    """The passage behind a [n] in the text."""

    n: int
    id: str
    title: str
    text: str
    source: str
    item: str
    licence: str
    kind: str
    facts: list[str]


class MarkedSentence(BaseModel):
    """A sentence of the answer (character offsets into the content), who said it, and its citations."""

    text: str
    start: int
    end: int
    source: Literal["knowledge", "model", "system"]
    verdict: Literal["supported", "unverified", "notice"]
    citations: list[int]


class Safety(BaseModel):
    """What the safety rules decided about the question."""

    action: Literal["allow", "replace", "refuse"] = "allow"
    tier: Literal["none", "urgent", "crisis", "emergency"] = "none"
    hits: list[str] = []
    advice: str = ""


class Aside(BaseModel):
    """The `xinglin` field of an answer."""

    reply: str
    citations: list[Citation]
    sentences: list[MarkedSentence]
    decision: Safety
    ai_label: str = disclaimer.AI_LABEL
    disclaimer: str = disclaimer.SHORT
    ignored: list[str] = []


class Usage(BaseModel):
    """Token counts; only generated tokens count as completion, quoted knowledge does not."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Answer(BaseModel):
    """The assistant message of a choice."""

    role: Literal["assistant"] = "assistant"
    content: str


class Choice(BaseModel):
    """The only choice of a completion."""

    index: Literal[0] = 0
    message: Answer
    finish_reason: Literal["stop", "length"]


class Completion(BaseModel):
    """A finished chat completion."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage
    xinglin: Aside


class Model(BaseModel):
    """A served model."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "xinglin"


class Models(BaseModel):
    """The list of served models."""

    object: Literal["list"] = "list"
    data: list[Model]


class Health(BaseModel):
    """That the server lives, its version, and how many questions are in line."""

    status: Literal["ok"] = "ok"
    version: str
    models: list[str]
    questions: int


def new_id() -> str:
    """A fresh completion id."""
    return f"chatcmpl-{uuid.uuid4().hex}"


def title(passage: Passage) -> str:
    """What a passage is about: its text up to the colon ("氨氯地平的适应症")."""
    return passage.text.split("：", 1)[0][:60]


def citations(passages: Sequence[Passage]) -> list[Citation]:
    """The passages of a reply, numbered from 1 as in its text."""
    return [
        Citation(
            n=number,
            id=passage.id,
            title=title(passage),
            text=passage.text,
            source=passage.origin.source,
            item=passage.origin.item,
            licence=passage.origin.licence,
            kind=passage.origin.kind,
            facts=list(passage.facts),
        )
        for number, passage in enumerate(passages, 1)
    ]


def aside(reply: Reply, *, ignored: Sequence[str] = ()) -> Aside:
    """The structured side of a reply."""
    numbers = {passage.id: number for number, passage in enumerate(reply.passages, 1)}
    decision = reply.decision
    return Aside(
        reply=reply.id,
        citations=citations(reply.passages),
        sentences=[
            MarkedSentence(
                text=sentence.text,
                start=sentence.start,
                end=sentence.end,
                source=sentence.source,
                verdict=sentence.verdict,
                citations=[numbers[name] for name in sentence.passages if name in numbers],
            )
            for sentence in reply.sentences
        ],
        decision=Safety()
        if decision is None
        else Safety(action=decision.action, tier=decision.tier, hits=list(decision.hits), advice=decision.advice),
        ignored=list(ignored),
    )


def usage(reply: Reply) -> Usage:
    """The token counts of a reply."""
    return Usage(
        prompt_tokens=reply.prompt_tokens,
        completion_tokens=reply.tokens,
        total_tokens=reply.prompt_tokens + reply.tokens,
    )


def finish_reason(reply: Reply) -> Literal["stop", "length"]:
    """OpenAI's word for why the answer ended."""
    return "length" if reply.finish in ("length", "loop") else "stop"


def error(message: str, *, status: int, code: str, param: str = "") -> dict[str, Any]:
    """An error in OpenAI's shape."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "param": param or None, "code": code}}
