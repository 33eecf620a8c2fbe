"""The OpenAI-compatible HTTP service, and the server process around it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import sys
import time
import warnings
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response

import xinglin
from xinglin.errors import EngineError, MedError
from xinglin.serve import wire
from xinglin.serve.border import Border, is_loopback
from xinglin.serve.cautious import careful
from xinglin.serve.turns import Busy, Turns
from xinglin.serve.wire import ChatRequest, Completion, Wrong
from xinglin.types import ChatModel, Message, Reply, Sampling

log = logging.getLogger(__name__)
Page = Callable[[FastAPI, Sequence[ChatModel], Turns], None]
"""Mounts a web page on the app; it shares the models and their line with the API."""


def build_app(models: Sequence[ChatModel], *, page: Page | None = None, host: str = "127.0.0.1") -> FastAPI:
    """The service for these models, to be bound to `host`.

    Models that do not check themselves are wrapped, so that emergency advice comes first whatever they say.
    """
    if not models:
        raise EngineError("no model to serve", fix="name at least one model")
    served = {model.name: careful(model) for model in models}
    if len(served) < len(models):
        raise EngineError("two models have the same name", fix="give each served model its own name")
    # FastAPI's documentation pages load scripts from a CDN: only the schema stays.
    app = FastAPI(title="Xinglin", version=xinglin.__version__, docs_url=None, redoc_url=None)
    app.add_middleware(Border, loopback=is_loopback(host))
    turns = Turns()
    _add_errors(app)
    _add_lists(app, served, turns)
    _add_chat(app, served, turns)
    _add_unknown(app)
    if page is not None:
        page(app, tuple(served.values()), turns)
    return app


def serve(app: FastAPI, *, host: str = "127.0.0.1", port: int = 8000) -> None:
    """Run the app until interrupted; prints its address on stderr. Port 0 takes any free port."""
    listener = _listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    print(f"杏林 Xinglin: http://{shown}:{listener.getsockname()[1]}/  (Ctrl-C 结束)", file=sys.stderr, flush=True)
    if not is_loopback(host):
        print(
            "注意：服务对网络开放且没有登录验证，请只在可信网络中使用。 (no authentication)",
            file=sys.stderr,
            flush=True,
        )
    # At start NiceGUI looks at every object in memory, and touching one of torch's old names warns on the terminal.
    warnings.filterwarnings("ignore", message=".*reduce_op", category=FutureWarning)
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=3)
    # Ctrl-C is how a server ends; uvicorn finishes its shutdown and then raises it again.
    with contextlib.closing(listener), contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host.strip("[]"), port))
        listener.listen(128)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise EngineError(
            f"cannot listen on {host} port {port}: {reason}",
            fix="stop the other program on this port, or choose another one with --port (0 = any free port)",
        ) from None
    return listener


def _add_errors(app: FastAPI) -> None:
    """Every error leaves in OpenAI's shape."""

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, failure: RequestValidationError) -> JSONResponse:
        first = failure.errors()[0]
        param = ".".join(str(part) for part in first["loc"] if part != "body")
        message = f"{param}: {first['msg']}" if param else str(first["msg"])
        return _failed(Wrong(message, param=param))

    @app.exception_handler(Wrong)
    async def wrong(_: Request, failure: Wrong) -> JSONResponse:
        return _failed(failure)

    @app.exception_handler(HTTPException)
    async def refused(_: Request, failure: HTTPException) -> JSONResponse:
        return _failed(Wrong(str(failure.detail), status=failure.status_code, code="http_error"))

    @app.exception_handler(MedError)
    async def failed(_: Request, failure: MedError) -> JSONResponse:
        return _failed(_translate(failure))


def _translate(failure: Exception) -> Wrong:
    """What the caller may know about a failure: our own words, never a trace."""
    if isinstance(failure, Wrong):
        return failure
    if isinstance(failure, Busy):
        return Wrong(f"{failure.problem}; {failure.fix}", status=503, code="busy")
    if isinstance(failure, MedError):
        log.error("%s", failure)
        return Wrong(failure.problem, status=500, code=failure.kind)
    log.error("unexpected failure", exc_info=failure)
    return Wrong("internal error; see the server's log", status=500, code="internal_error")


def _failed(wrong: Wrong) -> JSONResponse:
    content = wire.error(wrong.message, status=wrong.status, code=wrong.code, param=wrong.param)
    headers = {"Retry-After": "5"} if wrong.status == 503 else None
    return JSONResponse(content, status_code=wrong.status, headers=headers)


