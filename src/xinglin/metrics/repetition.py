"""How much of a text repeats itself (复读)."""

from __future__ import annotations

SPAN = 4
"""Characters of a span: shorter ones repeat in any Chinese text."""


def repeated_share(text: str, *, span: int = SPAN) -> float:
    """The share of a text's character spans that have occurred in it before, 0 to 1 (rep-n of Welleck et al. 2020)."""
    spans = [text[at : at + span] for at in range(len(text) - span + 1)]
    return 1 - len(set(spans)) / len(spans) if spans else 0.0
