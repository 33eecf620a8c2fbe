"""What of a model is trained: all of it, its last layers, its embeddings, or an adapter beside its linear layers.

An adapter's checkpoint holds the adapter only. Its card names the base and the base's fingerprint, and opening it on
any other base is refused. An adapter may stand on another adapter's checkpoint: the lower one is then merged in memory,
so the policy that a stage starts from is always a plain model.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from xinglin.errors import ModelError
from xinglin.model import load
from xinglin.model.card import is_adapter

Method = Literal["full", "freeze", "embeddings", "lora", "dora", "qlora"]
ADAPTERS = ("lora", "dora", "qlora")
LAST_LAYERS = 2
"""Decoder layers that `freeze` trains."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """What is trained, and the adapter's knobs (Hu et al. 2021; DoRA: Liu et al. 2024; QLoRA: Dettmers et al. 2023).

    `targets` are names of linear layers, by default all but the output layer; `embeddings` trains the embeddings and
    the output layer beside the adapter, as a new vocabulary needs it.
    """

    method: Method = "full"
    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.0
    targets: tuple[str, ...] = ()
    embeddings: bool = False

    @property
    def adapts(self) -> bool:
        """Whether an adapter is trained."""
        return self.method in ADAPTERS


FULL = Tuning()


def open_for_training(
    spec: str, tuning: Tuning = FULL, **options: Any
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Open a model so that only what `tuning` names is trained."""
    if tuning.method == "qlora":
        options |= {"quantization_config": _four_bit(spec)}
    elif not tuning.adapts:
        # Small updates are lost in bf16 weights; on an accelerator the arithmetic is bf16 by autocast all the same.
        options |= {"precision": torch.float32}
    model, tokenizer = load.open_pair(spec, **options)
    if tuning.method == "qlora":
        _gradients_for_four_bits(model)
    return adapt(model, tuning, where=spec), tokenizer


def adapt(model: PreTrainedModel, tuning: Tuning, *, where: str) -> PreTrainedModel:
    """The model with only what `tuning` names set to train; with an adapter, wrapped by PEFT."""
    if tuning.adapts:
        return _with_adapter(model, tuning, where)
    if tuning.method != "full":
        model.requires_grad_(False)
    if tuning.method == "freeze":
        for layer in decoder_layers(model)[-LAST_LAYERS:]:
            layer.requires_grad_(True)
    elif tuning.method == "embeddings":
        model.get_input_embeddings().requires_grad_(True)
        if (head := model.get_output_embeddings()) is not None:
            head.requires_grad_(True)
    if tuning.method != "full" and isinstance(head := getattr(model, "score", None), nn.Module):
        head.requires_grad_(True)
    return model


def trainable(model: nn.Module) -> tuple[int, int]:
    """How many parameters are trained, and how many there are."""
    sizes = [(weight.numel(), weight.requires_grad) for weight in model.parameters()]
    return sum(size for size, on in sizes if on), sum(size for size, _ in sizes)


def decoder_layers(model: PreTrainedModel) -> nn.ModuleList:
    """The decoder's layers: the longest list of modules."""
    return max((part for part in model.modules() if isinstance(part, nn.ModuleList)), key=len)


def linear_names(model: PreTrainedModel) -> list[str]:
    """The last parts of the names of all linear layers but the output layer."""
    head = model.get_output_embeddings()
    return sorted(
        {
            name.rpartition(".")[2]
            for name, part in model.named_modules()
            if isinstance(part, nn.Linear) and part is not head and name.rpartition(".")[2] != "score"
        }
    )


def _with_adapter(model: PreTrainedModel, tuning: Tuning, where: str) -> PreTrainedModel:
    from peft import LoraConfig, TaskType, get_peft_model

    names = linear_names(model)
    if missing := sorted(set(tuning.targets) - set(names)):
        raise ModelError(
            f"the model has no linear layer named {missing[0]!r}",
            where=f"{where}, lora.targets",
            fix=f"its linear layers are {', '.join(names)}; leave targets out to train all of them",
        )
    rewards = isinstance(getattr(model, "score", None), nn.Module)
    config = LoraConfig(
        r=tuning.rank,
        lora_alpha=tuning.alpha,  # type: ignore[arg-type] - a number, whatever the annotation says
        lora_dropout=tuning.dropout,
        target_modules=list(tuning.targets) or names,
        use_dora=tuning.method == "dora",
        modules_to_save=_saved_whole(model, tuning, rewards=rewards) or None,
        ensure_weight_tying=tuning.embeddings and bool(model.config.get_text_config().tie_word_embeddings),
        task_type=TaskType.SEQ_CLS if rewards else TaskType.CAUSAL_LM,
    )
    wrapped: Any = get_peft_model(model, config)
    for weight in wrapped.parameters():
        if weight.requires_grad:
            # PEFT does so for the adapter, not for what is trained whole beside it; in bf16 small updates are lost.
            weight.data = weight.data.float()
    return wrapped


def _saved_whole(model: PreTrainedModel, tuning: Tuning, *, rewards: bool) -> list[str]:
    """Modules that are trained and saved as they are, beside the adapter."""
    found = ["score"] if rewards else []
    if tuning.embeddings:
        parts = {id(part): name.rpartition(".")[2] for name, part in model.named_modules()}
        found.append(parts[id(model.get_input_embeddings())])
        head = model.get_output_embeddings()
        if head is not None and not model.config.get_text_config().tie_word_embeddings:
            found.append(parts[id(head)])
    return found


def _gradients_for_four_bits(model: PreTrainedModel) -> None:
    """Keep bitsandbytes from its packed CPU kernel: once a layer has run it, in evaluation, its gradients are wrong."""
    for part in model.modules():
        if hasattr(part, "support_avx512bf16_for_cpu"):
            part.support_avx512bf16_for_cpu = False  # type: ignore[assignment]


def _four_bit(spec: str) -> Any:
    """The 4-bit quantisation of QLoRA: NF4 with double quantisation (Dettmers et al. 2023, section 3)."""
    try:
        import bitsandbytes  # noqa: F401 - transformers needs it and says so less clearly
    except ImportError:
        raise ModelError(
            "qlora needs bitsandbytes", where=spec, fix="pip install 'xinglin[quant]', or choose lora"
        ) from None
    from transformers import BitsAndBytesConfig

    if is_adapter(Path(spec)):
        raise ModelError(
            "qlora cannot stand on another adapter: its base would have to be quantised after merging",
            where=spec,
            fix="put a step `do: merge` between them",
        )
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=load.dtype(),
    )
