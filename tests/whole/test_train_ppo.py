"""PPO and GRPO worked out again, one answer at a time: no packing, plain torch, double precision.

The answers are those the stage drew itself: its scorer is shown them. All else (log-probabilities, values, advantages,
losses, gradients, steps of the optimiser) is computed here and compared with what the stage wrote.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModelForSequenceClassification

from xinglin.errors import EngineError, ModelError
from xinglin.model import load
from xinglin.model.adapter import FULL, Tuning
from xinglin.model.attention import packed
from xinglin.model.render import Template
from xinglin.train import ppo as proximal
from xinglin.train.curves import read_metrics
from xinglin.train.fit import Schedule, begin
from xinglin.train.group import Group, group
from xinglin.train.online import Loop, Outcome, Scored, Turn
from xinglin.train.ppo import Ppo, Reference, Start, ppo
from xinglin.train.rewards import Mix, Score, form
from xinglin.train.rollout import Rollout, roll
from xinglin.train.sft import sft
from xinglin.types import Sample, Sampling

LOOP = Loop(2e-3, 5, iterations=2, prompts=4, each=3, batch=5, passes=2, max_tokens=10, temperature=0.8, minutes=0)
KNOBS = Ppo(beta=0.1, target=0.05)
REWARDS = Mix(
    {"length": lambda every: [len(one.text) ** 0.5 for one in every], "form": form}, {"length": 0.7, "form": 0.5}
)
HEAD: dict[str, Any] = {"kind": AutoModelForSequenceClassification, "num_labels": 1}
Numbers = dict[str, float]


@pytest.fixture(scope="module")
def policy(tiny_folder: Path, samples: list[Sample], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy some of whose answers stop within ten tokens, and some do not."""
    folder = tmp_path_factory.mktemp("policy")
    sft(tiny_folder, samples, folder, schedule=Schedule(epochs=6, batch=4, rate=5e-3, seed=4, length=128))
    return folder / "model"


