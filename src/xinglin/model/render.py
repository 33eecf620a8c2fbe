"""The chat template: one object turns messages into token ids for training, evaluation and serving.

Training needs to know which tokens are the assistant's. The template marks them with
`{% generation %}…{% endgeneration %}`. A template without these marks is replaced by a marked ChatML where the
tokenizer has ChatML's turn tokens (Qwen's own template also adds a default system prompt; this one adds nothing), and
refused otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase
from transformers.utils.chat_template_utils import render_jinja_template

from xinglin.errors import ModelError
from xinglin.types import Message

END_OF_TEXT, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
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
_MARK = re.compile(r"\{%-?\s*generation\s*-?%\}")


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids of a conversation, and whether each is a training target. `name`: the sample's id."""

    ids: tuple[int, ...]
    targets: tuple[bool, ...]
    name: str = field(default="", compare=False)


class Template:
    """Renders messages with a tokenizer's chat template."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer: Any = tokenizer
        added: dict[str, int] = self.tokenizer.get_added_vocab()
        self._specials = sorted({*tokenizer.all_special_tokens, *added}, key=lambda text: (len(text), text))
        end: int = self.tokenizer.eos_token_id
        self.stop_ids = sorted({end, added.get(TURN_END, end), added.get(END_OF_TEXT, end)})
        """Ids that end an assistant turn."""
        self._text_end = added.get(END_OF_TEXT, end)
        self._text_start = _start(tokenizer)

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """Ids of a conversation up to where the assistant starts to speak."""
        return [token for _, ids in self._pieces(messages, prompt=True) for token in ids]

    def encode(self, messages: Sequence[Message]) -> Encoded:
        """Ids of a whole conversation; targets are the assistant's words and the end token of each turn."""
        pieces = self._pieces(messages, prompt=False)
        return Encoded(
            tuple(token for _, ids in pieces for token in ids), tuple(spoken for spoken, ids in pieces for _ in ids)
        )

    def check(self) -> None:
        """A ModelError if training by this template would teach what users say, or never to end an answer."""
        asked, said = "甲乙", "丙丁"
        encoded = self.encode([Message("user", asked), Message("assistant", said)])
        spoken = [token for token, on in zip(encoded.ids, encoded.targets, strict=True) if on]
        text = str(self.tokenizer.decode(spoken))
        if asked in text or not spoken:  # not "said in text": a vocabulary may lack these characters
            problem = f"the targets of a conversation read {text!r}: not the assistant's words alone"
        elif not {*spoken} & {*self.stop_ids}:
            problem = "no end token stands within its {% generation %} marks, so no answer would learn to end"
        else:
            return
        raise ModelError(
            f"the chat template cannot be trained by: {problem}",
            where=str(self.tokenizer.name_or_path),
            fix="put {% generation %}…{% endgeneration %} around the assistant's content and its end token "
            "in chat_template.jinja",
        )

    def words(self, text: str) -> list[int]:
        """Ids of an answer as it stands in an assistant turn, without the end token."""
        return self.tokenizer.encode(self._plain(text), add_special_tokens=False)

    def document(self, text: str) -> list[int]:
        """Ids of a text for pretraining: begun as the tokenizer begins a text, closed by the end-of-text token."""
        return [*self._text_start, *self.words(text), self._text_end]

    def _pieces(self, messages: Sequence[Message], *, prompt: bool) -> list[tuple[bool, list[int]]]:
        """The rendered conversation cut where the assistant's words start and end: (is it the assistant's, ids).

        Every piece is tokenised by itself, so no token reaches over a border: BPE would merge the `：` of a prompt
        with the answer's first word, and training would teach a token that no generation can start with.
        """
        turns = [{"role": message.role, "content": self._plain(message.content)} for message in messages]
        try:
            rendered, spans = render_jinja_template(
                conversations=[turns],
                chat_template=self.tokenizer.chat_template,
                return_assistant_tokens_mask=True,
                add_generation_prompt=prompt,
                **self.tokenizer.special_tokens_map,
            )
        except TemplateError as error:
            raise ModelError(
                f"the model's chat template refuses the conversation: {error}",
                where=" → ".join(message.role for message in messages),
                fix="change the order of the roles (some models know no system message), or the chat template",
            ) from None
        borders = [0, *(place for span in spans[0] for place in span), len(rendered[0])]
        texts = [rendered[0][start:end] for start, end in pairwise(borders)]
        ids = self.tokenizer(texts, add_special_tokens=False)["input_ids"]
        return [(at % 2 == 1, list(piece)) for at, piece in enumerate(ids)]

    def _plain(self, text: str) -> str:
        # A user's text must not be able to open or close a turn, so special tokens in it are broken up.
        for special in self._specials:
            if special and special in text:
                text = text.replace(special, special[0] + " " + special[1:])
        return text


def _start(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The begin-of-text token where the tokenizer itself puts one before a text, else nothing."""
    begin = tokenizer.bos_token_id
    return [begin] if isinstance(begin, int) and tokenizer.encode("")[:1] == [begin] else []


def settle_template(tokenizer: PreTrainedTokenizerBase, *, where: str) -> None:
    """Give the tokenizer a chat template with generation marks, or say why that cannot be done."""
    given = tokenizer.chat_template
    if not (isinstance(given, str) and _MARK.search(given)):
        vocabulary = tokenizer.get_vocab()
        if TURN_START in vocabulary and TURN_END in vocabulary:
            tokenizer.chat_template = CHATML
            tokenizer.eos_token = TURN_END
        elif given:
            raise ModelError(
                "the chat template has no {% generation %} marks, so assistant tokens cannot be told apart",
                where=where,
                fix="add {% generation %}…{% endgeneration %} around the assistant's content in chat_template.jinja",
            )
        else:
            tokenizer.chat_template = "{{- bos_token }}" + PLAIN if _start(tokenizer) else PLAIN
    if tokenizer.eos_token is None:
        raise ModelError(
            "the tokenizer names no token that ends a text", where=where, fix="set eos_token in tokenizer_config.json"
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
