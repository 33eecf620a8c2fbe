"""A small model from nothing: byte-level BPE on the recipe's own corpus and a random Qwen3-architecture model.

It is real in every respect but size: saved in Hugging Face format, loaded by the same code as a 7 B base.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from xinglin.errors import DataError
from xinglin.model.render import CHATML, END_OF_TEXT, TURN_END, TURN_START

# Qwen2's pre-tokenizer rule: digits one by one, runs of letters of one kind, punctuation, blanks.
QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# Longest piece in bytes (four Chinese characters): a small corpus would otherwise merge a drug's name with the
# words around it, and the name would be another piece in an unseen question.
LONGEST_PIECE = 12


@dataclass(frozen=True, slots=True)
class Size:
    """The shape of a tiny model; `pieces` is the wished vocabulary, a small corpus may not fill it."""

    pieces: int = 4096
    hidden: int = 192
    layers: int = 4
    heads: int = 4
    feed_forward: int = 576
    context: int = 1024


def train_tokenizer(texts: Iterable[str], *, pieces: int) -> PreTrainedTokenizerFast:
    """Train byte-level BPE with Qwen2's pre-tokenizer rule; the chat template is ChatML with generation marks."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=pieces,
        special_tokens=[END_OF_TEXT, TURN_START, TURN_END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=LONGEST_PIECE,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=END_OF_TEXT,
        eos_token=TURN_END,
        extra_special_tokens=[TURN_START],
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = CHATML
    return fast


def make(texts: list[str], *, size: Size, seed: int) -> tuple[Qwen3ForCausalLM, PreTrainedTokenizerFast]:
    """A random Qwen3 model with tied embeddings and the tokenizer trained on `texts`; fp32, seeded."""
    if not any(text.strip() for text in texts):
        raise DataError("no text to train the tiny model's tokenizer on", fix="name steps that hold text or samples")
    # The names of the roles stand in every sample: seen often enough, each becomes one piece.
    roles = ["user\n", "assistant\n", "system\n"] * max(len(texts) // 4, 10)
    tokenizer: Any = train_tokenizer([*texts, *roles], pieces=size.pieces)
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=size.hidden,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.heads,
        head_dim=size.hidden // size.heads,
        intermediate_size=size.feed_forward,
        max_position_embeddings=size.context,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.convert_tokens_to_ids(TURN_END),
        pad_token_id=tokenizer.convert_tokens_to_ids(END_OF_TEXT),
        dtype="float32",
    )
    return Qwen3ForCausalLM(config), tokenizer