@pytest.fixture(scope="module")
def rewarder(policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reward model whose numbers are far apart."""
    return with_head(policy, tmp_path_factory.mktemp("rewarder") / "model")


def with_head(base: Path, folder: Path) -> Path:
    model, tokenizer = begin(base, FULL, 8, fresh=["score.weight"], **HEAD)
    nn.init.normal_(model.score.weight, std=0.1)  # type: ignore[union-attr, arg-type]
    load.save(model, tokenizer, folder, stage="reward", base=base)
    return folder


@dataclass
class Seen:
    """What a stage shows while it runs: its answers, and its weights and its optimiser's state after an iteration."""

    start: Start
    samples: Sequence[Sample]
    folder: Path
    rewards: Callable[[Sequence[Rollout]], Sequence[Score]] = REWARDS
    stop: int = 0
    drawn: list[list[Rollout]] = field(init=False, default_factory=list)
    weights: list[dict[str, torch.Tensor]] = field(init=False, default_factory=list)
    moments: list[list[dict[str, torch.Tensor]]] = field(init=False, default_factory=list)
    outcome: Outcome | None = field(init=False, default=None)

    def score(self, rollouts: Sequence[Rollout]) -> Sequence[Score]:
        self.drawn.append(list(rollouts))
        return self.rewards(rollouts)

    def progress(self, done: int, total: int, line: Numbers) -> None:
        path = self.folder / "logs" / "trainer" / f"checkpoint-{done}"
        if path.is_dir():
            self.weights.append(load_file(path / "weights.safetensors"))
            self.moments.append([*torch.load(path / "optimizer.pt", weights_only=True)["state"].values()])
        if done == self.stop:
            raise KeyboardInterrupt

    @property
    def metrics(self) -> dict[str, list[float]]:
        return read_metrics(self.folder / "metrics.jsonl")

    def train(self, knobs: Ppo | Group = KNOBS, **changes: Any) -> Seen:
        stage: Any = ppo if isinstance(knobs, Ppo) else group
        options = {"scorer": self.score, "progress": self.progress, "knobs": knobs, "loop": replace(LOOP, **changes)}
        with suppress(KeyboardInterrupt):
            self.outcome = stage(self.start, self.samples, self.folder, **options)
        return self


@pytest.fixture
def seen(policy: Path, samples: list[Sample], tmp_path: Path) -> Seen:
    return Seen(Start(policy), samples[:20], tmp_path / "made")


def alone(model: Any, one: Rollout) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probability and entropy of every token of an answer."""
    logits = model(input_ids=torch.tensor([[*one.start, *one.answer]])).logits[0, len(one.start) - 1 : -1]
    every = torch.log_softmax(logits / LOOP.temperature, dim=-1)
    return torch.stack([every[at, token] for at, token in enumerate(one.answer)]), -(every.exp() * every).sum(-1)


def worth(critic: Any, one: Rollout) -> torch.Tensor:
    """What the critic expects before it sees each token of an answer."""
    inner = critic.get_base_model() if hasattr(critic, "get_base_model") else critic
    hidden = inner.model(input_ids=torch.tensor([[*one.start, *one.answer]])).last_hidden_state[0]
    return inner.score(hidden)[len(one.start) - 1 : -1, 0]


class ByHand:
    """A training by the papers' formulas: a policy, a critic for PPO, and a reference."""

    def __init__(self, knobs: Ppo | Group, models: Sequence[Any], reference: Any) -> None:
        self.knobs, self.beta, self.models = knobs, knobs.beta, [model.double() for model in models]
        self.policy, self.critic, self.reference = self.models[0], self.models[-1], reference.double()
        named = [(at, one) for at, model in enumerate(self.models) for one in model.named_parameters()]
        self.weights = {f"{at}.{name}": weight for at, (name, weight) in named if weight.requires_grad}
        self.start = {name: weight.detach().clone() for name, weight in self.weights.items()}
        groups = [
            {"params": [one for one in model.parameters() if one.requires_grad], "lr": LOOP.rate * 10**at}
            for at, model in enumerate(self.models)
        ]
        self.optimizer = torch.optim.AdamW(groups, LOOP.rate, (0.9, 0.999), 1e-8, weight_decay=0)

    @torch.no_grad()
    def turns(self, rollouts: Sequence[Rollout], rewards: Sequence[float]) -> list[Turn]:
        found = []
        for one, reward in zip(rollouts, rewards, strict=True):
            old, theirs = alone(self.policy, one)[0], alone(self.reference, one)[0]
            if isinstance(self.knobs, Ppo):
                found.append(self.estimated(Turn(one, old, theirs, old, worth(self.critic, one), old), reward))
                continue
            group = torch.tensor([got for at, got in zip(rollouts, rewards, strict=True) if at.sample is one.sample])
            assert group.min() < group.max()
            others = (group.sum() - reward) / (len(group) - 1)
            ours = (reward - group.mean()) / (group.std() + 1e-4) if self.knobs.method == "grpo" else reward - others
            found.append(Turn(one, old, theirs, torch.full_like(old, ours.item()), old, old))
        return whitened(found) if isinstance(self.knobs, Ppo) else found

    def estimated(self, turn: Turn, reward: float) -> Turn:
        gains = -self.beta * (turn.old - turn.reference)
        gains[-1] += reward if turn.rollout.finished else reward - 1.0
        surprises = gains + torch.cat([turn.values[1:], torch.zeros(1)]) - turn.values
        places = range(len(gains))
        discounts = torch.tensor([[0.95 ** (b - a) if b >= a else 0.0 for b in places] for a in places])
        advantages = (discounts.double() * surprises).sum(1)
        return replace(turn, advantages=advantages, returns=advantages + turn.values)

    def loss(self, turns: Sequence[Turn]) -> tuple[torch.Tensor, Numbers]:
        def joined(name: str) -> torch.Tensor:
            return torch.cat([getattr(turn, name) for turn in turns])

        logprobs, entropies = map(torch.cat, zip(*(alone(self.policy, turn.rollout) for turn in turns), strict=True))
        ratios, advantages = (logprobs - joined("old")).exp(), joined("advantages")
        high = 1.2 if isinstance(self.knobs, Ppo) else 1.28
        kept = torch.where(advantages > 0, ratios.clamp(max=high), ratios.clamp(min=0.8))
        clipped = ((kept != ratios) & (advantages != 0)).double().mean().item()
        numbers = {"entropy": entropies.mean().item(), "clipped": clipped}
        if isinstance(self.knobs, Group):
            away = joined("reference") - logprobs
            numbers["silent"] = sum(turn.advantages.abs().max().item() == 0 for turn in turns) / len(turns)
            return self.beta * (away.exp() - away - 1).mean() - (kept * advantages).mean(), numbers
        now, returns = torch.cat([worth(self.critic, turn.rollout) for turn in turns]), joined("returns")
        value = ((now - returns) ** 2).mean() / 2
        unexplained = (returns - now).var(correction=0) / returns.var(correction=0)
        numbers |= {"value_loss": value.item(), "explained": 1 - unexplained.item()}
        return 0.1 * value - (kept * advantages).mean(), numbers

    def update(self, turns: Sequence[Turn], number: int) -> Numbers:
        """All steps of an iteration; the means of what they log."""
        chance, logged = random.Random(f"{LOOP.seed}:{number}"), []
        for _ in range(LOOP.passes):
            order = chance.sample(range(len(turns)), len(turns))
            for first in range(0, len(turns), LOOP.batch):
                total, numbers = self.loss([turns[at] for at in order[first : first + LOOP.batch]])
                self.optimizer.zero_grad()
                total.backward()
                norms = [nn.utils.clip_grad_norm_(model.parameters(), LOOP.clip).item() for model in self.models]
                self.optimizer.step()
                logged.append(numbers | {"loss": total.item(), "norm": norms[0]})
        return {name: sum(one[name] for one in logged) / len(logged) for name in logged[0]}

    def distance(self, found: dict[str, torch.Tensor]) -> float:
        """How far weights are from these, in parts of the way that these have come."""
        assert found.keys() == self.weights.keys()
        off, way = (
            sum((given[name] - weight.detach()).square().sum().item() for name, weight in self.weights.items())
            for given in (found, self.start)
        )
        return (off / way) ** 0.5


def whitened(turns: Sequence[Turn]) -> list[Turn]:
    every = torch.cat([turn.advantages for turn in turns])
    deviation = (every - every.mean()).square().mean().sqrt()
    return [replace(turn, advantages=(turn.advantages - every.mean()) / deviation) for turn in turns]


CASES: dict[str, tuple[Ppo | Group, Tuning, bool]] = {
    "ppo": (KNOBS, FULL, False),
    "ppo, critic from a reward model": (KNOBS, FULL, True),
    "ppo, lora": (KNOBS, Tuning("lora", 4), True),
    "grpo": (Group("grpo", beta=0.3), FULL, False),
    "rloo": (Group("rloo"), FULL, False),
}


@pytest.mark.parametrize("case", CASES)
def test_a_training_is_what_the_papers_formulas_make_of_its_answers(case: str, seen: Seen, rewarder: Path) -> None:
    policy, (knobs, tuning, given) = seen.start.policy, CASES[case]
    seen.start = Start(policy, tuning, rewarder if given else "")
    seen.train(knobs, recompute=tuning.adapts)
    drawn = [one for rollouts in seen.drawn for one in rollouts]
    stops = Template(load.open_tokenizer(str(policy))).stop_ids
    assert {(one.finished, one.answer[-1] in stops) for one in drawn} == {(True, True), (False, False)}
    assert len({one.sample.id for one in drawn}) == 8
    models, fresh = [begin(policy, tuning, LOOP.seed)[0]], [] if given else ["score.weight"]
    if isinstance(knobs, Ppo):
        models.append(begin(rewarder if given else policy, tuning, LOOP.seed, fresh=fresh, **HEAD)[0])
    hand = ByHand(knobs, models, load.open_model(str(policy)))
    for number, rollouts in enumerate(seen.drawn, 1):
        rewards = [score.value for score in REWARDS(rollouts)]
        turns = hand.turns(rollouts, rewards)
        wanted = hand.update(turns, number)
        means = {"reward": rewards, "finished": [one.finished for one in rollouts]}
        means |= {f"reward_{name}": source(rollouts) for name, source in REWARDS.rewards.items()}
        means |= {"kl": [(one.old - one.reference).sum().item() for one in turns]}
        wanted |= {name: sum(every) / len(rollouts) for name, every in means.items()}
        if isinstance(knobs, Ppo):
            assert (wanted["kl"] > knobs.target) == (number == 2), "the price falls, then rises"
            hand.beta *= 1 + (0.2 if number == 2 else -0.2) * len(rollouts) / 1000
            wanted["coefficient"] = hand.beta
        found = {name: seen.metrics[name][number - 1] for name in wanted}
        # One token on the other side of its bound would be a few percent of a step.
        assert found.pop("clipped") == pytest.approx(wanted.pop("clipped"), abs=0.02)
        assert found == pytest.approx(wanted, rel=1e-3, abs=1e-4)
        assert hand.distance(seen.weights[number - 1]) < 1e-3


@pytest.fixture(scope="module")
def rule(policy: Path, rewarder: Path) -> Any:
    """PPO in the middle of a training: the policy is no longer the reference."""
    actor, critic = load.open_model(str(policy)), load.open_model(str(rewarder), **HEAD)
    reference = Reference(actor)
    stir(actor, 0.02)
    return proximal._Rule(actor, critic, reference, KNOBS, LOOP.temperature, 0, {"coefficient": 0.4})


@pytest.fixture(scope="module")
def scored(rule: Any, policy: Path, samples: list[Sample]) -> list[Scored]:
    template = Template(load.open_tokenizer(str(policy)))
    drawn = roll(rule.policy, template, samples[:4], sampling=Sampling(10, 0.8, seed=2), each=2)
    return [Scored(one, score.value) for one, score in zip(drawn, REWARDS(drawn), strict=True)]


def stir(model: Any, size: float) -> None:
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight += size * torch.randn_like(weight)


def test_what_an_iteration_teaches_and_its_loss(rule: Any, scored: list[Scored]) -> None:
    hand = ByHand(Ppo(beta=0.4), *map(copy.deepcopy, (rule.models, rule.reference.model)))
    turns, wanted = (
        rule.prepare(scored, 1),
        hand.turns(*zip(*((one.rollout, one.reward) for one in scored), strict=True)),
    )
    for mine, theirs in zip(turns, wanted, strict=True):
        assert mine.rollout is theirs.rollout
        for name in ("old", "reference", "advantages", "values", "returns"):
            assert getattr(mine, name).tolist() == pytest.approx(getattr(theirs, name).tolist(), abs=1e-4), name
    moved = replace(rule, policy=copy.deepcopy(rule.policy), critic=copy.deepcopy(rule.critic))
    for model, same in zip(moved.models, hand.models, strict=True):
        stir(model, 0.01)
        same.load_state_dict(model.state_dict())
    with packed(moved.policy), packed(moved.critic):
        part, (total, numbers) = moved.loss(turns[:5]), hand.loss(wanted[:5])
    assert 0 < numbers["clipped"] < 1
    assert part.numbers == pytest.approx(numbers, rel=1e-3, abs=1e-4)
    assert part.total.item() / sum(len(turn.old) for turn in turns[:5]) == pytest.approx(total.item(), abs=1e-4)


def test_an_answer_that_was_cut_off_loses_one(rule: Any, scored: list[Scored]) -> None:
    def returns(finished: bool) -> torch.Tensor:
        given = [replace(one, rollout=replace(one.rollout, finished=finished)) for one in scored]
        return torch.stack([turn.returns[-1] for turn in rule.prepare(given, 1)])

    assert (returns(True) - returns(False)).tolist() == pytest.approx([1.0] * len(scored), abs=1e-5)


def test_the_critic_does_not_see_the_token_it_judges(rule: Any, scored: list[Scored]) -> None:
    one = scored[0].rollout
    for at in range(len(one.answer)):
        changed = (*one.answer[:at], one.answer[at] ^ 1, *one.answer[at + 1 :])
        both = [Scored(one, 0.0), Scored(replace(one, answer=changed), 0.0)]
        mine, theirs = (turn.values for turn in rule.prepare(both, 1))
        same = (mine - theirs).abs() < 1e-5
        assert same[: at + 1].all()
        assert not same[at + 1 : at + 2].any(), "but the next value does see it"


@pytest.mark.parametrize("clip", [0.1, 1e6])
def test_gradients_are_kept_within_the_bound(clip: float, seen: Seen) -> None:
    seen.train(Group(), iterations=1, passes=1, batch=12, clip=clip)
    # After one step the optimiser's mean is a tenth of the gradient.
    size = 10 * sum(moment["exp_avg"].square().sum().item() for moment in seen.moments[0]) ** 0.5
    assert size == pytest.approx(min(seen.metrics["norm"][0], clip), rel=1e-3)


def test_every_pass_takes_every_answer_and_the_critic_learns(seen: Seen) -> None:
    seen.rewards = lambda rollouts: [Score(1.0 + (not one.finished), {}) for one in rollouts]
    seen.train(Ppo(beta=0.0), passes=5)
    assert [moments[0]["step"].item() for moments in seen.moments] == [15, 30], "twelve answers by fives, five times"
    assert seen.metrics["value_loss"][1] < 0.3 * seen.metrics["value_loss"][0]


def test_the_critic_learns_alone_in_the_first_fifth_of_the_iterations(seen: Seen) -> None:
    seen.train(iterations=5)
    start = load.open_model(str(seen.start.policy)).state_dict()
    first, second = seen.weights[:2]
    assert all(weight.equal(start[name[2:]]) for name, weight in first.items() if name.startswith("0."))
    assert not any(weight.equal(start[name[2:]]) for name, weight in second.items() if name.startswith("0."))
    assert sum(not one.equal(second[name]) for name, one in first.items() if name.startswith("1.")) > 10
    assert seen.metrics["value_loss"][1] < seen.metrics["value_loss"][0]


def test_every_iteration_draws_anew_and_by_default_there_are_enough_for_all_prompts(seen: Seen) -> None:
    drawn = []
    for seed in (5, 6):
        one = replace(seen, folder=seen.folder / str(seed), samples=[seen.samples[0]] * 7)
        one.rewards = lambda rollouts: [Score(0.7, {}) for _ in rollouts]
        one.train(Group(), seed=seed, iterations=0, minutes=10)
        assert one.metrics["silent"] == [1.0, 1.0], "equal rewards teach nothing, whatever their mean is rounded to"
        assert one.weights == [], "no checkpoint was due yet"
        drawn += [tuple(each.answer for each in rollouts) for rollouts in one.drawn]
    assert len(set(drawn)) == 4
    seen.train(Group(), temperature=1e-3, iterations=1)
    assert len({(one.sample.id, one.answer) for one in seen.drawn[0]}) == 4, "hardly any chance is left"


@pytest.fixture(scope="module")
def free(policy: Path, samples: list[Sample], tmp_path_factory: pytest.TempPathFactory) -> Seen:
    return Seen(Start(policy), samples[:20], tmp_path_factory.mktemp("free")).train(iterations=3)


@pytest.mark.parametrize("cut", [0, 1, 2])
def test_the_ceiling_and_the_price_of_the_kl_hold_over_a_cut(cut: int, free: Seen, seen: Seen) -> None:
    kl = free.metrics["kl"]
    assert kl == sorted(kl)
    for stop in [cut, 0] if cut else [0]:
        seen.stop = stop
        seen.train(iterations=3, ceiling=sum(kl[1:]) / 2)
        assert (seen.outcome is None) == bool(stop)
    assert seen.outcome
    assert (seen.outcome.iterations, seen.outcome.stopped) == (2, True)
    assert seen.metrics == {name: numbers[:2] for name, numbers in free.metrics.items()}
    # Iteration 2 has found the weights after the first below the ceiling, iteration 3 those after the second above.
    for name, weight in load.open_model(str(seen.folder / "model")).named_parameters():
        assert weight.equal(free.weights[0][f"0.{name}"])


def test_a_loss_that_is_not_finite_names_the_answers(seen: Seen) -> None:
    with pytest.raises(EngineError, match="the loss became nan at step 1") as caught:
        seen.train(Ppo(beta=float("inf")))
    assert any(one.id in caught.value.where for one in seen.samples)
    assert not (seen.folder / "model").exists()


def test_a_critic_has_a_head_and_reads_the_policys_tokens(seen: Seen, llama_folder: Path, tmp_path: Path) -> None:
    other = with_head(llama_folder, tmp_path / "other")
    for reward, problem in ((other, "different vocabularies"), (seen.start.policy, "weights are missing")):
        seen.start = replace(seen.start, reward=reward)
        with pytest.raises(ModelError, match=problem):
            seen.train()
