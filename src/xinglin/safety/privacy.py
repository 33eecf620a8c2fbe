"""De-identification: find what names a person, and take it out of texts and records.

`find` is the detector; `Redactor` keeps what it has learnt of one patient or document, so that a name is gone
everywhere and always replaced by the same surrogate. De-identified text is still sensitive (PIPL art. 73).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from xinglin.errors import SafetyError
from xinglin.safety.dates import find_dates
from xinglin.safety.entity import PLACEHOLDERS, Entity, Masked, Span, Type, settle
from xinglin.safety.identifiers import find_identifiers
from xinglin.safety.institutions import find_institutions
from xinglin.safety.keyed import find_keyed
from xinglin.safety.latin import find_foreign
from xinglin.safety.lexicon import is_ordinary, names
from xinglin.safety.names import find_names
from xinglin.safety.places import find_places
from xinglin.safety.surrogates import Surrogates
from xinglin.safety.tables import find_cells
from xinglin.safety.view import View, normalise

Policy = Literal["mask", "pseudonym", "shift"]
POLICIES: dict[str, Policy] = {policy: policy for policy in get_args(Policy)}
"""mask: a placeholder by type; pseudonym: consistent surrogates, dates shifted; shift: placeholders, dates shifted."""


@dataclass(frozen=True, slots=True)
class _Found:
    view: View
    spans: list[Span]


def find(text: str) -> list[Entity]:
    """Every entity of a text, in order and without overlaps; offsets count the characters of `text`."""
    return Redactor().find([text])[0]


def deidentify(text: str, policy: Policy = "mask", *, key: bytes = b"", patient: str = "") -> Masked:
    """A text without its entities. The policies other than mask need a secret `key`; `patient` (else the text) decides
    which surrogates and how many days."""
    return Redactor(policy, key=key, patient=patient).redact([text])[0]


class Redactor:
    """Takes entities out of the texts of one patient, dialogue or document, and remembers the names among them."""

    def __init__(self, policy: Policy = "mask", *, key: bytes = b"", patient: str = "") -> None:
        if policy != "mask" and not key:
            raise SafetyError(
                f"the policy {policy} needs a secret key", where="deidentify", fix="give key= (16 bytes or more)"
            )
        self.policy: Policy = policy
        self.key = key
        self.patient = patient
        self.known: dict[str, Type] = {}

    def find(self, texts: Sequence[str]) -> list[list[Entity]]:
        """The entities of several texts of one document: a name found in one is looked for in all."""
        found = []
        for text in texts:
            view = normalise(text)
            found.append(_Found(view, _candidates(view.text)))
        for one in found:
            self.known.update(_learnt(one, self.known))
        return [_entities(text, one, self.known) for text, one in zip(texts, found, strict=True)]

    def redact(self, texts: Sequence[str]) -> list[Masked]:
        """The texts without their entities."""
        found = self.find(texts)
        scope = self.patient or "\0".join(texts)
        surrogates = Surrogates(self.key, scope) if self.policy != "mask" else None
        return [
            Masked(_replaced(text, entities, self.policy, surrogates), tuple(entities))
            for text, entities in zip(texts, found, strict=True)
        ]


def _candidates(text: str) -> list[Span]:
    spans: list[Span] = []
    for finder in (find_identifiers, find_keyed, find_dates, find_names, find_foreign, find_places, find_institutions):
        spans.extend(finder(text))
    if "\t" in text or "|" in text or "," in text:
        spans.extend(find_cells(text))
    return settle(spans) if spans else spans


_GIVEN_NEXT = re.compile(
    r"$|[^\u4e00-\u9fffA-Za-z0-9]|[说来去在是今昨最近因也和跟给让问吃的这那先有从又哥姐弟妹爸妈叔阿同老]"
)


def _learnt(found: _Found, known: dict[str, Type]) -> dict[str, Type]:
    """Names of two characters and more, by their own type: whoever is a doctor in one place is so in the next."""
    learnt: dict[str, Type] = {}
    for span in found.spans:
        name = found.view.text[span.start : span.end]
        if span.type in ("NAME", "DOCTOR") and len(name) > 1 and name not in known:
            learnt.setdefault(name, span.type)
    return learnt


def _entities(text: str, found: _Found, known: dict[str, Type]) -> list[Entity]:
    spans = settle([*found.spans, *_again(found.view.text, known)]) if known else found.spans
    entities = []
    for span in spans:
        start, end = found.view.back(span.start, span.end)
        entities.append(Entity(span.type, start, end, text[start:end]))
    return entities


def _again(text: str, known: dict[str, Type]) -> Iterable[Span]:
    """Later mentions of known names, whole or by the given name. A name that is a herb's or a disease's as well is
    taken only where it stood as a name."""
    for name, kind in known.items():
        if is_ordinary(name, 0):
            continue
        if len(name) > 1:
            yield from (Span(kind, *match.span(), 3) for match in _mention(name).finditer(text))
        if name[0] in names().surnames and name[0] not in names().doubtful:
            yield from (
                Span(kind, *match.span(), 2) for match in re.finditer(f"(?<![从最])[老小]{name[0]}(?!儿|便|时)", text)
            )
        given = name[-2:]
        if (
            len(name) == 3
            and "\u4e00" <= name[0] <= "\u9fff"
            and given not in names().common
            and name[0] in names().surnames
        ):
            for match in re.finditer(re.escape(given), text):
                if _GIVEN_NEXT.match(text, match.end()) and not is_ordinary(text, match.start()):
                    yield Span(kind, *match.span(), 2)


def _mention(name: str) -> re.Pattern[str]:
    if name.isascii():
        return re.compile(rf"(?<![A-Za-z]){re.escape(name)}(?![A-Za-z])", re.IGNORECASE)
    return re.compile(" ?".join(map(re.escape, name.replace(" ", ""))))


def _replaced(text: str, entities: Sequence[Entity], policy: Policy, surrogates: Surrogates | None) -> str:
    parts, at = [], 0
    for one in entities:
        parts.append(text[at : one.start])
        dated = one.type == "DATE" and policy == "shift"
        if surrogates and (policy == "pseudonym" or dated):
            parts.append(surrogates.of(one.type, normalise(one.text).text))
        else:
            parts.append(PLACEHOLDERS[one.type])
        at = one.end
    return "".join([*parts, text[at:]])
