"""Memory that a stage needs, before anything is loaded.

Weights, gradients and optimiser state are counted; activations are estimated from the architecture (tests compare the
estimate with what autograd really keeps). What the allocator adds, usually 5 to 10 %, is not in it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from xinglin.model import load
from xinglin.model.adapter import Tuning, decoder_layers, linear_names
from xinglin.train.fit import Schedule
from xinglin.train.launch import Launch
from xinglin.train.online import UPDATE
from xinglin.train.rollout import PROMPTS

_BYTES = {"full": 4.0, "freeze": 4.0, "embeddings": 4.0, "lora": 2.0, "dora": 2.0, "qlora": 0.55}
"""Bytes of a frozen or trained weight on an accelerator: fp32 for what is trained whole, bf16 under an adapter, NF4
with double quantisation for QLoRA (embeddings stay in bf16)."""
_TRAINED = 12.0
"""Bytes beside the weight of a trained parameter: gradient and two moments of AdamW in fp32."""


@dataclass(frozen=True, slots=True)
class Memory:
    """GiB per process, and the parameters: trained and all."""

    weights: float
    optimizer: float
    activations: float
    logits: float
    trained: int
    parameters: int

    @property
    def total(self) -> float:
        """All of it."""
        return self.weights + self.optimizer + self.activations + self.logits


@dataclass(frozen=True, slots=True)
class Drawing:
    """What a stage that draws answers holds beside its policy, and the tokens of an answer with its prompt.

    `critic`: a second model that is trained; `frozen`: models that only judge (reward model, teacher), taken to be as
    large as the policy; `measured`: whether policies are asked once more at the end, each opened by itself.
    """

    critic: bool
    frozen: int
    tokens: int
    measured: bool = True


def architecture(spec: str) -> Any:
    """The text configuration of a model, or of the base below an adapter; nothing else is read."""
    folder = load.below(spec)
    load.check_config(folder)
    with load.explained(str(folder)):
        return AutoConfig.from_pretrained(folder, trust_remote_code=False).get_text_config()


def estimate(spec: str, tuning: Tuning, schedule: Schedule) -> Memory:
    """Memory of a training stage with bf16 arithmetic on an accelerator; only the configuration is read."""
    return estimate_config(architecture(spec), tuning, schedule)


def estimate_online(config: Any, tuning: Tuning, drawing: Drawing) -> Memory:
    """The same for a stage that draws answers: with the reference, a critic, judges, and the cache of what is drawn."""
    update = Schedule(epochs=1, batch=1, rate=1.0, seed=0, length=UPDATE, recompute=True)
    one = estimate_config(config, tuning, update)
    trained = 1 + drawing.critic
    # Beside an adapter the reference is the policy with the adapter switched off.
    reference = 0.0 if tuning.adapts else _gib(4.0 * one.parameters)
    cache = _gib(PROMPTS * drawing.tokens * cache_bytes(config))
    learning = Memory(
        weights=trained * one.weights + reference + drawing.frozen * _gib(2.0 * one.parameters),
        optimizer=trained * one.optimizer,
        # Answers are drawn before an update, never during one.
        activations=max(trained * one.activations, cache),
        logits=one.logits,
        trained=trained * one.trained,
        parameters=one.parameters,
    )
    return max(learning, _asked(learning, config, drawing), key=lambda memory: memory.total)


def estimate_rejection(config: Any, tuning: Tuning, schedule: Schedule, drawing: Drawing) -> Memory:
    """The same for rejection sampling: its training beside the judge, or drawing, where that needs more."""
    one = estimate_config(config, tuning, schedule)
    trained = replace(one, weights=one.weights + drawing.frozen * _gib(2.0 * one.parameters))
    return max(trained, _asked(trained, config, drawing), key=lambda memory: memory.total)


def estimate_drawing(config: Any, drawing: Drawing) -> Memory:
    """The same for a step that draws answers and has them judged, and trains nothing."""
    with torch.device("meta"):
        parameters = sum(weight.numel() for weight in AutoModelForCausalLM.from_config(config).parameters())
    return _asked(Memory(0.0, 0.0, 0.0, 0.0, trained=0, parameters=parameters), config, drawing)


def _asked(one: Memory, config: Any, drawing: Drawing) -> Memory:
    """What it needs to ask a policy, whole in bf16 even if it was trained as an adapter of a quantised base."""
    policies = drawing.measured + drawing.frozen
    cache = _gib(PROMPTS * drawing.tokens * cache_bytes(config))
    return replace(one, weights=policies * _gib(2.0 * one.parameters), optimizer=0.0, activations=cache, logits=0.0)


def cache_bytes(config: Any, *, element: float = 2.0) -> float:
    """Bytes of keys and values that generation keeps for one token."""
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return 2 * element * config.num_hidden_layers * _keys(config) * size


def inner_size(config: Any) -> int:
    """Numbers between the two halves of a feed-forward layer; older architectures say so by other names, or not."""
    names = ("intermediate_size", "ffn_dim", "n_inner")
    return next((size for name in names if (size := getattr(config, name, None))), 4 * config.hidden_size)


def _keys(config: Any) -> int:
    """Heads of keys and values; without a number of their own as many as of queries."""
    return getattr(config, "num_key_value_heads", None) or config.num_attention_heads


def estimate_config(config: Any, tuning: Tuning, schedule: Schedule, *, element: float = 2.0) -> Memory:
    """The same for an architecture; `element` is the size of a number in activations."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    every = sum(weight.numel() for weight in model.parameters())
    embeddings = model.get_input_embeddings().weight.numel()
    head = 0 if config.tie_word_embeddings else model.get_output_embeddings().weight.numel()
    whole = {"full": every, "embeddings": embeddings + head, "freeze": 2 * _layer(model)}.get(tuning.method)
    trained = whole if whole is not None else _adapter(model, tuning) + (embeddings + head) * tuning.embeddings
    launch = schedule.launch
    share = launch.world if launch.strategy in ("fsdp2", "zero3") else 1
    states = launch.world if launch.strategy != "ddp" else 1
    kept = _BYTES[tuning.method] * (every - (embeddings + head) * (tuning.method == "qlora"))
    kept += 2.0 * (embeddings + head) * (tuning.method == "qlora") + 4.0 * trained * tuning.adapts
    tokens = (schedule.micro or schedule.batch) * schedule.length
    return Memory(
        weights=_gib(0 if _offloaded(launch) else kept / share),
        optimizer=_gib(_TRAINED * trained / states * (1 / 3 if launch.offload else 1)),
        activations=_gib(tokens * token_bytes(config, recompute=schedule.recompute, element=element)),
        # bf16 logits, their fp32 copy, and its gradient; at most every token is a target.
        logits=_gib(tokens * config.vocab_size * (element + 8.0)),
        trained=trained,
        parameters=every,
    )


