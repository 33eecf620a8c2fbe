"""A reward model as an object: conversations in, numbers out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from transformers import AutoModelForSequenceClassification

from xinglin.errors import ModelError
from xinglin.model import load
from xinglin.model.card import read_card
from xinglin.model.render import Template
from xinglin.model.score import score_rewards
from xinglin.types import Message, Preference


class Rewarder:
    """Loads a reward model that `train.reward` saved; another model's folder is refused."""

    def __init__(self, path: Path) -> None:
        if read_card(path).stage != "reward":
            raise ModelError("this model is no reward model", where=str(path), fix="name a step with `do: reward`")
        model, tokenizer = load.open_pair(str(path), kind=AutoModelForSequenceClassification, num_labels=1)
        self.template, self.model = Template(tokenizer), model.eval()

    def rewards(self, conversations: Sequence[Sequence[Message]]) -> list[float]:
        """The reward of every finished conversation."""
        return score_rewards(self.model, self.template, conversations)

    def margins(self, preferences: Sequence[Preference]) -> list[float]:
        """Reward of the chosen minus reward of the rejected answer of every pair."""
        conversations = [
            [*one.prompt, Message("assistant", answer)] for one in preferences for answer in (one.chosen, one.rejected)
        ]
        rewards = self.rewards(conversations)
        return [chosen - rejected for chosen, rejected in zip(rewards[0::2], rewards[1::2], strict=True)]
