"""`xinglin model`: larger vocabularies, merged adapters."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="模型：扩充词表、合并适配器。Models: larger vocabularies, merged adapters.", no_args_is_help=True
)
Model = Annotated[str, typer.Argument(metavar="MODEL", help="模型文件夹或库编号 a model's folder or hub id")]
Out = Annotated[Path, typer.Option("-o", "--out", help="写到这个新文件夹 the new folder to write")]
AsJson = Annotated[bool, typer.Option("--json", help="供程序读取的 JSON 输出 for machines")]


def _fresh(folder: Path) -> None:
    from xinglin.errors import DataError

    if folder.is_file():
        raise DataError("this is a file, a folder is written", where=str(folder), fix="name a new folder")
    if folder.exists() and any(folder.iterdir()):
        raise DataError("the folder is not empty", where=str(folder), fix="name a new folder, nothing is overwritten")


@app.command()
def vocab(
    model: Model,
    texts: Annotated[list[Path], typer.Argument(metavar="TEXT…", help="中文文本文件 files of Chinese text")],
    *,
    out: Out,
    pieces: Annotated[int, typer.Option("--pieces", min=1, help="最多新增多少词 most new pieces")] = 4000,
    multiple: Annotated[int, typer.Option("--multiple", min=1, help="嵌入行数的倍数 rows are padded to it")] = 64,
    seed: Annotated[int, typer.Option("--seed", help="抽样种子 seed of the sample")] = 7,
    as_json: AsJson = False,
) -> None:
    """从医学文本学新词加入词表，旧编号不变。Learn new pieces from medical text; old ids stay."""
    _fresh(out)
    from xinglin import files
    from xinglin.cli import screen
    from xinglin.model.vocab import extend
    from xinglin.recipe.models import weights_of

    made = extend(
        weights_of(model),
        (files.read_document(path).text for path in texts),
        out,
        pieces=pieces,
        multiple=multiple,
        seed=seed,
    )
    if as_json:
        screen.print_json(asdict(made))
        return
    print(f"词表 vocabulary {made.before:,} + {made.added:,}；嵌入行 rows {made.rows:,}")
    if made.heldout:
        print(
            f"每词字数 characters per token {made.compression_before:.3f} → {made.compression_after:.3f} "
            f"（留出 held out {made.heldout:,} 字，新词占 new tokens {made.used:.1%}）"
        )
    else:
        print("每词字数 characters per token：段落太少，无留出文本可量 too few paragraphs to hold some out and measure")
    print("例 e.g. " + " ".join(made.examples[:20]))


@app.command()
def merge(
    adapters: Annotated[list[Path], typer.Argument(metavar="ADAPTER…", help="适配器，按顺序 adapters, in order")],
    *,
    out: Out,
    base: Annotated[str, typer.Option("--base", help="底座，默认取适配器所记 the base, by default the one named")] = "",
    as_json: AsJson = False,
) -> None:
    """把适配器并入底座，并证明输出不变。Merge adapters into their base and prove that the logits are the same."""
    _fresh(out)
    from xinglin.cli import screen
    from xinglin.model.merge import TOLERANCE
    from xinglin.model.merge import merge as put_together
    from xinglin.recipe.models import weights_of

    named = [Path(weights_of(str(adapter))) for adapter in adapters]
    difference = put_together(named, out, base=weights_of(base) if base else "")
    if as_json:
        screen.print_json({"difference": difference, "tolerance": TOLERANCE})
    else:
        print(f"已合并 merged {len(adapters)} → {out}；最大相对差 largest relative difference {difference:.2g}")
