"""An answer that has begun to repeat itself is ended; what only looks alike is not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from xinglin.chat.local import Local
from xinglin.model import load
from xinglin.model.loops import looping
from xinglin.serve.wire import finish_reason
from xinglin.types import Message, Reply, Sampling

ASKED = [Message("user", "头痛怎么办？")]


@pytest.fixture(scope="module")
def stuck(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Local:
    """A model that says one token for ever."""
    folder = tmp_path_factory.mktemp("stuck")
    model, tokenizer = load.open_pair(str(tiny_folder))
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
        model.base_model.norm.weight.fill_(1)  # type: ignore[operator, union-attr]
        for layer in (model.get_input_embeddings(), model.get_output_embeddings()):
            layer.weight.fill_(1)  # type: ignore[union-attr, operator]
            layer.weight[tokenizer.encode("痛")[-1]] = 2  # type: ignore[union-attr, index]
    load.save(model, tokenizer, folder, stage="base", base="here")
    return Local(folder)


def rows(*given: list[int]) -> torch.Tensor:
    length = max(map(len, given))
    return torch.tensor([[-1 - at for at in range(length - len(row))] + row for row in given])


@pytest.mark.parametrize(
    ("row", "loops"),
    [
        ([7] * 32, True),
        ([7] * 31, False),
        ([1, 2, 3] * 11, True),
        ([1, 2, 3] * 10, False),
        (list(range(20)) * 4, True),
        (list(range(20)) * 3 + list(range(19)), False),
        (list(range(64)) * 4, True),
        (list(range(65)) * 4, False),
        ([*[7] * 40, 8], False),
        ([part for at in range(20) for part in (at, 5, 6, 9)], False),
    ],
    ids=["one", "one, short", "three", "three, short", "line", "three lines and a bit", "longest", "too long", "over",
         "an enumeration"],
)  # fmt: skip
def test_a_loop_is_one_run_said_four_times_over_thirty_two_tokens(row: list[int], loops: bool) -> None:
    assert looping(rows(row, list(range(100, 150)))).tolist() == [loops, False]


def test_a_stuck_model_is_ended_and_the_reply_says_why(stuck: Local) -> None:
    sampling = Sampling(max_tokens=200)
    reply, other = stuck.answer([ASKED, ASKED * 3], sampling)
    assert (reply.finish, reply.tokens) == ("loop", 32)
    assert (other.finish, other.tokens) == ("loop", 32)
    *pieces, last = stuck.stream(ASKED, sampling)
    assert isinstance(last, Reply)
    assert (last.finish, last.tokens, last.text) == ("loop", 32, reply.text)
    assert "".join(map(str, pieces)) == last.text
    assert finish_reason(last) == "length", "the protocol knows no better word"


def test_a_limit_below_the_guard_is_still_the_limit(stuck: Local) -> None:
    assert stuck.answer([ASKED], Sampling(max_tokens=31))[0].finish == "length"
