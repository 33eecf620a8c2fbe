"""MODEL → ChatModel: the one place that knows every way to name a model.

`assistant:RECIPE` the assistant a recipe makes · `scripted:NAME` fixed replies · a folder in Hugging Face format ·
a hub id such as Qwen/Qwen3-4B.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xinglin.errors import DataError, ModelError, RecipeError
from xinglin.recipe import gate
from xinglin.recipe.context import FACTS
from xinglin.recipe.plan import Plan, plan
from xinglin.recipe.read import read_recipe
from xinglin.types import ChatModel, Message, Reply, Sampling

FORMS = "assistant:RECIPE.yaml, a recipe file, a folder in Hugging Face format, a hub id, or scripted:NAME"


@dataclass(frozen=True, slots=True)
class Places:
    """Where recipes find their data and leave their runs."""

    root: Path | None = None
    runs: Path = Path("runs")
    settings: tuple[str, ...] = ()

    @classmethod
    def at(cls, data_root: Path | None, runs: Path, settings: Sequence[str] = ()) -> Places:
        """Places as a user names them; a data root that does not exist is a DataError."""
        if data_root and not data_root.is_dir():
            raise DataError("the data root is no folder", where=str(data_root), fix="check --data-root or XINGLIN_DATA")
        return cls(data_root, runs, tuple(settings))

    def plan(self, recipe: Path) -> Plan:
        """Plan a recipe file; without a data root its relative paths lie beside the recipe."""
        read = read_recipe(recipe, settings=self.settings)
        return plan(read, root=self.root or recipe.resolve().parent, runs=self.runs)


def open_model(spec: str, *, places: Places) -> ChatModel:
    """Open what a MODEL argument names; an unknown form is a ModelError that lists the forms."""
    kind, colon, rest = spec.partition(":")
    if colon and kind == "assistant":
        return assistant(places.plan(Path(rest)))
    if colon and kind == "scripted":
        return _scripted(rest)
    if spec.endswith((".yaml", ".yml")):
        return assistant(places.plan(Path(spec)))
    if colon and kind in ("http", "https"):
        raise ModelError("remote models cannot be opened yet", where=spec, fix=f"name {FORMS}")
    folder = Path(weights_of(spec))
    from xinglin.chat.local import Local

    return Local(
        str(folder) if folder.is_dir() else spec, name=folder.name if folder.name != "model" else folder.parent.name
    )


def weights_of(spec: str) -> str:
    """Where a model's files are: in `model` below the folder of a step; any other name as it is."""
    inside = Path(spec) / "model"
    return str(inside) if any((inside / name).is_file() for name in ("config.json", "adapter_config.json")) else spec


def _scripted(name: str) -> ChatModel:
    from xinglin.chat.scripted import Scripted

    if name != "echo":
        raise ModelError(f"there is no script {name!r}", where=f"scripted:{name}", fix="scripts: echo")
    return Scripted("scripted:echo", {}, "这是用于测试的固定回答。")


def assistant(made: Plan) -> ChatModel:
    """The assistant of a finished recipe: its model over its knowledge base."""
    serve = made.recipe.serve
    if serve is None:
        raise RecipeError(
            "the recipe has no `serve:` block", where=made.recipe.name, fix="add serve: {model: …, knowledge: …}"
        )
    _require_done(made, (serve.model, serve.knowledge))
    gate.check(made)
    from xinglin.chat.local import Local
    from xinglin.knowledge.store import Knowledge
    from xinglin.serve.assistant import Assistant

    model = Local(made.folder(serve.model) / "model", name=serve.model)
    knowledge = Knowledge.load(made.folder(serve.knowledge) / FACTS)
    return Assistant(knowledge, model=model, name=f"xinglin-{made.recipe.name}")


def ask(made: Plan) -> list[tuple[str, Reply]]:
    """The recipe's own questions with the assistant's replies."""
    if made.recipe.serve is None or not made.recipe.serve.ask:
        return []
    fresh = plan(made.recipe, root=made.root, runs=made.runs)
    prompts = [[Message("user", question)] for question in made.recipe.serve.ask]
    return list(zip(made.recipe.serve.ask, assistant(fresh).answer(prompts, Sampling(max_tokens=96)), strict=True))


def _require_done(made: Plan, names: Sequence[str]) -> None:
    open_steps = [step.name for step in made.steps if step.name in names and not step.done]
    if open_steps:
        raise RecipeError(
            f"the recipe has not been run yet: {', '.join(open_steps)} not done",
            where=made.recipe.name,
            fix="run it first: xinglin run RECIPE (with the same --runs, --data-root and --set)",
        )