def _add_lists(app: FastAPI, models: dict[str, ChatModel], turns: Turns) -> None:
    started = int(time.time())

    @app.get("/healthz")
    async def health() -> wire.Health:
        return wire.Health(version=xinglin.__version__, models=list(models), questions=turns.inside)

    @app.get("/v1/models")
    async def listing() -> wire.Models:
        return wire.Models(data=[wire.Model(id=name, created=started) for name in models])

    @app.get("/v1/models/{name:path}")
    async def one(name: str) -> wire.Model:
        return wire.Model(id=_pick(models, name).name, created=started)


def _add_chat(app: FastAPI, models: dict[str, ChatModel], turns: Turns) -> None:
    @app.post("/v1/chat/completions", response_model=Completion)
    async def complete(body: ChatRequest, request: Request) -> Response | Completion:
        model = _pick(models, body.model)
        conversation, sampling = body.conversation(), body.sampling()
        if not body.stream:
            reply = await _unless_gone(request, turns, model, conversation, sampling)
            return _completion(body, reply)
        if turns.full:
            raise Busy(f"{turns.inside} questions are already being answered or waiting", fix="try again in a moment")
        events = _events(body, turns.stream(model, conversation, sampling))
        return StreamingResponse(events, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})


def _add_unknown(app: FastAPI) -> None:
    # The page is mounted on "/": without this an unknown API address would answer with its HTML.
    @app.api_route("/v1/{rest:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"], include_in_schema=False)
    async def unknown(rest: str) -> None:
        raise Wrong(f"there is no /v1/{rest[:100]} for this method", status=404, code="not_found")


def _pick(models: dict[str, ChatModel], name: str) -> ChatModel:
    if name not in models:
        raise Wrong(
            f"the model {name[:100]!r} does not exist; served here: {', '.join(models)}",
            status=404,
            code="model_not_found",
            param="model",
        )
    return models[name]


async def _unless_gone(
    request: Request, turns: Turns, model: ChatModel, messages: Sequence[Message], sampling: Sampling
) -> Reply:
    """The reply, given up as soon as the caller hangs up."""
    answer = asyncio.create_task(turns.answer(model, messages, sampling))
    try:
        while not (await asyncio.wait({answer}, timeout=0.5))[0]:
            if await request.is_disconnected():
                raise Wrong("the caller hung up", status=499, code="disconnected")
        return answer.result()
    except Exception as failure:  # the boundary: nothing but an error in our shape leaves
        raise _translate(failure) from failure
    finally:
        answer.cancel()


def _completion(body: ChatRequest, reply: Reply) -> Completion:
    choice = wire.Choice(message=wire.Answer(content=reply.text), finish_reason=wire.finish_reason(reply))
    return Completion(
        id=wire.new_id(),
        created=int(time.time()),
        model=body.model,
        choices=[choice],
        usage=wire.usage(reply),
        xinglin=wire.aside(reply, ignored=body.ignored()),
    )


async def _events(body: ChatRequest, pieces: AsyncGenerator[str | Reply, None]) -> AsyncIterator[str]:
    """Server-sent events: role, text, finish with our field, usage when asked for, [DONE]."""
    head = {"id": wire.new_id(), "object": "chat.completion.chunk", "created": int(time.time()), "model": body.model}

    def chunk(delta: dict[str, str], finish: str | None = None, **more: object) -> str:
        return _event({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more})

    yield chunk({"role": "assistant", "content": ""})
    try:
        async with contextlib.aclosing(pieces) as items:
            async for piece in items:
                if isinstance(piece, str):
                    if piece:
                        yield chunk({"content": piece})
                    continue
                aside = wire.aside(piece, ignored=body.ignored()).model_dump()
                yield chunk({}, wire.finish_reason(piece), xinglin=aside)
                if body.stream_options and body.stream_options.include_usage:
                    yield _event({**head, "choices": [], "usage": wire.usage(piece).model_dump()})
    except Exception as failure:  # noqa: BLE001  the boundary: the stream has begun, so the error travels inside it
        wrong = _translate(failure)
        yield _event(wire.error(wrong.message, status=wrong.status, code=wrong.code))
    yield "data: [DONE]\n\n"


def _event(content: object) -> str:
    return f"data: {json.dumps(content, ensure_ascii=False)}\n\n"
