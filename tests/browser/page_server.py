"""A server for the browser tests: a small knowledge base of our own writing, and a hostile bare model."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from xinglin.chat.scripted import Scripted
from xinglin.knowledge.store import Knowledge
from xinglin.serve.assistant import Assistant
from xinglin.serve.http import build_app, serve
from xinglin.serve.web.chat import page
from xinglin.types import Fact, Message, Origin, Reply, Sampling, make_id

ROWS = (
    ("安平片", "商品名", "安乐宁"),
    ("安平片", "适应症", "轻度头晕"),
    ("安平片", "适应症", "紧张不安"),
    ("安平片", "用法用量", "成人口服，一次7.5 mg，每日2次"),
    ("安平片", "不良反应", "口干"),
    ("安平片", "不良反应", "困倦"),
    ("云岭热", "典型症状", "<b>发热</b>"),
    ("云岭热", "护理", "多饮温水"),
)
HOSTILE = (
    "**要点**\n\n- 休息<script>document.title='owned'</script>\n\n"
    '<img src="http://evil.example/i.png"> ![x](http://evil.example/m.png) [坏链接](javascript:alert(1))\n\n'
    "<style>body{background:url(http://evil.example/s.png)}</style>\n\n<iframe src='http://evil.example'></iframe>\n\n"
    "[来源](https://example.org/a)\n\n<form action='http://evil.example'><button>go</button></form>结束。"
)


class Slow(Scripted):
    """Takes a moment before every sentence."""

    def stream(self, messages: Sequence[Message], sampling: Sampling) -> Iterator[str | Reply]:
        for piece in super().stream(messages, sampling):
            time.sleep(0.15)
            yield piece


def _fact(head: str, relation: str, tail: str) -> Fact:
    origin = Origin("pack:own", f"entries.yaml:{len(tail)}", "Apache-2.0", "summary", group=head)
    return Fact(make_id("fact", head, relation, tail), head, relation, tail, origin)


def main() -> None:
    """Serve on any free port of this machine."""
    inner = Slow("inner", {}, default="安平片的不良反应有口干。安平片能治百病。")
    assistant = Assistant(Knowledge([_fact(*row) for row in ROWS]), model=inner)
    bare = Slow("bare", {"慢": "一。二。三。" + "还有。" * 60 + "十。"}, default=HOSTILE)
    serve(build_app([assistant, bare], page=page), port=0)


if __name__ == "__main__":
    main()
