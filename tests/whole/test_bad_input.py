"""Bad input at the command line: the right exit code, file and line, the way to mend it, and nothing lost."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from command import Fault, Outcome, plain, start, xinglin
from small_regime import RECIPE, write
from tokenizers import Tokenizer, models

from xinglin import api, files
from xinglin.recipe import show
from xinglin.recipe.lock import locked
from xinglin.recipe.manifest import NAME
from xinglin.recipe.run import outputs

LEAFLETS = [f"示例{name}素\n适应症:{name}类感染。\n禁忌:{name}素过敏者禁用。" for name in "甲乙丙丁戊"]
TABLE = "name,department,symptom,\n" + "".join(f"示例{name}病,{name}科,{name}样头晕,\n" for name in "甲乙丙丁戊")


def refused(ended: Outcome, code: int, *said: str) -> None:
    """The command ended with a code, said what was wrong and how to mend it, and showed no traceback."""
    assert ended.code == code, ended.err
    assert "Traceback" not in ended.err
    assert "Exception ignored" not in ended.err
    for text in ("错误 error (", "\n  fix: ", *said):
        assert text in ended.err


def whole(root: Path) -> None:
    """Whatever counts as done in the folder's runs is as it was made."""
    if any((root / "runs").rglob(NAME)):
        assert show.verify_below(root / "runs")[1] == []


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with the small recipe, not run."""
    write(tmp_path)
    return tmp_path


# The command line and the recipe


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rnu", "small.yaml"], ["No such command 'rnu'", "Did you mean 'run'", "xinglin --help"]),
        (["run"], ["xinglin run: Missing argument 'RECIPE'", "xinglin run --help"]),
        (["run", "small.yaml", "--untill", "kb"], ["No such option: --untill", "xinglin run --help"]),
        (["run", "small.yaml", "--until", "bk"], ["--until: there is no step 'bk'", "kb, taught, books"]),
        (["run", "small.yaml", "--set", "sft.epoch=2"], ["--set sft.epoch=2: unknown key", "did you mean 'epochs'?"]),
        (["chat", "small.yaml", "--yes"], ["the recipe has not been run yet: kb", "xinglin run RECIPE"]),
    ],
)
def test_a_mistake_in_the_command_line_ends_with_code_2(here: Path, arguments: list[str], said: list[str]) -> None:
    refused(plain(*arguments, folder=here), 2, *said)
    assert not (here / "runs" / "small").exists()


def test_a_misspelt_key_is_named_with_its_line(here: Path) -> None:
    files.write_text(here / "small.yaml", RECIPE.replace("topics: 24", "topcis: 24"))
    for verb in ("run", "plan"):
        ended = plain(verb, "small.yaml", folder=here)
        refused(ended, 2, "small.yaml:4: unknown key 'steps.taught.topcis'", "did you mean 'topics'? allowed: ")


# Data


def leaflets(root: Path, text: str, *, encoding: str = "utf-8", name: str = "drug.json") -> list[str]:
    """Write a source; returns the arguments of a run that imports it."""
    (root / name).write_bytes(text.encode(encoding))
    return ["run", "small.yaml", "--until", "kb", "--set", f"kb.sources=[{name}]"]


def facts(root: Path, source: str, *sets: str) -> bytes:
    plan = api.plan(root / "small.yaml", runs=root / "runs", settings=[f"kb.sources=[{source}]", *sets])
    return (plan.folder("kb") / "facts.jsonl").read_bytes()


def test_a_gb18030_file_works_and_gives_the_same_facts(here: Path) -> None:
    text = json.dumps(LEAFLETS, ensure_ascii=False, indent=0)
    assert plain(*leaflets(here, text), folder=here).code == 0
    before = facts(here, "drug.json")
    ended = plain(*leaflets(here, text, encoding="gb18030"), folder=here)
    assert (ended.code, "Traceback" in ended.err) == (0, False)
    assert facts(here, "drug.json") == before
    assert len(before.splitlines()) == 10


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("drug.json", json.dumps(LEAFLETS).encode("utf-16"), ["drug.json: the file is UTF-16", "iconv"]),
        ("drug.json", b'["a",\n"caf\xff"]', ["drug.json:2: byte 0xff fits neither UTF-8 nor GB18030", "iconv"]),
        ("a.csv", TABLE.encode() + "示例己病,己科,己样头晕,\n".encode("gb18030"), ["a.csv:7: the file mixes UTF-8"]),
        ("a.csv", (TABLE + '示例己病,"己科,己,\n').encode(), ["a.csv:7: malformed CSV", "check the quotes"]),
        ("drug.json", b"", ["drug.json: the file is empty", "known: pack:NAME"]),
        ("drug.json", b"[]", ["unknown shape of JSON", "known: pack:NAME"]),
        ("a.csv", b"name,symptom\n", ["kb: the step made no record", "check its inputs"]),
        ("drug.json", json.dumps(LEAFLETS).encode()[:-9], ["the list has no end, the file was cut off"]),
        ("drug.json", None, ["drug.json: no such file", "did you mean drugs.json?"]),
    ],
)
def test_a_file_that_cannot_be_used_ends_with_code_3(
    here: Path, name: str, data: bytes | None, said: list[str]
) -> None:
    (here / "drugs.json").write_text("[]")
    arguments = leaflets(here, "", name=name)
    (here / name).write_bytes(data) if data is not None else (here / name).unlink()
    refused(plain(*arguments, folder=here), 3, *said)
    assert not list((here / "runs").rglob(NAME))


def test_a_few_malformed_rows_are_listed_and_many_are_too_many(here: Path) -> None:
    good = [json.dumps(one, ensure_ascii=False) for one in LEAFLETS]
    text = "[\n" + ",\n".join([*good[:2], "not a leaflet", *good[2:]]) + "\n]\n"
    arguments = leaflets(here, text)
    refused(plain(*arguments, folder=here), 3, f"{here / 'drug.json'}:4: 1 of 6 rows are unreadable", "max_dropped")
    listed = next((here / "runs").rglob("facts.dropped.jsonl"))
    assert f"{here / 'drug.json'}:4" in listed.read_text(encoding="utf-8")
    assert not list((here / "runs").rglob(NAME))
    ended = plain(*arguments, "--set", "kb.max_dropped=0.2", folder=here)
    assert ended.code == 0, ended.err
    assert len(facts(here, "drug.json", "kb.max_dropped=0.2").splitlines()) == 10
    whole(here)


def test_a_row_whose_cells_are_shifted_is_dropped_with_its_line(here: Path) -> None:
    arguments = leaflets(here, TABLE + "示例己病,己科,己样头晕,多出来的\n", name="a.csv")
    refused(plain(*arguments, folder=here), 3, "a.csv:7: 1 of 6 rows are unreadable", "cells beyond the named columns")


def test_a_data_root_that_does_not_exist_is_named(here: Path) -> None:
    refused(
        plain("plan", "small.yaml", "--data-root", "nowhere", folder=here), 3, "nowhere: the data root is no folder"
    )


# Models


def drop(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def config(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        files.write_json(folder / "config.json", files.read_json(folder / "config.json") | changes)

    return change


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def truncated(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-5000])


def speechless(folder: Path) -> None:
    for name in ("chat_template.jinja", "tokenizer_config.json", "tokenizer.json"):
        (folder / name).unlink()
    Tokenizer(models.WordLevel({"甲": 0, "乙": 1}, unk_token="甲")).save(str(folder / "tokenizer.json"))
    files.write_json(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast"})


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (shutil.rmtree, "given: the model cannot be opened"),
        (drop("config.json"), "this folder is no model: it has no config.json"),
        (lambda folder: files.write_text(folder / "config.json", "{"), "config.json: not valid JSON"),
        (config(model_type="nothing_known"), "the model cannot be opened"),
        (config(auto_map={"AutoModel": "code.Model"}), "wants to run its own Python code (auto_map"),
        (drop("model.safetensors"), "the folder holds no weights"),
        (pickled, "the folder holds only pickled weights (pytorch_model.bin)"),
        (truncated, "its header speaks of"),
        (config(num_hidden_layers=2, layer_types=["full_attention"] * 2), "weights are missing"),
        (config(pad_token_id=99_999), "the model cannot be opened: Padding_idx"),
        (config(intermediate_size=64), "the weights do not fit config.json"),
        (drop("tokenizer.json"), "the folder holds no tokenizer"),
        (speechless, "the tokenizer names no token that ends a text"),
    ],
    ids=["missing", "no config", "no JSON", "unknown kind", "own code", "no weights", "pickled", "truncated",
         "too few weights", "pad out of range", "other shape", "no tokenizer", "no end of text"],
)  # fmt: skip
def test_a_base_that_is_no_model_ends_with_code_4(
    finished: Path, here: Path, spoil: Callable[[Path], None], said: str
) -> None:
    made = api.plan(finished / "small.yaml", runs=finished / "runs")
    shutil.copytree(made.folder("pt") / "model", here / "models" / "given")
    spoil(here / "models" / "given")
    recipe = RECIPE.replace("model: tiny, data", "model: base, data").replace("[tiny, pt", "[pt")
    files.write_text(here / "small.yaml", recipe)
    ended = xinglin("run", "small.yaml", "--until", "base", "--set", "base=models/given", folder=here)
    refused(ended, 4, "models/given", said)
    assert not list((here / "runs").rglob("base-*/manifest.json"))
    whole(here)


def test_without_a_network_a_hub_id_ends_soon_with_code_4(here: Path) -> None:
    files.write_text(here / "small.yaml", RECIPE.replace("model: tiny, data", "model: base, data"))
    unreachable = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(here / "cache")}
    started = time.monotonic()
    ended = plain("run", "small.yaml", "--until", "base", "--set", "base=Nobody/nothing", folder=here, env=unreachable)
    refused(ended, 4, "Nobody/nothing: the model cannot be opened", "check the spelling of the hub id and the network")
    assert "Retrying" not in ended.err
    assert time.monotonic() - started < 60
    whole(here)


@pytest.mark.parametrize(
    ("model", "code", "said"),
    [
        ("./nothing", 4, "./nothing: no such model folder"),
        ("nothing", 4, "nothing: no such model folder"),
        ("scripted:parrot", 4, "there is no script 'parrot'"),
        ("http://127.0.0.1:9/v1#m", 4, "remote models cannot be opened yet"),
        ("nothing.yaml", 3, "nothing.yaml: no such file"),
        ("assistant:smal.yaml", 3, "did you mean small.yaml?"),
    ],
)
def test_a_model_that_cannot_be_opened_is_named(here: Path, model: str, code: int, said: str) -> None:
    refused(xinglin("chat", model, "--yes", folder=here), code, said)


# The machine


def test_a_full_disk_stops_with_code_7_and_loses_nothing(finished: Path, here: Path) -> None:
    made = api.plan(here / "small.yaml", runs=here / "runs")
    stopped = []
    for limit in (5_000, 15_000, 25_000, 50_000, 110_000):
        ended = xinglin("run", "small.yaml", folder=here, fault=Fault(bytes=limit))
        refused(ended, 7, "could not write", "free some disk space", "finished steps are kept")
        whole(here)
        stopped.append(len(outputs(made)))
    assert stopped == sorted(stopped)
    ended = xinglin("run", "small.yaml", folder=here)
    assert ended.code == 0, ended.err
    reference = api.plan(finished / "small.yaml", runs=finished / "runs")
    assert outputs(made) == outputs(reference)


def test_ctrl_c_ends_with_code_130_and_says_how_to_go_on(here: Path) -> None:
    made = api.plan(here / "small.yaml", runs=here / "runs")
    command = start("run", "small.yaml", folder=here)
    while not made.folder("sft").exists() and command.process.is_alive():
        time.sleep(0.05)
    command.send(signal.SIGINT)
    ended = command.end()
    assert ended.code == 130, ended.err
    assert "Interrupted; run the same command again to resume." in ended.err
    assert "Traceback" not in ended.err
    assert list(outputs(made))[-1] == "pt"
    whole(here)


def test_two_runs_of_one_recipe_do_not_mix(here: Path) -> None:
    with locked(here / "runs" / "small"):
        refused(plain("run", "small.yaml", folder=here), 5, "another run of this recipe is at work (process ")
        assert plain("plan", "small.yaml", folder=here).code == 0
    assert not list((here / "runs").rglob(NAME))


def test_a_results_folder_that_is_a_file_is_named(here: Path) -> None:
    refused(plain("run", "small.yaml", "--runs", "small.yaml", folder=here), 5, "small.yaml", "check the path")


@pytest.mark.parametrize("arguments", [["plan", "small.yaml"], ["plan", "small.yaml", "--json"], ["--help"]])
def test_a_reader_that_goes_away_is_no_error(here: Path, arguments: list[str]) -> None:
    command = [sys.executable, "-m", "xinglin", *arguments]
    with subprocess.Popen(command, cwd=here, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        told = process.stderr.read()
    assert (process.returncode, told) == (0, "")
