"""NEFTune: uniform noise on the input embeddings while training (Jain et al. 2023).

The noise of a token lies within alpha / sqrt(L d) for a sample of L tokens and embeddings of size d, as in the paper's
unpacked batches: in a packed row L is the length of the token's own sample.
"""

from __future__ import annotations

from typing import Any

import torch

from xinglin.model.attention import Batch
from xinglin.train.objective import Objective, Part


def noisy(objective: Objective, alpha: float) -> Objective:
    """The objective, computed with noise on the embeddings while the model is in training mode."""

    def loss(model: Any, batch: Batch) -> Part:
        if not model.training:
            return objective.loss(model, batch)
        lengths_S = torch.tensor(batch["segments"], dtype=torch.float32, device=batch["ends"].device)
        lengths_T = lengths_S.repeat_interleave(lengths_S.long())

        def add(_module: Any, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
            reach_T = alpha / torch.sqrt(lengths_T * output.shape[-1])
            return output + torch.empty_like(output).uniform_(-1, 1) * reach_T[None, :, None].to(output.dtype)

        inner = getattr(model, "module", model)  # DDP and FSDP wrap the model
        hook = inner.get_input_embeddings().register_forward_hook(add)
        try:
            return objective.loss(model, batch)
        finally:
            hook.remove()

    return Objective(loss, objective.count)
