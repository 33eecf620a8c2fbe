"""The terms shown before first use, the label on every answer, and the consent remembered by the terminal."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from xinglin.files import write_json

VERSION = 1
"""Raised whenever the terms below change: an older consent then no longer counts."""

AI_LABEL = "内容由AI生成，仅供参考"
AI_LABEL_EN = "AI-generated, for reference only"
SHORT = "仅供研究与学习，不构成诊断、治疗建议或处方；身体不适请及时就医，紧急情况请拨打120。"
SHORT_EN = "For research and study only: no diagnosis, treatment advice or prescription. In an emergency call 120."


@dataclass(frozen=True, slots=True)
class Disclaimer:
    """The terms in one language: a title, numbered terms, and the question put to the user."""

    title: str
    terms: tuple[str, ...]
    question: str

    @property
    def text(self) -> str:
        """The terms as numbered lines."""
        return "\n".join(f"{number}. {term}" for number, term in enumerate(self.terms, 1))


ZH = Disclaimer(
    title="使用前请阅读并同意",
    terms=(
        "本系统是用于研究和学习的AI助手，不是医生，也不是医疗器械；回答不构成诊断、治疗建议或处方。",
        "知识库内容可能有遗漏、错误或过时，标注为“自写概要”的内容未经医师审核；用药请以药品说明书和医嘱为准。",
        "身体不适请及时就医；遇到胸痛、呼吸困难、昏迷、大出血等紧急情况，请立即拨打120；情绪危机可拨打12356。",
        "请不要输入姓名、身份证号、电话等个人信息。对话只在本机处理，系统不会把它写入磁盘。",
    ),
    question="我已阅读并同意以上条款",
)
EN = Disclaimer(
    title="Please read and accept before use",
    terms=(
        "This is an AI assistant for research and study. It is not a doctor and not a medical device; its answers are "
        "no diagnosis, treatment advice or prescription.",
        'The knowledge base may be incomplete, wrong or out of date, and "own summary" entries have not been reviewed '
        "by a physician. For medicines, the package leaflet and your doctor's orders decide.",
        "If you feel unwell, see a doctor. In an emergency such as chest pain, trouble breathing, loss of "
        "consciousness or heavy bleeding call 120 at once (mainland China); in an emotional crisis you can call 12356.",
        "Do not enter names, identity numbers, phone numbers or other personal data. The conversation is processed on "
        "this machine only and is not written to disk.",
    ),
    question="I have read and accept these terms",
)


def consent_path() -> Path:
    """`$XDG_CONFIG_HOME/xinglin/consent.json`, by default below `~/.config`."""
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(base).expanduser() / "xinglin" / "consent.json"


def has_consent(path: Path | None = None) -> bool:
    """Whether the present version of the terms was accepted; an unreadable file counts as no consent."""
    try:
        record = json.loads((path or consent_path()).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(record, dict) and record.get("version") == VERSION


def remember_consent(path: Path | None = None) -> None:
    """Record that the present version of the terms was accepted, with the time (UTC)."""
    write_json(path or consent_path(), {"version": VERSION, "time": datetime.now(UTC).isoformat(timespec="seconds")})
