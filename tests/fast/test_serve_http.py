"""The OpenAI-compatible service: shapes, streaming, errors, and who may speak to it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from xinglin.chat.scripted import Scripted
from xinglin.errors import EngineError, ModelError
from xinglin.knowledge.store import Knowledge
from xinglin.serve.assistant import Assistant
from xinglin.serve.http import build_app, serve
from xinglin.types import Fact, Message, Origin, Reply, Sampling

LOCAL = "http://127.0.0.1:8000"
FACT = Fact("fact-1", "安平片", "适应症", "轻度头晕", Origin("pack:own", "drugs.yaml:1", "Apache-2.0", "summary"))


def _client(*models: Scripted | Assistant, host: str = "127.0.0.1", base: str = LOCAL) -> TestClient:
    return TestClient(
        build_app(models or (Scripted("bare", {}, default="多休息。"), _assistant()), host=host), base_url=base
    )


def _assistant() -> Assistant:
    return Assistant(Knowledge([FACT]), model=None)


def _body(text: object = "安平片的适应症是什么？", **more: object) -> dict[str, Any]:
    return {"model": "assistant", "messages": [{"role": "user", "content": text}], **more}


def _ask(client: TestClient, body: object) -> Any:
    return client.post("/v1/chat/completions", json=body)


def _events(text: str) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def test_an_answer_has_openais_shape_and_our_structured_citations() -> None:
    content = _ask(_client(), _body()).json()
    assert content["object"] == "chat.completion"
    assert content["choices"][0]["message"] == {"role": "assistant", "content": "安平片的适应症：轻度头晕[1]。"}
    assert content["choices"][0]["finish_reason"] == "stop"
    assert set(content["usage"]) == {"prompt_tokens", "completion_tokens", "total_tokens"}
    ours = content["xinglin"]
    (citation,) = ours["citations"]
    assert citation["n"] == 1
    assert citation["title"] == "安平片的适应症"
    assert citation["source"] == "pack:own"
    assert citation["licence"] == "Apache-2.0"
    assert citation["facts"] == ["fact-1"]
    assert ours["sentences"][0]["source"] == "knowledge"
    assert ours["sentences"][0]["citations"] == [1]
    assert ours["decision"]["action"] == "allow"
    assert ours["ai_label"] == "内容由AI生成，仅供参考"
    assert "不构成诊断" in ours["disclaimer"]


def test_a_stream_joins_to_the_same_text_and_ends_with_done() -> None:
    response = _ask(_client(), _body(stream=True, stream_options={"include_usage": True}))
    assert response.headers["content-type"].startswith("text/event-stream")
    events = _events(response.text)
    assert events[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    text = "".join(event["choices"][0]["delta"].get("content", "") for event in events if event["choices"])
    assert text == "安平片的适应症：轻度头晕[1]。"
    last, usage = events[-2:]
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["xinglin"]["ai_label"]
    assert usage["choices"] == []
    assert usage["usage"]["total_tokens"] == 0
    assert len({event["id"] for event in events}) == 1


def test_usage_is_streamed_only_when_asked_for() -> None:
    assert not any("usage" in event for event in _events(_ask(_client(), _body(stream=True)).text))


def test_a_safety_line_is_there_for_every_model() -> None:
    for model in ("assistant", "bare"):
        content = _ask(_client(), {**_body("我胸痛"), "model": model}).json()
        assert content["choices"][0]["message"]["content"].split("\n")[0].endswith("请立即拨打120。")
        assert content["xinglin"]["decision"]["tier"] == "emergency"


def test_content_may_be_a_list_of_text_parts() -> None:
    parts = [{"type": "text", "text": "安平片的"}, {"type": "text", "text": "适应症"}]
    assert "轻度头晕" in _ask(_client(), _body(parts)).json()["choices"][0]["message"]["content"]


def test_max_tokens_is_honoured_and_named_as_the_reason() -> None:
    client = _client(Scripted("bare", {}, default="一二三四五六七八九十。"))
    body = {**_body("问"), "model": "bare", "max_tokens": 4}
    content = _ask(client, body).json()
    assert content["choices"][0] == {
        "index": 0,
        "message": {"role": "assistant", "content": "一二三四"},
        "finish_reason": "length",
    }
    assert content["usage"]["completion_tokens"] == 4
    assert _ask(client, {**body, "max_tokens": 1_000_000_000}).json()["choices"][0]["finish_reason"] == "stop"


def test_what_is_ignored_is_named() -> None:
    ours = _ask(_client(), _body(frequency_penalty=0.5, user="u", stop=None, temperature=0)).json()["xinglin"]
    assert ours["ignored"] == ["frequency_penalty"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": "assistant"}, "messages"),
        (_body() | {"messages": []}, "messages"),
        (_body() | {"messages": [{"role": "user", "content": "  "}]}, "messages"),
        (_body() | {"messages": [{"role": "assistant", "content": "x"}]}, "messages"),
        (_body() | {"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role"),
        (_body([{"type": "image_url", "image_url": {"url": "x"}}]), "messages.0.content"),
        (_body(max_tokens=0), "max_tokens"),
        (_body(temperature=3), "temperature"),
        (_body(n=2), "n"),
        (_body(tools=[{"type": "function"}]), "tools"),
        ([], ""),
    ],
)
def test_a_wrong_body_is_a_400_in_openais_shape(body: object, param: str) -> None:
    response = _ask(_client(), body)
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error["message"]
    assert (error["param"] or "").startswith(param)


def test_a_question_over_2000_characters_is_a_400_in_openais_shape() -> None:
    response = _ask(_client(), _body("安" * 2001))
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "context_length_exceeded"
    assert _ask(_client(), _body("安" * 2000)).status_code == 200


def test_broken_json_is_a_400_in_openais_shape() -> None:
    response = _client().post("/v1/chat/completions", content=b"{", headers={"content-type": "application/json"})
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"


def test_a_wrong_model_is_a_404_that_lists_the_served_ones() -> None:
    for response in (_ask(_client(), _body() | {"model": "gpt"}), _client().get("/v1/models/gpt")):
        assert response.status_code == 404
        error = response.json()["error"]
        assert error["code"] == "model_not_found"
        assert "assistant" in error["message"]


def test_unknown_addresses_and_methods_are_404_in_openais_shape() -> None:
    assert _client().get("/v1/nothing").json()["error"]["code"] == "not_found"
    assert _client().get("/v1/chat/completions").json()["error"]["code"] == "not_found"
    assert _client().get("/docs").status_code == 404


def test_models_and_health_are_listed() -> None:
    client = _client()
    assert [model["id"] for model in client.get("/v1/models").json()["data"]] == ["bare", "assistant"]
    assert client.get("/v1/models/assistant").json()["id"] == "assistant"
    health = client.get("/healthz").json()
    assert health["status"] == "ok"
    assert health["models"] == ["bare", "assistant"]


def test_too_long_messages_and_bodies_are_413() -> None:
    assert _ask(_client(), _body("问" * 40_000)).status_code == 413
    huge = _ask(_client(), _body("x" * (1 << 21)))
    assert huge.status_code == 413
    assert huge.json()["error"]["message"]


class _Failing(Scripted):
    def stream(self, messages: Sequence[Message], sampling: Sampling) -> Iterator[str | Reply]:
        yield "开头"
        raise ModelError("weights are gone")


class _Crashing(Scripted):
    def stream(self, messages: Sequence[Message], sampling: Sampling) -> Iterator[str | Reply]:
        yield "开头"
        raise ZeroDivisionError("secret detail")


def test_failures_are_500_without_details_and_travel_inside_a_stream() -> None:
    client = _client(_Failing("bare", {}), _Crashing("crash", {}))
    failed = _ask(client, _body("问") | {"model": "bare"})
    assert (failed.status_code, failed.json()["error"]["message"]) == (500, "weights are gone")
    crashed = _ask(client, _body("问") | {"model": "crash"})
    assert crashed.status_code == 500
    assert "secret" not in crashed.text
    assert crashed.headers["x-content-type-options"] == "nosniff"
    events = _events(_ask(client, _body("问", stream=True) | {"model": "crash"}).text)
    assert events[-1]["error"]["code"] == "internal_error"


class _Held(Scripted):
    release = threading.Event()

    def stream(self, messages: Sequence[Message], sampling: Sampling) -> Iterator[str | Reply]:
        self.release.wait(10)
        yield from super().stream(messages, sampling)


def test_too_many_questions_at_once_are_503_with_retry_after() -> None:
    model = _Held("bare", {}, default="好。")
    with _client(model) as client:
        body = _body("问") | {"model": "bare"}
        answers: list[int] = []
        threads = [threading.Thread(target=lambda: answers.append(_ask(client, body).status_code)) for _ in range(9)]
        for thread in threads:
            thread.start()
        while client.get("/healthz").json()["questions"] < 9:
            pass
        for stream in (False, True):
            refused = _ask(client, body | {"stream": stream})
            assert refused.status_code == 503
            assert refused.headers["retry-after"]
            assert refused.json()["error"]["code"] == "busy"
        model.release.set()
        for thread in threads:
            thread.join()
        assert answers == [200] * 9


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "", "192.168.1.5:8000", "localhost@evil.example"]
)
def test_other_host_names_are_refused_on_loopback(host: str) -> None:
    response = _client().get("/healthz", headers={"host": host})
    assert response.status_code == 403
    assert response.json()["error"]["code"] == "forbidden"


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:8000", "LOCALHOST"])
def test_loopback_names_are_answered(host: str) -> None:
    assert _client().get("/healthz", headers={"host": host}).status_code == 200


def test_foreign_origins_are_refused_and_our_own_is_not() -> None:
    client = _client()
    for origin in ("https://evil.example", "null", "http://127.0.0.1:9999", "http://localhost:8000"):
        assert client.post("/v1/chat/completions", json=_body(), headers={"origin": origin}).status_code == 403
    assert client.post("/v1/chat/completions", json=_body(), headers={"origin": LOCAL}).status_code == 200
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/x", headers={"origin": "https://evil.example"}):
        pass


def test_a_server_on_the_network_answers_under_any_name_but_not_to_other_sites() -> None:
    client = _client(host="0.0.0.0", base="http://ward-pc:8000")
    assert client.get("/healthz").status_code == 200
    assert client.get("/healthz", headers={"origin": "https://evil.example"}).status_code == 403


def test_every_answer_carries_the_security_headers() -> None:
    client = _client()
    for response in (client.get("/healthz"), client.get("/nothing"), client.get("/healthz", headers={"host": "evil"})):
        policy = response.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "http" not in policy
        assert response.headers["x-content-type-options"] == "nosniff"


def test_a_port_in_use_is_an_engine_error_with_the_way_out() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(EngineError) as raised:
            serve(build_app([_assistant()]), port=taken.getsockname()[1])
    assert "--port" in raised.value.fix
    with pytest.raises(EngineError):
        serve(build_app([_assistant()]), port=99_999)
    with pytest.raises(EngineError):
        serve(build_app([_assistant()]), host="no.such.host.invalid", port=0)


def test_no_model_or_two_of_one_name_cannot_be_served() -> None:
    with pytest.raises(EngineError):
        build_app([])
    with pytest.raises(EngineError):
        build_app([_assistant(), _assistant()])
