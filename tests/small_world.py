"""A pack of our own writing and the recipes over it that the tests of plans and runs share."""

from __future__ import annotations

from pathlib import Path

from xinglin import files
from xinglin.recipe.plan import Plan, plan
from xinglin.recipe.read import read_recipe

DRUGS = "\n".join(
    f"- 通用名: 示例{name}素\n  适应症: [{name}类感染, {name}性发热]\n  禁忌: [{name}素过敏]" for name in "甲乙丙丁戊己"
)
DISEASES = "\n".join(f"- 名称: 示例{name}病\n  科室: [{name}科]" for name in "子丑寅卯辰")
DATA = """\
name: example
steps:
  kb:     {do: knowledge, sources: [mini]}
  taught: {do: select, facts: kb, relations: [适应症, 禁忌, 科室], topics: 15}
  books:  {do: statements, facts: taught}
  qa:     {do: templates, facts: taught, phrasings: 3}
  dealt:  {do: pairs, facts: taught, per_topic: 3, skip: 3}
"""
WHOLE = (
    DATA
    + """\
  more:    {do: templates, facts: taught, skip: 3, phrasings: 3}
  pt:      {do: pretrain, model: base, data: books}
  sft:     {do: sft, model: pt, data: qa}
  rm:      {do: reward, model: sft, data: dealt}
  rs:      {do: reject, model: sft, reward: rm, prompts: more}
  aligned: {do: dpo, model: rs, data: dealt}
  tables:  {do: evaluate, models: [base, pt, sft, rs, aligned], questions: qa, knowledge: kb}
serve: {model: aligned, knowledge: kb}
"""
)


def pack(root: Path) -> None:
    files.write_text(root / "mini" / "drugs" / "a.yaml", DRUGS + "\n")
    files.write_text(root / "mini" / "diseases" / "b.yaml", DISEASES + "\n")


def make(root: Path, text: str = DATA, *sets: str, runs: str = "runs") -> Plan:
    files.write_text(root / "example.yaml", text)
    if not (root / "mini").exists():
        pack(root)
    return plan(read_recipe(root / "example.yaml", settings=sets), root=root, runs=root / runs)


def digests(made: Plan) -> dict[str, str]:
    return {step.name: step.digest for step in made.steps}
