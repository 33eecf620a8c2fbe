"""`xinglin data deidentify`: what names a person out of rows and records."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from xinglin.safety.redaction import Redacted

app = typer.Typer(help="去除个人信息。Take personal information out.", no_args_is_help=True)

_POLICY_HELP = (
    "mask 占位符；pseudonym 前后一致的化名，日期平移；shift 占位符，日期按患者平移；加 -bare 不列出去除的内容 "
    "mask: placeholders; pseudonym: consistent surrogates, dates moved; shift: placeholders, dates moved per patient, "
    "intervals kept; with -bare (mask-bare …) what was removed is not listed"
)
_BARE = "-bare"


@app.command()
def deidentify(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="含 text 的 JSON Lines，或记录 rows with text, or records")
    ],
    *,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help="输出 JSON Lines output")],
    policy: Annotated[str, typer.Option("--policy", metavar="mask|pseudonym|shift[-bare]", help=_POLICY_HELP)] = "mask",
    patient: Annotated[
        str, typer.Option("--patient", metavar="FIELD", help="患者标识所在列 member that says whose the row is")
    ] = "",
    key_file: Annotated[
        Path | None,
        typer.Option(
            "--key-file", metavar="F", help="密钥文件，没有则生成，勿与数据同存 secret; made if absent, keep it apart"
        ),
    ] = None,
    max_dropped: Annotated[float, typer.Option("--max-dropped", min=0, max=1, help="可丢弃行的比例 share")] = 0.01,
    as_json: Annotated[bool, typer.Option("--json", help="供程序读取的 JSON 输出 for machines")] = False,
) -> None:
    """去除姓名、证件号、电话、地址等个人信息；处理后的文本仍属敏感信息。Take personal information out of texts.

    去除的内容列在 entities 中（记录写入 OUT.entities.jsonl），含原文，须保密，不需要时加 -bare。
    What was removed is listed as `entities` (of records in OUT.entities.jsonl): keep it secret, or use -bare.
    """
    from xinglin.cli.bar import Bar
    from xinglin.errors import RecipeError
    from xinglin.safety.privacy import POLICIES
    from xinglin.safety.redaction import Redaction, read_key, redact_file

    chosen = POLICIES.get(policy.removesuffix(_BARE))
    if chosen is None:
        raise RecipeError(
            f"no policy {policy}", where="--policy", fix=f"one of {', '.join(POLICIES)}, each with or without {_BARE}"
        )
    if chosen != "mask" and key_file is None:
        raise RecipeError(
            f"--policy {policy} needs --key-file", where="data deidentify", fix="--key-file secrets/privacy.key"
        )
    if out.resolve() == file.resolve():
        raise RecipeError("the output is the input", where=str(out), fix="name another file with -o")
    key = read_key(key_file) if key_file and chosen != "mask" else b""
    with Bar("deidentify") as bar:
        job = Redaction(file, chosen, key, patient, max_dropped, not policy.endswith(_BARE), moved=bar.moved)
        done = redact_file(job, out)
    _report(done, out, as_json)


def _report(done: Redacted, out: Path, as_json: bool) -> None:
    from xinglin.cli import screen

    counts = dict(done.entities.most_common())
    if as_json:
        screen.print_json(
            {"file": str(out), "rows": done.rows, "touched": done.touched, "dropped": done.dropped, "entities": counts}
        )
        return
    kinds = "  ".join(f"{kind} {count:,}" for kind, count in counts.items()) or "–"
    screen.out.print(
        f"{out}: {done.rows:,} 行 rows，{done.touched:,} 含个人信息 with entities，"
        f"{done.dropped:,} 丢弃 dropped\n{kinds}",
        soft_wrap=True,
    )
