"""A training step on several processes: started by torchrun, watched from here."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from xinglin import files
from xinglin.errors import DataError, EngineError, MedError, ModelError, RecipeError
from xinglin.recipe import training
from xinglin.recipe.context import Context, Numbers

SHARED = (training.Pretrain, training.Sft, training.Reward, training.Prefer)
"""Steps that several processes can share."""
ONLINE = (training.Online, training.Distill)
"""Steps of which they can if each holds the whole model."""
_ERROR = re.compile(r"(\[rank\d+\]: )?(?!torch\.distributed\.elastic)[\w.]+(Error|Exception)(: |$)")
"""The last line of a process's traceback; torch puts the process before it once they have met."""
_KILLED = re.compile(r"^Root Cause.*?^ *traceback : (Signal \d+ \(SIG\w+\) received by PID \d+)", re.M | re.S)
"""What torchrun says of a process that was killed before the others ended."""
_ERRORS = {kind.code: kind for kind in (RecipeError, DataError, ModelError, EngineError)}


def shares(step: object, at: Context) -> bool:
    """Whether a step is to be trained by several processes."""
    launch = at.plan.recipe.launch
    shared = isinstance(step, SHARED) or (isinstance(step, ONLINE) and launch.strategy == "ddp")
    return shared and launch.processes * launch.nodes > 1


def train(at: Context) -> Numbers:
    """Train the step by the processes that the recipe's `launch` asks for; returns what it wants remembered."""
    job = write_job(at)
    log = at.folder / files.LOGS / "processes.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command(at, job), stdout=subprocess.PIPE, stderr=errors, text=True, encoding="utf-8"
        )
        try:
            numbers = _listen(process, at)
        finally:
            if process.poll() is None:
                process.terminate()
            process.wait()
            if process.stdout:
                process.stdout.close()
    if numbers is None:
        raise EngineError(
            f"a training process ended with exit code {process.returncode}: {reason(log.read_text(encoding='utf-8'))}",
            where=str(log),
            fix="its whole output is in this file; run again to go on from the last checkpoint",
        )
    return numbers


def reason(output: str) -> str:
    """What says why the processes ended; the others only lose their peer.

    That is the first to be killed, if one was (SIGKILL: by hand, or for want of memory), else the first error.
    """
    if killed := _KILLED.search(output):
        return killed[1]
    lines = [line for line in output.splitlines() if line.strip("=- ")] or ["no output"]
    return next((line for line in lines if _ERROR.match(line)), lines[-1])[:200]


def write_job(at: Context) -> Path:
    """The file that tells the processes what to train."""
    job = at.folder / files.LOGS / "job.json"
    files.write_json(
        job,
        {
            # As text: the order of the steps counts. Defaults are left out: `keep` must not be named beside `top`.
            "recipe": at.plan.recipe.model_dump_json(exclude_unset=True),
            "root": str(at.plan.root.resolve()),
            "runs": str(at.plan.runs.resolve()),
            "step": at.name,
        },
    )
    return job


def command(at: Context, job: Path) -> list[str]:
    """The command line that starts the processes of this node."""
    from xinglin.train.launch import Launch
    from xinglin.train.launch import command as torchrun

    return torchrun(Launch(**at.plan.recipe.launch.model_dump()), ["xinglin.recipe.worker", str(job)])


def _listen(process: subprocess.Popen[str], at: Context) -> Numbers | None:
    assert process.stdout
    for line in process.stdout:
        try:
            told: dict[str, Any] = json.loads(line)
        except ValueError:
            continue  # a library's own words
        if "moved" in told:
            at.progress(*told["moved"])
        elif "numbers" in told:
            return told["numbers"]
        elif "error" in told:
            error = told["error"]
            kind = _ERRORS.get(error["code"], MedError)
            raise kind(error["problem"], where=error["where"], fix=error["fix"])
    return None
