"""Does each stage of the regime improve its own metric over its parent? The tiny model, two cores, three seeds.

    python bench/regime.py [--seeds 41 42 43]   # writes bench/results/regime.md, .json and .png

Written down before the runs (bench/regime.yaml is the recipe; seeds 41, 42 and 43, not looked at before; a stage counts
as better at p < 0.05). What came before, and was seen, is in docs/train.md: runs on seeds 7 and 8, 11 to 13, 21 to 23
and 31 to 33, each of which left stages that were not better. What changed since the last, chosen on seeds 5 and 6:

- DPO learns from the policy's own answers, right against wrong (`contrast`), and not from answers to other questions:
  recall 65.2 to 72.2 and 83.8 to 83.0, verified accuracy of drawn answers 0.323 to 0.361 and 0.427 to 0.500. Its own
  metric is that of rejection sampling and GRPO now, which learn from the same draws; recall is beside it.
- PPO takes off a baseline, the mean reward of four answers of its start to the same prompt, and has half the rate.
  Its recall rose (83.8 to 85.8 on seed 6) where it had fallen.
- The model that the reward model starts from has four epochs and not two: 0.783 of seed 5's pairs in order became
  0.812. The policy's own answers as pairs for it were tried, too: topics never seen were judged worse (seed 6, 0.837 to
  0.768).

What is rewarded is measured as it is rewarded: by answers drawn, four to each of the 400 questions in a phrasing that
no stage has seen, and tested over entities, not prompts. Held-out topics decide on nothing but the reward model: the
tiny model forgets a topic that a stage leaves out, whatever the stage rewards.

| stage | over | metric | n |
|---|---|---|---|
| vocab | start | characters per token on held-out text | one text |
| pretrain | vocab | held-out loss of statements about entities never seen (sign-flip over rows) | rows of a tenth |
| pretrain | base | choice among four by likelihood, phrasings never seen (McNemar) | 400 |
| sft | pretrain | fact recall by generation, phrasings never seen (McNemar) | 400 |
| reward | chance, and the goal of 0.75 | pairs in the right order, topics never seen (Wilson) | a fifth of the pairs |
| reject, dpo, grpo | sft | verified accuracy of drawn answers, phrasings never seen (sign-flip), KL at most 20 | 400 |
| ppo | sft | reward of drawn answers, phrasings never seen (sign-flip), KL at most 20 | 400 |

Beside them, and not what the aim depends on: recall after rejection sampling, DPO, PPO and GRPO; verified accuracy of
drawn answers after PPO.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results"
CURVES = {
    "sft": ("loss",),
    "rm": ("accuracy",),
    "dpo": ("accuracy",),
    "ppo": ("reward", "kl"),
    "grpo": ("reward", "kl"),
}
"""What is drawn of the stages' metrics."""
NAMES = {"pt": "pretrain", "rs": "reject"}
VERIFIED, REWARD = "verified accuracy", "reward"
DRAWN = (("rs", VERIFIED), ("dpo", VERIFIED), ("ppo", REWARD), ("grpo", VERIFIED), ("ppo", VERIFIED))
"""What is measured by drawn answers."""
OWN = DRAWN[:4]
"""Of it what the stages are there to improve; the rest stands beside them."""
BESIDE = "beside it: "


def _columns(metrics: Path, names: tuple[str, ...]) -> dict[str, list[float]]:
    from xinglin.train.curves import read_metrics

    found = read_metrics(metrics)
    return {name: [round(value, 4) for value in found[name]] for name in ("step", *names)}


