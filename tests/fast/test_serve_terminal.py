"""The terminal conversation: consent, commands, citations, stopping, pipes."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from rich.console import Console

from xinglin.chat.scripted import Scripted
from xinglin.errors import ModelError
from xinglin.knowledge.store import Knowledge
from xinglin.serve.assistant import Assistant
from xinglin.serve.disclaimer import has_consent
from xinglin.serve.terminal import chat
from xinglin.types import ChatModel, Fact, Message, Origin, Reply, Sampling

FACT = Fact("fact-1", "安平片", "适应症", "轻度头晕", Origin("pack:own", "drugs.yaml:1", "Apache-2.0", "summary"))


class Keys(io.StringIO):
    """Typed input that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def _talk(source: io.StringIO, model: ChatModel | None = None, *, accepted: bool = False) -> tuple[str, str]:
    out, notes = io.StringIO(), io.StringIO()
    model = model or Assistant(Knowledge([FACT]), model=None)
    chat(
        model,
        accepted=accepted,
        source=source,
        out=Console(file=out, width=100),
        notes=Console(file=notes, width=100),
    )
    return out.getvalue(), notes.getvalue()


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


def test_piped_questions_are_answered_without_prompts_and_the_disclaimer_goes_to_stderr() -> None:
    out, notes = _talk(io.StringIO("安平片的适应症是什么？\n\n安平片治什么？"))
    assert out.count("安平片的适应症：轻度头晕[1]。") == 2
    assert "[1] 安平片的适应症 — pack:own · drugs.yaml:1 · Apache-2.0 · 自写概要，未经医师审核" in out
    assert out.count("内容由AI生成，仅供参考") == 2
    assert "不构成诊断" in notes
    assert "›" not in out + notes
    assert not has_consent()


def test_on_a_terminal_the_terms_are_accepted_once_and_remembered() -> None:
    out, notes = _talk(Keys("y\n安平片治什么？\n/exit\n"))
    assert "输入 y 同意" in notes
    assert "轻度头晕" in out
    assert has_consent()
    _, again = _talk(Keys("/exit\n"))
    assert "输入 y 同意" not in again
    assert "紧急情况请拨打120" in again


def test_without_consent_nothing_is_answered() -> None:
    for refusal in ("n\n", "", "\n"):
        out, notes = _talk(Keys(refusal + "安平片治什么？\n"))
        assert out == ""
        assert "已退出" in notes
    assert not has_consent()


def test_consent_given_by_the_caller_asks_nothing() -> None:
    out, notes = _talk(Keys("安平片治什么？\n"), accepted=True)
    assert "轻度头晕" in out
    assert "输入 y 同意" not in notes


def test_the_commands_work() -> None:
    typed = "/sources\n安平片治什么？\n/sources\n/clear\n/sources\n有什么副作用\n/help\n/wat\n/exit\n安平片治什么？\n"
    out, notes = _talk(Keys(typed), accepted=True)
    assert notes.count("没有引用段落") == 2
    assert "[1] 安平片的适应症：轻度头晕。" in notes
    assert "请说明您问的是哪种" in out, "after /clear the earlier entity is forgotten"
    assert "没有命令 /wat" in notes
    assert out.count("轻度头晕") == 1, "nothing is read after /exit"


class _Interrupted(Scripted):
    def stream(self, messages: Sequence[Message], sampling: Sampling) -> Iterator[str | Reply]:
        yield "开头。"
        if "停" in messages[-1].content:
            raise KeyboardInterrupt
        yield from super().stream(messages, sampling)


def test_ctrl_c_stops_the_answer_and_not_the_conversation() -> None:
    out, notes = _talk(Keys("停\n再问\n"), _Interrupted("m", {}, default="完整回答。"), accepted=True)
    assert "已停止" in notes
    assert out.count("开头。") == 2
    assert "完整回答。" in out


class _Failing(Scripted):
    def stream(self, messages: Sequence[Message], sampling: Sampling) -> Iterator[str | Reply]:
        raise ModelError("weights are gone", fix="fetch them again")
        yield ""


def test_a_failing_model_is_reported_without_a_traceback() -> None:
    _, notes = _talk(io.StringIO("问\n"), _Failing("m", {}))
    assert "weights are gone" in notes
    assert "fetch them again" in notes


def test_markup_in_an_answer_is_printed_as_it_is() -> None:
    out, _ = _talk(io.StringIO("问\n"), Scripted("m", {}, default="[bold]看[/bold] [1]。"))
    assert "[bold]看[/bold] [1]。" in out


def test_a_bare_model_is_served_with_the_safety_line_first() -> None:
    out, _ = _talk(io.StringIO("我胸痛\n"), Scripted("m", {}, default="休息。"))
    assert out.index("请立即拨打120") < out.index("休息。")


def test_unchecked_words_of_a_model_are_called_so() -> None:
    note = "以上是模型自己的话，未经知识库核对 (unverified model text)"
    assert note in _talk(io.StringIO("问\n"), Scripted("m", {}, default="休息。"))[0]
    assert note not in _talk(io.StringIO("安平片治什么？\n"))[0]


def test_too_long_a_question_gets_a_notice_and_still_the_safety_line() -> None:
    out, notes = _talk(io.StringIO("我胸痛" + "很" * 2000 + "\n"), Scripted("m", {}, default="休息。"))
    assert "请立即拨打120" in out
    assert "休息。" not in out
    assert "问题超过2000字" in notes
