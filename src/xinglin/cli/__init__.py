"""The command line: parse, call one function, print. Results go to stdout, progress and errors to stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer

import xinglin
from xinglin.cli import data, interrupt, knowledge, model, train
from xinglin.errors import FULL_DISK, EngineError, GateError, MedError, RecipeError, full_disk

app = typer.Typer(
    name="xinglin",
    help="杏林 Xinglin：构建、对齐、评测并部署中文医疗大模型。Build, align, evaluate and serve Chinese medical LLMs.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
KINDS = {
    "recipe": "配方 recipe",
    "data": "数据 data",
    "model": "模型 model",
    "engine": "运行 engine",
    "check": "检查 check",
    "safety": "安全 safety",
    "cap": "已停止 stopped",
}
"""What the kinds of failure are called."""
runs_app = typer.Typer(help="列出或清理运行结果。List or prune finished steps.", no_args_is_help=True)
app.add_typer(runs_app, name="runs")
app.add_typer(knowledge.app, name="knowledge")
app.add_typer(data.app, name="data")
app.add_typer(model.app, name="model")

RecipePath = Annotated[Path, typer.Argument(metavar="RECIPE", help="配方文件 recipe file (.yaml)")]
DataRoot = Annotated[
    Path | None,
    typer.Option("--data-root", envvar="XINGLIN_DATA", help="配方中相对路径的起点 base of the recipe's relative paths"),
]
Runs = Annotated[Path, typer.Option("--runs", help="结果文件夹 folder of results")]
Settings = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="改一个参数 e.g. sft.epochs=2")]
AsJson = Annotated[bool, typer.Option("--json", help="供程序读取的 JSON 输出 for machines")]


def _version(wanted: bool) -> None:
    if wanted:
        print(f"xinglin {xinglin.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="版本 version")] = False,
) -> None:
    """杏林：仅供研究，不用于诊断。For research only, not for diagnosis."""


@app.command()
def run(
    recipe: RecipePath,
    *,
    until: Annotated[str, typer.Option("--until", metavar="STEP", help="到此步为止 stop after this step")] = "",
    data_root: DataRoot = None,
    runs: Runs = Path("runs"),
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """运行配方：已完成的步骤会跳过，中断后重跑即续。Run a recipe; finished steps are skipped, run again to resume."""
    from xinglin.cli import screen
    from xinglin.recipe import run as recipe_run
    from xinglin.recipe.models import Places, ask

    made = Places.at(data_root, runs, settings or ()).plan(recipe)
    from xinglin.recipe.measure import results

    try:
        with screen.Progress() as progress:
            recipe_run.run(made, watcher=progress, until=until)
    except GateError:
        screen.show_results(made, results(made))  # the numbers behind the refusal
        raise
    summaries = results(made)
    if as_json:
        screen.print_json(summaries)
        return
    screen.show_results(made, summaries)
    if made.recipe.serve and not until:
        screen.show_answers(made, ask(made), [str(recipe), *_again(data_root, runs, settings or ())])


app.command()(train.train)
app.command()(train.curves)


@app.command()
def doctor(
    recipe: Annotated[Path | None, typer.Argument(metavar="[RECIPE]", help="配方文件 recipe file (.yaml)")] = None,
    *,
    data_root: DataRoot = None,
    runs: Runs = Path("runs"),
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """训练前体检：机器、底座、模板、数据与内存。Check machine, base, template, data and memory before training."""
    from xinglin.cli import screen
    from xinglin.recipe import doctor as check
    from xinglin.recipe.models import Places

    findings = check.machine(runs)
    if recipe:
        findings += check.examine(Places.at(data_root, runs, settings or ()).plan(recipe))
    if as_json:
        screen.print_json(findings)
    else:
        screen.show_diagnoses(findings)
    failed = sum(one.level == "fail" for one in findings)
    if failed:
        raise GateError(f"{failed} 项不通过 checks failed", fix="见上面的建议 see what is advised above")


def _again(data_root: Path | None, runs: Path, settings: Sequence[str]) -> list[str]:
    """The options that name the same results in another command."""
    options = ["--data-root", str(data_root)] if data_root else []
    options += ["--runs", str(runs)] if runs != Path("runs") else []
    return [*options, *(part for setting in settings for part in ("--set", setting))]


@app.command()
def plan(
    recipe: RecipePath,
    *,
    data_root: DataRoot = None,
    runs: Runs = Path("runs"),
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """列出步骤、摘要、是否完成和预计时间。List steps with digests, done or to do, estimated time."""
    from xinglin.cli import screen
    from xinglin.recipe import show
    from xinglin.recipe.models import Places

    made = Places.at(data_root, runs, settings or ()).plan(recipe)
    if as_json:
        screen.print_json(show.describe(made))
    else:
        screen.show_plan(made)


@app.command()
def trace(
    identity: Annotated[str, typer.Argument(metavar="ID", help="记录编号 id such as sample-1f3a90b2c4d5")] = "",
    *,
    source: Annotated[str, typer.Option("--source", help="列出来自某来源的一切 everything made from a source")] = "",
    runs: Runs = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """追溯一条记录背后的事实与许可。Print the facts and licences behind a record."""
    from xinglin.cli import screen
    from xinglin.recipe import show

    if bool(identity) == bool(source):
        raise RecipeError("name one ID, or --source NAME", where="trace", fix="xinglin trace sample-…")
    if source:
        found = show.from_source(source, runs=runs)
        if as_json:
            screen.print_json([{"id": one, "file": str(path)} for one, path in found])
        else:
            screen.show_source(source, found)
        return
    traced = show.trace(identity, runs=runs)
    if as_json:
        screen.print_json(show.lineage(traced))
    else:
        screen.show_trace(traced)


@app.command()
def verify(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="步骤、配方或结果文件夹 a step, recipe or runs folder")],
    *,
    as_json: AsJson = False,
) -> None:
    """重算所有产物的摘要，找出被改动的文件。Recompute every digest and name what was changed."""
    from xinglin.cli import screen
    from xinglin.recipe import show

    checked, faults = show.verify_below(folder)
    if as_json:
        screen.print_json(
            {"steps": checked, "faults": [{"path": str(one.path), "problem": one.problem} for one in faults]}
        )
    else:
        screen.show_faults(checked, faults)
    if faults:
        raise GateError(
            f"{len(faults)} file(s) are not what their manifests say",
            where=str(folder),
            fix="remove the step's folder and run the recipe again",
        )


@runs_app.command("list")
def runs_list(*, runs: Runs = Path("runs"), as_json: AsJson = False) -> None:
    """列出所有步骤的结果及其大小。List the results of all steps and their sizes."""
    from xinglin.cli import screen
    from xinglin.recipe import show

    found = show.list_runs(runs)
    if as_json:
        screen.print_json([show.describe_run(one) for one in found])
    else:
        screen.show_runs(found, runs)


@runs_app.command("prune")
def runs_prune(
    recipes: Annotated[list[Path], typer.Argument(metavar="RECIPE…", help="清理这些配方的旧结果 recipes to clean up")],
    *,
    data_root: DataRoot = None,
    runs: Runs = Path("runs"),
    settings: Settings = None,
    yes: Annotated[bool, typer.Option("--yes", help="不再询问 do not ask")] = False,
) -> None:
    """删除所列配方自己已不用的步骤。Remove the given recipes' own steps that they no longer use."""
    from xinglin.cli import screen
    from xinglin.recipe import show
    from xinglin.recipe.models import Places

    places = Places.at(data_root, runs, settings or ())
    unused = show.unused([places.plan(recipe) for recipe in recipes], runs=runs)
    screen.show_runs(unused, runs, title="将删除 to be removed")
    if unused and (yes or typer.confirm("删除？Remove them?", err=True)):
        show.remove(unused)
        typer.echo(f"已删除 removed: {len(unused)}")


