"""The chat template: one object turns messages into token ids for training, evaluation and serving.

Training needs to know which tokens are the assistant's. The template marks them with
`{% generation %}…{% endgeneration %}`; a template without these marks is replaced where that changes no byte
of the prompt format (ChatML), and refused otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from xinglin.errors import ModelError
from xinglin.types import Message

CHATML = (
    "{%- for message in messages %}"
    "{%- if message.role == 'assistant' %}"
    "{{- '<|im_start|>assistant\n' }}"
    "{% generation %}{{- message.content + '<|im_end|>' }}{% endgeneration %}{{- '\n' }}"
    "{%- else %}{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}{%- endif %}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)
# For a base model without turn tokens: the question-and-answer text format, ended by the model's own end token.
PLAIN = (
    "{%- for message in messages %}"
    "{%- if message.role == 'assistant' %}{{- '答：' }}"
    "{% generation %}{{- message.content + eos_token }}{% endgeneration %}"
    "{{- '\n' }}{%- elif message.role == 'user' %}{{- '问：' + message.content + '\n' }}"
    "{%- else %}{{- message.content + '\n' }}{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '答：' }}{%- endif %}"
)


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids of a conversation and, of the same length, whether each token is a training target."""

    ids: tuple[int, ...]
    targets: tuple[bool, ...]


class Template:
    """Renders messages with a tokenizer's chat template."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer: Any = tokenizer
        self._specials = sorted(set(tokenizer.all_special_tokens) | set(self.tokenizer.get_added_vocab()), key=len)

    @property
    def stop_ids(self) -> list[int]:
        """Ids that end an assistant turn."""
        end = self.tokenizer.eos_token_id
        turn = self.tokenizer.convert_tokens_to_ids("<|im_end|>")
        return sorted({token for token in (end, turn) if isinstance(token, int) and token >= 0})

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """Ids of a conversation up to where the assistant starts to speak."""
        return self._render(messages, prompt=True)["input_ids"]

    def encode(self, messages: Sequence[Message]) -> Encoded:
        """Ids of a whole conversation; targets are the assistant's words and the end token of each turn."""
        rendered = self._render(messages, prompt=False)
        targets = tuple(bool(mark) for mark in rendered["assistant_masks"])
        return Encoded(tuple(rendered["input_ids"]), targets)

    def _render(self, messages: Sequence[Message], *, prompt: bool) -> dict[str, list[int]]:
        turns = [{"role": message.role, "content": self._plain(message.content)} for message in messages]
        return self.tokenizer.apply_chat_template(
            turns, add_generation_prompt=prompt, return_dict=True, return_assistant_tokens_mask=not prompt
        )

    def _plain(self, text: str) -> str:
        # A user's text must not be able to open or close a turn, so special tokens in it are broken up.
        for special in self._specials:
            if special and special in text:
                text = text.replace(special, special[0] + " " + special[1:])
        return text


def settle_template(tokenizer: PreTrainedTokenizerBase, *, where: str) -> None:
    """Give the tokenizer a chat template with generation marks, or say why that cannot be done."""
    given = tokenizer.chat_template
    if isinstance(given, str) and "{% generation %}" in given.replace("{%-", "{%"):
        return
    vocabulary = tokenizer.get_vocab()
    chatml = "<|im_start|>" in vocabulary and "<|im_end|>" in vocabulary
    if chatml:
        tokenizer.chat_template = CHATML
        tokenizer.eos_token = "<|im_end|>"  # noqa: S105 - a token, not a secret
    elif not given and tokenizer.eos_token:
        tokenizer.chat_template = PLAIN
    else:
        raise ModelError(
            "the chat template has no {% generation %} marks, so assistant tokens cannot be told apart"
            if given
            else "the tokenizer has neither a chat template nor an end-of-text token",
            where=where,
            fix="add {% generation %}…{% endgeneration %} around the assistant's content in chat_template.jinja",
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
