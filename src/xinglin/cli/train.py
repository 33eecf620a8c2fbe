"""`xinglin train` and `xinglin curves`: one stage on files, and its curves for other programs."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="供程序读取的 JSON 输出 for machines")]


def train(
    stage: Annotated[
        str,
        typer.Argument(metavar="STAGE", help="pretrain, sft, reward, dpo, ipo, kto, orpo, simpo, ppo, grpo, rloo"),
    ],
    data: Annotated[list[Path], typer.Argument(metavar="FILE…", help="训练数据，任何公开格式 data, any public format")],
    *,
    model: Annotated[str, typer.Option("--model", help="从哪个模型开始：文件夹、库编号或 tiny folder, hub id or tiny")],
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KNOB=VALUE",
            help="阶段的参数，如 tune=lora、data.noun=… knobs",
        ),
    ] = None,
    runs: Annotated[Path, typer.Option("--runs", help="结果文件夹 folder of results")] = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """不写配方，直接用文件训练一个阶段；中断后重跑即续。Train one stage on files; run again to resume."""
    from xinglin.cli import screen
    from xinglin.recipe import run as recipe_run
    from xinglin.recipe.manifest import read_manifest
    from xinglin.recipe.single import Single, plan_single

    made, recipe = plan_single(Single(stage, model, data, settings or ()), runs=runs)
    with screen.Progress() as progress:
        recipe_run.run(made, watcher=progress)
    folder = made.folder(stage)
    manifest = read_manifest(folder)
    assert manifest is not None
    if as_json:
        screen.print_json({"model": str(folder / "model"), "recipe": str(recipe), "numbers": manifest.numbers})
        return
    print(f"模型 model: {folder / 'model'}")
    print(f"曲线 curves: {folder / 'curve.html'}")
    print(f"配方 the same as a recipe: {recipe}")
    if stage != "reward":  # it scores and does not talk
        print(f"试用 try it:  xinglin chat {shlex.quote(str(folder))}")


def curves(
    folders: Annotated[
        list[Path], typer.Argument(metavar="RUN…", help="步骤、配方或结果文件夹 step, recipe or runs folders")
    ],
    *,
    tensorboard: Annotated[
        Path, typer.Option("--tensorboard", metavar="DIR", help="写成 TensorBoard 事件 write event files")
    ],
    follow: Annotated[
        bool, typer.Option("--follow", help="训练时持续更新，Ctrl-C 结束 go on while training, until Ctrl-C")
    ] = False,
) -> None:
    """把训练曲线写给 TensorBoard，可一边训练一边看。Write training curves for TensorBoard, live if you like."""
    from xinglin.train.board import Board

    with Board(folders, tensorboard) as board:
        lines = board.update()
        print(f"{len(board.found)} 条曲线 runs, {lines:,} 步 steps → {tensorboard}")
        print(f"查看 see them:  tensorboard --logdir {tensorboard}")
        while follow:
            board.wait()
            board.update()