@app.command()
def chat(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="配方、文件夹或模型名 recipe, folder or hub id")],
    *,
    data_root: DataRoot = None,
    runs: Runs = Path("runs"),
    settings: Settings = None,
    yes: Annotated[bool, typer.Option("--yes", help="已阅读免责声明 disclaimer accepted")] = False,
) -> None:
    """在终端里提问。Ask questions in the terminal."""
    from xinglin.recipe.models import Places, open_model
    from xinglin.serve import terminal

    terminal.chat(open_model(model, places=Places.at(data_root, runs, settings or ())), accepted=yes)


@app.command()
def serve(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="配方、文件夹或模型名 recipe, folder or hub id")],
    *,
    host: Annotated[str, typer.Option("--host", help="默认只在本机 loopback by default")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535)] = 8000,
    data_root: DataRoot = None,
    runs: Runs = Path("runs"),
    settings: Settings = None,
) -> None:
    """启动网页与 OpenAI 兼容接口。Serve the chat page and the OpenAI-compatible API."""
    from xinglin.recipe.models import Places, open_model
    from xinglin.serve import http
    from xinglin.serve.web.chat import page

    opened = open_model(model, places=Places.at(data_root, runs, settings or ()))
    http.serve(http.build_app([opened], page=page, host=host), host=host, port=port)


def main() -> None:
    """Run the command line; a user's mistake ends with its message and exit code, never with a traceback."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    # Threads that wait in a loop for each other starve on a busy machine: with six processes on two cores the same
    # training steps took more than four times as long. Must be set before torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    interrupt.listen()
    try:
        invoke(sys.argv[1:])
        sys.stdout.flush()
    except typer.Exit as end:
        sys.exit(end.exit_code)
    except typer.TyperException as error:
        _fail_usage(error)
    except MedError as error:
        _fail(error)
    except (KeyboardInterrupt, typer.Abort):
        print("\n已中断；再次运行同一命令即可继续。Interrupted; run the same command again to resume.", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output (such as `head`) has gone: nothing more to say, and nothing wrong.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        _fail(_refused(error))


def invoke(arguments: list[str]) -> None:
    """Parse and run one command line; mistakes are raised.

    Typer's own loop is left out: it ends on Ctrl-C and on a closed pipe without a word from us.
    """
    command = typer.main.get_command(app)
    with command.make_context("xinglin", arguments) as context:
        command.invoke(context)


def _fail_usage(error: typer.TyperException) -> NoReturn:
    """A wrong verb, option or argument."""
    message = error.format_message()
    if message.startswith("Usage:"):  # nothing was asked for: what there is to ask
        print(message, file=sys.stderr)
        sys.exit(error.exit_code)
    path = getattr(getattr(error, "ctx", None), "command_path", "xinglin")
    _fail(RecipeError(message, where=path, fix=f"see `{path} --help`"), label="用法 usage")


def _refused(error: OSError) -> MedError:
    """What the system refused: no space left, no permission, a read-only disk."""
    where = str(error.filename or "")
    if error.errno in FULL_DISK:
        return full_disk(error, where=where or "disk")
    problem = f"the system refused: {error.strerror or error}"
    return EngineError(problem, where=where, fix="check the path and its permissions")


def _fail(error: MedError, *, label: str = "") -> NoReturn:
    print(f"错误 error ({label or KINDS[error.kind]}): {error}", file=sys.stderr)
    sys.exit(error.code)
