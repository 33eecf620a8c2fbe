"""Words and figures of a report: Chinese first, English beside it; numbers in one format everywhere."""

from __future__ import annotations

import math
import re

from xinglin.types import Metric

TASKS: dict[str, tuple[str, str]] = {
    "recall": ("事实召回", "fact recall by generation"),
    "choice": ("似然选择", "choice by likelihood"),
    "indications": ("药品适应症", "share of indication labels"),
    "general": ("通用能力", "general ability (canary)"),
}
SHORT_VERDICTS: dict[str, tuple[str, str]] = {
    "better": ("更好", "better"),
    "worse": ("更差", "worse"),
    "no difference shown": ("未见差异", "no difference shown"),
}
COUNTS: dict[str, tuple[str, str]] = {
    "facts": ("事实", "facts"),
    "taught": ("教给模型的事实", "facts taught"),
    "samples": ("训练样本", "training samples"),
    "questions": ("留出问题", "held-out questions"),
    "preferences": ("偏好对", "preference pairs"),
    "heads": ("条目", "entries"),
    "recall": ("召回题", "recall questions"),
    "choice": ("选择题", "choice questions"),
    "indications": ("药品题", "drug questions"),
}
STAGES: dict[str, str] = {
    "base": "底座",
    "pretrain": "预训练",
    "sft": "指令微调",
    "reward": "奖励模型",
    "reject": "拒绝采样",
    "vocab": "扩充词表",
    "merge": "合并适配器",
    "ppo": "PPO",
    "grpo": "GRPO",
    "rloo": "RLOO",
    "distill": "在策略蒸馏",
    "dpo": "偏好优化 DPO",
    "ipo": "偏好优化 IPO",
    "kto": "偏好优化 KTO",
    "orpo": "偏好优化 ORPO",
    "simpo": "偏好优化 SimPO",
    "assistant": "知识库助手",
}
LIMITS: tuple[tuple[str, str], ...] = (
    (
        "仅供研究与教学，不得用于诊断、治疗或用药决定；不适或紧急情况请立即就医（急救电话 120）。",
        "For research and teaching only. Not for diagnosis, treatment or medication decisions; "
        "in an emergency call your local emergency number (120 in mainland China).",
    ),
    (
        "“事实召回”只看答案是否包含全部标准答案：多说的错误内容不在此扣分，换一种说法的正确答案会被判错。",
        "Fact recall asks whether the answer contains every gold answer: wrong additions are not punished here, "
        "and a right answer in other words counts as wrong.",
    ),
    (
        "“似然选择”比较候选答案每个 token 的平均对数似然，不代表模型会自己说出该答案。",
        "Choice compares the mean log-likelihood per token of given answers; it does not show that the model would say "
        "them unprompted.",
    ),
    (
        "单个比例为 Wilson 95 % 区间；配对差异为自助法 95 % 区间（未做多重校正），p 值经 Holm 校正；"
        "“未见差异”不等于“没有差异”。",
        "Proportions carry Wilson 95 % intervals; paired differences carry bootstrap 95 % intervals (not adjusted) and "
        "Holm-adjusted p-values. “No difference shown” does not mean that there is none.",
    ),
)
INDICATION_LIMIT = (
    "94 种药品由自动包含匹配判分：说明书原文自身按此判分为 92.6 / 86.2 / 80.9（标准 1 / 2 / 3），可视为上限；"
    "与人工判分的一致性尚未测量，不能与已发表的人工判分直接比较。",
    "The 94 drugs are graded by automatic containment. The benchmark's own leaflet texts score 92.6 / 86.2 / 80.9 "
    "(criteria 1 / 2 / 3) under it: read that as the ceiling. Agreement with hand grading has not been measured, so "
    "the numbers are not comparable with the published, hand-graded ones.",
)
"""The ceiling was measured with `metrics.spans.hits` on the leaflet column of the QiZhenGPT file."""


def task_label(task: str) -> tuple[str, str]:
    """(Chinese, English) name of a task; an unknown task keeps its own name."""
    return TASKS.get(task, (task, task))


def percent(value: float, digits: int = 1) -> str:
    """A share as per cent without the sign: 0.613 is `61.3`."""
    return f"{100 * value:.{digits}f}"


def interval(low: float, high: float) -> str:
    """A 95 % interval in per cent: `[57.2, 65.3]`."""
    return f"[{percent(low)}, {percent(high)}]"


def points(value: float) -> str:
    """A difference in percentage points with its sign (a true minus): `+3.1`, `−0.4`, `0.0`."""
    text = f"{100 * value:+.1f}".replace("-", "−")
    return "0.0" if text[1:] == "0.0" else text


def span(low: float, high: float) -> str:
    """The interval of a difference in percentage points: `[−1.2, +4.0]`."""
    return f"[{points(low)}, {points(high)}]"


def probability(p: float) -> str:
    """A p-value: `< 0.001`, else three decimals."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def measured(metric: Metric | None) -> str:
    """A metric as `61.3 [57.2, 65.3]`; a dash where there is none."""
    return "—" if metric is None else f"{percent(metric.value)} {interval(metric.low, metric.high)}"


def margin(value: float) -> str:
    """A detectable difference in percentage points, a dash where it is infinite."""
    return percent(value) if math.isfinite(value) else "—"


def flat(text: str) -> str:
    """A text for one line or cell of Markdown: what would end the cell, or be read as HTML or a link, is escaped."""
    line = re.sub(r"([\\`*_|])", r"\\\1", " ".join(text.split()))
    return line.replace("<", "&lt;").replace("](", "]\\(")