def draw(record: list[dict[str, Any]], image: Path) -> None:
    """Draw the curves of all seeds, raw and smoothed."""
    from matplotlib.figure import Figure

    from xinglin.train.curves import LABELS, smooth

    panels = [(stage, name) for stage, names in CURVES.items() for name in names]
    figure = Figure(figsize=(15, 6), dpi=110, layout="constrained")
    colours = ("#0f766e", "#b45309", "#4338ca", "#be123c")
    for at, (stage, name) in enumerate(panels, 1):
        axes = figure.add_subplot(2, -(-len(panels) // 2), at)
        for one, colour in zip(record, colours, strict=False):
            steps, values = one["curves"][stage]["step"], one["curves"][stage][name]
            axes.plot(steps, values, color=colour, alpha=0.25, linewidth=0.8)
            axes.plot(steps, smooth(values), color=colour, linewidth=1.6, label=f"seed {one['seed']}")
        axes.set_title(f"{stage}: {LABELS[name][0]}", fontsize=10)
        axes.set_xlabel("iteration" if stage in ("ppo", "grpo") else "optimiser step")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    figure.savefig(image, metadata={"Software": None})


def run(seed: int, runs: Path) -> dict[str, Any]:
    """Run the recipe with a seed; returns the manifests' numbers and the comparisons."""
    from xinglin.recipe.manifest import read_manifest
    from xinglin.recipe.measure import results
    from xinglin.recipe.models import Places

    recipe = HERE / "regime.yaml"
    call = [sys.executable, "-m", "xinglin", "run", str(recipe), "--runs", str(runs), "--set", f"seed={seed}"]
    subprocess.run(call, check=True, stdout=subprocess.DEVNULL)
    made = Places(runs=runs, settings=(f"seed={seed}",)).plan(recipe)
    manifests = {step.name: manifest for step in made.steps if (manifest := read_manifest(step.folder))}
    compared = [
        {"child": one.child, "parent": one.parent, "task": one.task, "difference": one.difference, "low": one.low,
         "high": one.high, "p": one.p, "n": one.count}
        for one in results(made)[0].comparisons
    ]  # fmt: skip
    curves = {stage: _columns(made.folder(stage) / "metrics.jsonl", names) for stage, names in CURVES.items()}
    return {
        "seed": seed,
        "curves": curves,
        "numbers": {name: manifest.numbers for name, manifest in manifests.items()},
        "seconds": {name: manifest.seconds for name, manifest in manifests.items()},
        "compared": compared,
        "drawn": drawn(made, seed),
    }


def drawn(made: Any, seed: int) -> dict[str, dict[str, float]]:
    """Rewards of answers drawn to questions in a phrasing that no stage has seen, by stage and what is rewarded."""
    from xinglin import files
    from xinglin.train import rewards
    from xinglin.train.measure import compare
    from xinglin.train.online import Loop
    from xinglin.types import Fact, Question, Sample

    asked = files.read_records(made.folder("qa") / "recall.jsonl", Question)
    prompts = [Sample(one.id, one.messages, one.origin) for one in asked]
    facts = rewards.from_facts(files.read_records(made.folder("kb") / "facts.jsonl", Fact))
    sources = {"model": rewards.from_model(made.folder("rm") / "model"), "facts": facts, "form": rewards.form}
    weights = {"model": 1.0} | made.recipe.steps["ppo"].verify
    scorers = {VERIFIED: rewards.Mix({"facts": facts}, {"facts": 1.0}), REWARD: rewards.Mix(sources, weights)}
    found: dict[str, dict[str, float]] = {}
    for child, name in DRAWN:
        before, after = (made.folder(step) / "model" for step in ("sft", child))
        loop = Loop(rate=0.0, seed=seed)
        found[f"{child}: {name}"] = compare(before, after, prompts, scorer=scorers[name], loop=loop)
    return found


def rows(one: dict[str, Any]) -> list[tuple[str, str, str, str, bool]]:
    """Stage, metric, before and after, interval and p, and whether it is better, for one seed."""
    numbers = one["numbers"]
    wide, text, judged = numbers["wide"], numbers["ppl"], numbers["rm"]
    found = [
        (
            "vocab", "characters per token", f"{wide['compression_before']:.2f} → {wide['compression_after']:.2f}", "–",
            wide["compression_after"] > wide["compression_before"],
        ),
        (
            "pretrain", "held-out loss", f"{text['heldout_before']:.2f} → {text['heldout_after']:.2f}",
            f"[{text['heldout_low']:+.2f}, {text['heldout_high']:+.2f}], p {_p(text['heldout_p'])}, "
            f"n {text['heldout_rows']}",
            text["heldout_p"] < 0.05 and text["heldout_after"] < text["heldout_before"],
        ),
    ]  # fmt: skip
    for child, parent, task in (
        ("pt", "base", "choice"), ("sft", "pt", "recall"), ("rs", "sft", "recall"), ("dpo", "sft", "recall"),
        ("ppo", "sft", "recall"), ("grpo", "sft", "recall"),
    ):  # fmt: skip
        pair = next(
            two for two in one["compared"] if (two["child"], two["parent"], two["task"]) == (child, parent, task)
        )
        tables = numbers["tables"]
        found.append(
            (
                NAMES.get(child, child), f"{BESIDE if child in dict(OWN) else ''}{task} (%)",
                f"{100 * tables[f'{parent}.{task}']:.1f} → {100 * tables[f'{child}.{task}']:.1f}",
                f"[{100 * pair['low']:+.1f}, {100 * pair['high']:+.1f}], p {_p(pair['p'])}, n {pair['n']}",
                pair["p"] < 0.05 and pair["difference"] > 0,
            )
        )  # fmt: skip
    found.insert(
        4,
        (
            "reward", "pairs in order", f"{judged['accuracy']:.3f}",
            f"[{judged['low']:.3f}, {judged['high']:.3f}], n {judged['pairs']}", judged["accuracy"] >= 0.75,
        ),
    )  # fmt: skip
    for child, metric in DRAWN:
        held = one["drawn"][f"{child}: {metric}"]
        own = (child, metric) in OWN
        found.append(
            (
                NAMES.get(child, child), metric if own else f"{BESIDE}{metric}",
                f"{held['reward_before']:.3f} → {held['reward_after']:.3f}",
                f"[{held['low']:+.3f}, {held['high']:+.3f}], p {_p(held['p'])}, n {held['heldout']} of "
                f"{held['groups']} entities, KL {held['heldout_kl']:.1f}",
                held["p"] < 0.05 and held["difference"] > 0 and held["heldout_kl"] <= 20,
            )
        )  # fmt: skip
    found.sort(key=lambda row: row[1].startswith(BESIDE))
    return found


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def table(record: list[dict[str, Any]]) -> str:
    """The results as Markdown, one line per stage and seed."""
    lines = [
        "# The regime, stage by stage",
        "",
        "`python bench/regime.py`; metrics, n and seeds were written down before the runs (bench/regime.py).",
        "",
        "| stage | metric | seed | before → after | 95 % interval, p, n | better |",
        "|---|---|---|---|---|---|",
    ]
    by_seed = {one["seed"]: rows(one) for one in record}
    for at in range(len(next(iter(by_seed.values())))):
        for seed, found in by_seed.items():
            stage, metric, values, detail, better = found[at]
            lines.append(f"| {stage} | {metric} | {seed} | {values} | {detail} | {'yes' if better else '**no**'} |")
    seconds = [sum(one["seconds"].values()) for one in record]
    spent = ", ".join(f"{one / 60:.1f}" for one in seconds)
    lines += ["", f"Minutes of a run, one per seed, three at once on two cores: {spent}."]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run all seeds and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="*", default=[41, 42, 43])
    parser.add_argument("--runs", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        record = []
        for seed in chosen.seeds:
            record.append(run(seed, (chosen.runs or Path(folder)) / str(seed)))
            RESULTS.mkdir(exist_ok=True)
            (RESULTS / "regime.json").write_text(
                "[\n" + ",\n".join(map(json.dumps, record)) + "\n]\n", encoding="utf-8"
            )
            (RESULTS / "regime.md").write_text(table(record), encoding="utf-8")
            draw(record, RESULTS / "regime.png")


if __name__ == "__main__":
    main()