def _offloaded(launch: Launch) -> bool:
    return launch.offload and launch.strategy == "zero3"


def _gib(size: float) -> float:
    return size / 2**30


def _layer(model: Any) -> int:
    return sum(weight.numel() for weight in decoder_layers(model)[0].parameters())


def _adapter(model: Any, tuning: Tuning) -> int:
    """Parameters of an adapter beside the linear layers it is meant for."""
    names = set(tuning.targets or linear_names(model))
    layers = [part for name, part in model.named_modules() if name.rpartition(".")[2] in names]
    linear = [part for part in layers if isinstance(part, torch.nn.Linear)]
    size = sum(tuning.rank * (part.in_features + part.out_features) for part in linear)
    return size + (sum(part.out_features for part in linear) if tuning.method == "dora" else 0)


def token_bytes(config: Any, *, recompute: bool, element: float = 2.0) -> float:
    """Bytes that autograd keeps for one token over all layers.

    A layer keeps what its norms, projections, rotary embeddings, attention and gated feed-forward need for the backward
    pass; recomputing keeps the input of every layer and the inside of one.
    """
    hidden, inner = config.hidden_size, inner_size(config)
    size = getattr(config, "head_dim", None) or hidden // config.num_attention_heads
    queries, keys = config.num_attention_heads * size, _keys(config) * size
    layer = _HIDDEN * hidden + _QUERIES * queries + _KEYS * keys + _INNER * inner
    layers = config.num_hidden_layers
    return element * (2 * hidden + (layers * hidden + layer if recompute else layers * layer))


_HIDDEN, _QUERIES, _KEYS, _INNER = 6.0, 5.0, 4.0, 4.0
"""Numbers kept per token and layer, for each unit of size: counted for Qwen3, whose norms of queries and keys make it
17 % more than Llama."""


def fits(memory: Memory, gib: float, *, drawing: bool = False) -> str:
    """What to change when a stage needs more than there is; empty when it fits.

    `drawing`: it trains on answers it draws, and its updates are cut into passes anyway.
    """
    if memory.total <= 0.92 * gib:
        return ""
    if not memory.trained:
        return "lower max_tokens, or take a smaller `model` or judge (`reward`)"
    if drawing:
        return "choose tune: lora or qlora, lower max_tokens, or take a smaller `model` or judge"
    if memory.activations + memory.logits > 0.4 * memory.total:
        return "set micro: 1 and recompute: true, or shorten `length`"
    return "choose tune: lora or qlora, or share the weights out (launch: {processes: 2, strategy: zero3})"
