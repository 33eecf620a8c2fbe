"""Reading a recipe: every mistake exits with 2 and names file, line, key, what is allowed and the nearest spelling."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from xinglin.errors import DataError, RecipeError
from xinglin.recipe import schema
from xinglin.recipe.read import STEPS, read_recipe
from xinglin.recipe.versions import VERSIONS

RECIPE = """\
name: example
base: tiny
seed: 7
steps:
  kb:      {do: knowledge, sources: ["pack:starter"]}
  books:   {do: statements, facts: kb}
  qa:
    do: templates
    facts: kb
    phrasings: 3
  dealt:   {do: pairs, facts: kb}
  pt:      {do: pretrain, model: base, data: books}
  sft:     {do: sft, model: pt, data: qa, epochs: 2}
  rm:      {do: reward, model: sft, data: dealt}
  rs:      {do: reject, model: sft, reward: rm, prompts: qa}
  tables:  {do: evaluate, models: [base, pt, sft], questions: qa}
serve: {model: sft, knowledge: kb}
"""
ROOT = Path(__file__).parents[2]


def write(folder: Path, text: str, *, encoding: str = "utf-8") -> Path:
    path = folder / "recipe.yaml"
    path.write_bytes(text.encode(encoding))
    return path


def changed(folder: Path, old: str, new: str) -> Path:
    assert RECIPE.count(old) == 1
    return write(folder, RECIPE.replace(old, new))


def refused(path: Path, *sets: str) -> RecipeError:
    with pytest.raises(RecipeError) as caught:
        read_recipe(path, settings=sets)
    assert (caught.value.code, bool(caught.value.fix)) == (2, True)
    return caught.value


def test_a_recipe_is_read_with_defaults_and_references(tmp_path: Path) -> None:
    recipe = read_recipe(write(tmp_path, RECIPE))
    assert (recipe.name, recipe.base, recipe.seed) == ("example", "tiny", 7)
    assert list(recipe.steps) == ["kb", "books", "qa", "dealt", "pt", "sft", "rm", "rs", "tables"]
    sft = recipe.steps["sft"]
    assert isinstance(sft, schema.Sft)
    assert (sft.epochs, sft.batch) == (2.0, 4)
    assert schema.references(sft) == [("model", "model", "pt"), ("data", "samples", "qa")]
    tables = recipe.steps["tables"]
    assert schema.references(tables)[:3] == [("models", "model", name) for name in ("base", "pt", "sft")]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "gb18030"])
def test_a_recipe_may_have_a_mark_or_be_gb18030(tmp_path: Path, encoding: str) -> None:
    text = RECIPE.replace("name: example", "name: example  # 从医学知识到小助手")
    assert read_recipe(write(tmp_path, text, encoding=encoding)) == read_recipe(write(tmp_path, text))


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "recipes").glob("*.yaml")))
def test_every_recipe_of_the_project_is_read(name: str) -> None:
    assert read_recipe(ROOT / "recipes" / name).name == name.removesuffix(".yaml")


def test_every_step_can_be_named_and_has_a_version() -> None:
    assert set(STEPS.values()) == set(VERSIONS)


@pytest.mark.parametrize(
    ("old", "new", "line", "problem", "fix"),
    [
        ("epochs: 2", "epoch: 2", 13, "unknown key 'steps.sft.epoch'", "did you mean 'epochs'? allowed: epochs, batch"),
        ("    phrasings", "    phrasing", 10, "unknown key 'steps.qa.phrasing'", "did you mean 'phrasings'?"),
        ("seed: 7", "sede: 7", 3, "unknown key 'sede'", "did you mean 'seed'? allowed: name, base, seed"),
        ("serve: {model: sft", "serve: {modle: sft", 17, "unknown key 'serve.modle'", "did you mean 'model'?"),
        ("do: statements", "do: statement", 6, "step 'books' has an unknown `do`: 'statement'", "mean 'statements'?"),
        ("do: statements, ", "", 6, "step 'books' has no `do`", "allowed: base, knowledge, import"),
        ("    do: templates\n", "", 7, "step 'qa' has no `do`", "allowed: base, knowledge"),
        ("model: pt, ", "", 13, "the key 'steps.sft.model' is missing", "keys here: epochs, batch"),
        ("name: example\n", "", 1, "the key 'name' is missing", "keys here: name, base"),
        ("serve: {model: sft, ", "serve: {", 17, "the key 'serve.model' is missing", "keys here: model, knowledge"),
        ("epochs: 2", "epochs: two", 13, "steps.sft.epochs: Input should be a valid number", "got 'two'"),
        ("phrasings: 3", "phrasings: 2.5", 10, "steps.qa.phrasings: Input should be a valid integer", "got 2.5"),
        ("epochs: 2", "epochs: yes", 13, "steps.sft.epochs: true is no number", "docs/recipes.md"),
        ("epochs: 2", "epochs: .nan", 13, "steps.sft.epochs: Input should be a finite number", "got nan"),
        ("epochs: 2", "epochs: 0", 13, "steps.sft.epochs: Input should be greater than 0", "got 0"),
        ("seed: 7", "seed: -1", 3, "seed: Input should be greater than or equal to 0", "got -1"),
        ('["pack:starter"]', "pack:starter", 5, "steps.kb.sources: Input should be a valid list", "got 'pack:starter'"),
        ('["pack:starter"]', "[]", 5, "steps.kb.sources: List should have at least 1 item", "got []"),
        ('["pack:starter"]', "[3]", 5, "steps.kb.sources.0: Input should be a valid string", "got 3"),
        ("{do: statements, facts: kb}", "statements", 6, "steps.books: Input should be a valid dictionary", "got"),
        ("{do: statements, facts: kb}", "", 6, "steps.books: Input should be a valid dictionary", "got None"),
        (
            "questions: qa",
            "questions: qa, tasks: [recal]",
            16,
            "'recal' is not known",
            "did you mean 'recall'? allowed",
        ),
        ("name: example", "name: 例子", 1, "name: '例子' is no name", "lower-case letters"),
        ("  books: ", "  Books: ", 6, "steps.Books: 'Books' is no name", "lower-case letters"),
        ("  books: ", "  1:     ", 6, "steps.1: Input should be a valid string", "got 1"),
        ("  books: ", "  base:  ", 6, "no step may be called 'base'", "rename"),
        ("  books: ", "  assistant:  ", 6, "no step may be called 'assistant'", "rename"),
        (
            "data: books",
            "data: boks",
            12,
            "steps.pt.data: there is no step 'boks' above",
            "did you mean 'books'? steps",
        ),
        ("data: books", "data: kb", 12, "steps.pt.data needs passages, but 'kb' makes facts", "passages: books"),
        ("model: base", "model: sft", 12, "steps.pt.model: there is no step 'sft' above", "make model: base"),
        ("reward: rm", "reward: sft", 15, "needs reward model, but 'sft' makes model", "make reward model: rm"),
        ("model: sft, reward", "model: rm, reward", 15, "needs model, but 'rm' makes reward model", "base, pt, sft"),
        ("models: [base, pt, sft]", "models: [base, rm]", 16, "steps.tables.models needs model, but 'rm'", "base, pt"),
        ("serve: {model: sft", "serve: {model: qa", 17, "serve.model needs model, but 'qa' makes samples", "sft, rs"),
        ("prompts: qa", "prompts: qa, samples: 2, keep: 3", 15, "keep (3) is more than samples (2)", "docs"),
        ("questions: qa", "questions: qa, against: rs", 16, "against ('rs') is not among models", "docs"),
        ("[base, pt, sft]", "[base, pt, base]", 16, "models names a step twice", "docs"),
        ("questions: qa", "questions: qa, tasks: [indications]", 16, "the task indications needs the keys", "docs"),
        ("seed: 7", "seed: 7\nname: twice", 4, "the key 'name' stands twice (first on line 1)", "remove or rename"),
        ("    phrasings: 3", "    facts: kb", 10, "the key 'facts' stands twice (first on line 9)", "remove"),
        ("seed: 7", "seed: [7", 4, "malformed YAML: expected ',' or ']'", "brackets"),
        ("seed: 7", "seed: 7\n\tbase: tiny", 4, "malformed YAML: found character '\\t'", "indentation"),
        ("seed: 7", "seed: 'x", 18, "malformed YAML: found unexpected end of stream", "quotes"),
        ("seed: 7", "seed: \x07", 3, "malformed YAML: special characters are not allowed", "remove this character"),
        ("do: statements", "<<: *kb", 6, "a recipe has no aliases, write out what *kb is", ""),
    ],
)
def test_a_mistake_is_named_with_its_line_and_the_way_to_mend_it(
    tmp_path: Path, old: str, new: str, line: int, problem: str, fix: str
) -> None:
    path = changed(tmp_path, old, new)
    error = refused(path)
    assert error.where == f"{path}:{line}"
    assert problem in error.problem
    assert fix in error.fix


def test_a_date_that_is_none_is_no_traceback(tmp_path: Path) -> None:
    assert "malformed YAML: month must be in 1..12" in refused(changed(tmp_path, "seed: 7", "seed: 2024-13-45")).problem


@pytest.mark.parametrize("text", ["", "# nothing\n", "[]\n", "just text\n", "---\n...\n"])
def test_an_empty_recipe_says_where_to_start(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, text)
    error = refused(path)
    assert (error.where, error.fix) == (f"{path}:1", "start from recipes/quickstart.yaml")


@pytest.mark.parametrize(("steps", "problem"), [("{}", "at least 1 item"), ("[]", "dictionary"), ("", "dictionary")])
def test_a_recipe_without_steps_is_refused(tmp_path: Path, steps: str, problem: str) -> None:
    path = write(tmp_path, f"name: empty\n\nsteps: {steps}\n")
    error = refused(path)
    assert error.where == f"{path}:3"
    assert problem in error.problem


def test_a_missing_recipe_names_its_neighbours(tmp_path: Path) -> None:
    write(tmp_path, RECIPE)
    with pytest.raises(DataError, match=r"did you mean recipe\.yaml") as caught:
        read_recipe(tmp_path / "recip.yaml")
    assert caught.value.code == 3


def test_settings_change_knobs_of_steps_and_of_the_recipe(tmp_path: Path) -> None:
    path = write(tmp_path, RECIPE)
    sets = (
        "sft.epochs=3.5",
        "steps.pt.rate=3e-4",
        "seed=9",
        "base=some/model",
        "serve.ask=[甲？, 乙？]",
        "kb.sources=[a]",
    )
    recipe = read_recipe(path, settings=sets)
    assert recipe.steps["sft"].model_dump()["epochs"] == 3.5
    assert recipe.steps["pt"].model_dump()["rate"] == 3e-4
    assert (recipe.seed, recipe.base) == (9, "some/model")
    assert recipe.serve is not None
    assert recipe.serve.ask == ["甲？", "乙？"]
    assert recipe.steps["kb"].model_dump()["sources"] == ["a"]
    assert read_recipe(path, settings=("sft.epochs=3", "sft.epochs=2")) == read_recipe(path)


@pytest.mark.parametrize(
    ("setting", "where", "problem", "fix"),
    [
        ("sft.epochs", "--set", "cannot read the setting 'sft.epochs'", "--set step.knob=value"),
        ("=3", "--set", "cannot read the setting", "--set step.knob=value"),
        ("sft.epoch=3", "--set sft.epoch=3", "unknown key 'steps.sft.epoch'", "did you mean 'epochs'?"),
        ("sft.epochs=much", "--set sft.epochs=much", "steps.sft.epochs: Input should be a valid number", "got 'much'"),
        ("sft.epochs=[", "--set sft.epochs=[", "cannot set 'sft.epochs'", "YAML value"),
        ("stf.epochs=3", "--set stf.epochs=3", "there is no 'stf' to set", "did you mean 'sft'?"),
        ("sede=3", "--set sede=3", "there is no 'sede' to set", "did you mean 'seed'?"),
        ("sft=3", "--set sft=3", "there is no 'sft' to set", "knobs of sft: epochs, "),
        ("name.x=3", "--set name.x=3", "there is no 'name.x' to set", "nothing can be set below it"),
        ("kb.sources.0=a", "--set kb.sources.0=a", "there is no 'kb.sources.0' to set", "nothing can be set below it"),
        ("pt.data=qa", "--set pt.data=qa", "steps.pt.data needs passages, but 'qa' makes", "books"),
        ("steps={}", "--set steps={}", "steps: Dictionary should have at least 1 item", "got {}"),
        ("steps={base: {do: knowledge, sources: [a]}}", None, "no step may be called 'base'", "rename"),
    ],
)
def test_a_wrong_setting_is_named_as_it_was_given(
    tmp_path: Path, setting: str, where: str | None, problem: str, fix: str
) -> None:
    error = refused(write(tmp_path, RECIPE), setting)
    assert error.where == (where or f"--set {setting}")
    assert problem in error.problem
    assert fix in error.fix


@settings(max_examples=60, deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
                        st.sampled_from(["name", "base", "seed", "steps", "serve", "kb", "do", "facts", "knowledge"]),
                        inner, max_size=4), max_leaves=8))  # fmt: skip
def test_whatever_a_recipe_holds_it_is_read_or_refused_as_a_recipe(
    tmp_path_factory: pytest.TempPathFactory, tree: object
) -> None:
    path = write(tmp_path_factory.getbasetemp(), yaml.safe_dump(tree, allow_unicode=True))
    with contextlib.suppress(RecipeError):
        read_recipe(path)
