"""`xinglin data …`: the verbs that read, clean, compare, split and describe data, from the files that hold them."""

from __future__ import annotations

import typer

from xinglin.cli import data_curate, data_files, data_privacy, data_similar

app = typer.Typer(help="导入、清洗、去重、拆分数据。Import, clean, compare and split data.", no_args_is_help=True)
for part in (data_files, data_curate, data_privacy, data_similar):
    app.registered_commands += part.app.registered_commands
