"""The whole regime in seconds: a pack of our own writing, and a recipe of every step with a model of 50,000 weights."""

from __future__ import annotations

from pathlib import Path

from xinglin import files

DRUGS = "\n".join(
    f"- 通用名: 示例{name}素\n"
    f"  类别: {name}类药\n"
    f"  适应症: [{name}类感染, {name}性发热]\n"
    f"  禁忌: [{name}素过敏]\n"
    f"  不良反应: [{name}样头晕]"
    for name in "甲乙丙丁戊己庚辛"
)
RECIPE = """\
name: small
steps:
  kb:      {do: knowledge, sources: [mini]}
  taught:  {do: select, facts: kb, topics: 24}
  books:   {do: statements, facts: taught}
  qa:      {do: templates, facts: taught, phrasings: 2}
  more:    {do: templates, facts: taught, skip: 2, phrasings: 1}
  dealt:   {do: pairs, facts: taught, skip: 2, per_topic: 2}
  tiny:    {do: base, model: tiny, text: [books, qa, more], hidden: 32, layers: 1, pieces: 400}
  pt:      {do: pretrain, model: tiny, data: books, length: 128, rate: 1.0e-3}
  sft:     {do: sft, model: pt, data: qa, length: 128, rate: 1.0e-3}
  rm:      {do: reward, model: sft, data: dealt, length: 128, rate: 1.0e-3}
  rs:
    do: reject
    model: sft
    reward: rm
    prompts: more
    samples: 2
    most: 8
    max_tokens: 64
    length: 128
    rate: 1.0e-3
  aligned: {do: dpo, model: rs, data: dealt, most: 16, length: 128, rate: 1.0e-3}
  tables:
    do: evaluate
    models: [tiny, pt, sft, rs, aligned]
    questions: qa
    knowledge: kb
    most: 20
    max_tokens: 8
serve: {model: aligned, knowledge: kb, ask: [示例甲素的禁忌是什么？]}
"""


def write(root: Path, recipe: str = RECIPE) -> Path:
    """Write pack and recipe into a folder; returns the recipe's path."""
    files.write_text(root / "mini" / "drugs" / "a.yaml", DRUGS + "\n")
    files.write_text(root / "small.yaml", recipe)
    return root / "small.yaml"
