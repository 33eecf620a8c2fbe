"""One of two processes that train a model under FSDP2 (gloo, CPU): MODEL ROWS.json OUT. Started by torchrun."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from xinglin.model import load
from xinglin.model.attention import packed
from xinglin.train.batches import Row, collate
from xinglin.train.likelihood import NEXT_TOKEN
from xinglin.train.shares import in_shares, trainable

STEPS, RATE = 4, 1e-2


def main(folder: str, data: str, out: str) -> None:
    """Train on every other row, the loss being a mean over the tokens of both processes' rows."""
    distributed.init_process_group("gloo")
    rank, world = distributed.get_rank(), distributed.get_world_size()
    model = load.open_model(folder, precision=torch.float32)
    mesh = init_device_mesh("cpu", (world,))
    for layer in model.model.layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    assert all(isinstance(weight, DTensor) for weight in model.parameters()), "nothing was sharded"
    assert in_shares(model)
    rows = [Row(*(tuple(part) for part in row)) for row in json.loads(Path(data).read_text(encoding="utf-8"))]
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    batch = collate(rows[rank::world])
    units = torch.tensor(float(NEXT_TOKEN.count(batch)))
    distributed.all_reduce(units)
    with packed(model):
        for _ in range(STEPS):
            # FSDP averages gradients over processes, so each counts its share `world` times.
            (NEXT_TOKEN.loss(model, batch).total / units * world).backward()
            optimizer.step()
            optimizer.zero_grad()
    whole = trainable(model, optimizer)
    if rank == 0:
        torch.save(whole, out)
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
