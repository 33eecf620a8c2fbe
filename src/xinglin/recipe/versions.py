"""The version of every step's results, part of its digest: raise it when results change for the same configuration."""

from __future__ import annotations

from dataclasses import dataclass

from xinglin.recipe import schema, training


@dataclass(frozen=True, slots=True)
class Version:
    """A step's version, and its typical seconds for the quickstart's tiny model on two cores.

    `weights`: the result depends on the versions of torch and transformers. `resumes`: an unfinished folder holds
    finished work that the step itself continues.
    """

    number: int
    seconds: float
    weights: bool = False
    resumes: bool = False


VERSIONS: dict[type[schema.Step], Version] = {
    schema.KnowledgeStep: Version(1, 1),
    schema.Import: Version(2, 5),
    schema.Clean: Version(1, 5),
    schema.Deidentify: Version(1, 10),
    schema.Dedup: Version(1, 5),
    schema.Decontaminate: Version(1, 5),
    schema.Split: Version(1, 2),
    schema.Mix: Version(1, 2),
    schema.Noise: Version(1, 2),
    schema.Select: Version(1, 1),
    schema.Statements: Version(1, 1),
    schema.Templates: Version(1, 1),
    schema.PairsStep: Version(2, 1),
    schema.Base: Version(2, 6, weights=True),
    training.Vocab: Version(2, 10, weights=True),
    training.Pretrain: Version(3, 40, weights=True, resumes=True),
    training.Sft: Version(4, 50, weights=True, resumes=True),
    training.Reward: Version(6, 30, weights=True, resumes=True),
    training.Contrast: Version(1, 30, weights=True, resumes=True),
    training.Reject: Version(6, 20, weights=True, resumes=True),
    training.Ppo: Version(7, 60, weights=True, resumes=True),
    training.Grouped: Version(6, 40, weights=True, resumes=True),
    training.Distill: Version(3, 40, weights=True, resumes=True),
    training.Merge: Version(1, 2, weights=True),
    training.Prefer: Version(4, 10, weights=True, resumes=True),
    schema.Evaluate: Version(2, 45, weights=True, resumes=True),
}
