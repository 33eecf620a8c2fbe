"""Open and save models: a local Hugging Face folder or a hub id, safetensors only, no remote code."""

from __future__ import annotations

import errno
import json
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)  # fmt: skip
from transformers.utils import logging as transformers_logging

from xinglin import files
from xinglin.errors import FULL_DISK, ModelError, full_disk
from xinglin.model.attached import attach, base_of, check_base, check_vocabulary, settings
from xinglin.model.card import CARD, content, fingerprint, is_adapter
from xinglin.model.render import Template, settle_template
from xinglin.text import is_hub_id
from xinglin.types import Checkpoint

transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()
# PEFT asks for a name that transformers has given up: nothing that a user could change.
warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
# By default MKL divides its work by what the processors have to spare, and on a busy machine one run in dozens differed
# in the last bits. AUTO fixes the division: the same kernels, numbers and speed (measured), the same in every run.
os.environ.setdefault("MKL_CBWR", "AUTO")

FOLDER = "model"
"""Name of the folder of a step that holds its weights."""
# AssertionError: torch's own, for a pad_token_id beyond the embeddings.
_UNOPENED = (
    OSError, ValueError, KeyError, TypeError, RuntimeError, AssertionError, SafetensorError, StrictDataclassError,
)  # fmt: skip
_WANTED = ["*.json", "*.txt", "*.jinja", "*.model", "*.tiktoken", "model*.safetensors"]
_SAMPLING = ("temperature", "top_p", "top_k", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff")
_FORMAT = "Hugging Face format (config.json, model.safetensors, tokenizer.json)"
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "*.tiktoken")


def device() -> torch.device:
    """The accelerator if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def dtype() -> torch.dtype:
    """bf16 on an accelerator; fp32 on a CPU, where bf16 without AMX measured 2-3 times slower (training.md 5.2)."""
    return torch.bfloat16 if torch.cuda.is_available() else torch.float32


def arithmetic() -> AbstractContextManager[Any]:
    """bf16 arithmetic by autocast on an accelerator, where trained weights are fp32; on a CPU nothing."""
    return torch.autocast("cuda", torch.bfloat16) if torch.cuda.is_available() else nullcontext()


def check_config(folder: Path) -> None:
    """Refuse a folder whose config.json is missing or no JSON, or that wants to run its own code."""
    config = folder / "config.json"
    if not config.is_file():
        raise ModelError(
            "this folder is no model: it has no config.json",
            where=str(folder),
            fix=f"name a folder in {_FORMAT}",
        )
    settings = _json(config)
    if "auto_map" in settings:
        raise ModelError(
            "the model wants to run its own Python code (auto_map in config.json)",
            where=str(config),
            fix="use a model whose architecture transformers knows; remote code is never run",
        )


def check_folder(folder: Path) -> None:
    """Refuse a folder that is no model, holds pickled weights only, or wants to run its own code."""
    check_config(folder)
    if not any(folder.glob("*.safetensors")):
        pickled = next(iter([*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.pth")]), None)
        what = f"only pickled weights ({pickled.name})" if pickled else "no weights"
        raise ModelError(
            f"the folder holds {what}", where=str(folder), fix="convert the weights to safetensors (model.safetensors)"
        )


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ModelError(f"not valid JSON: {error}", where=str(path), fix="download or save the model again") from None
    if not isinstance(value, dict):
        raise ModelError("not a JSON object", where=str(path), fix="download or save the model again")
    return value


@contextmanager
def explained(spec: str) -> Iterator[None]:
    """Turn what transformers, torch and safetensors say of a model they cannot open into a ModelError."""
    try:
        yield
    except _UNOPENED as error:
        if isinstance(error, OSError) and error.errno in FULL_DISK:
            raise full_disk(error, where=spec) from error
        lines = [*map(str.strip, str(error).strip().splitlines()), ""]
        reason = f"{lines[0]} {lines[1]}" if lines[0].endswith(":") else lines[0]
        if "custom code" in reason:
            fix = "use a model whose tokenizer transformers knows (tokenizer.json); remote code is never run"
        elif Path(spec).exists():
            fix = "check that the folder is complete (config.json, model.safetensors, tokenizer.json)"
        else:
            fix = "check the spelling of the hub id and the network, or name a local folder"
        raise ModelError(f"the model cannot be opened: {reason}", where=spec, fix=fix) from None


def open_model(
    spec: str,
    *,
    kind: Any = AutoModelForCausalLM,
    fresh: Sequence[str] = (),
    precision: torch.dtype | None = None,
    **options: Any,
) -> PreTrainedModel:
    """Load weights from a folder or hub id onto `device()`; `kind` is the transformers auto class.

    Every weight must be in the files but those named in `fresh`, which start at random (a new output head). An
    adapter's folder gives its base with the adapter merged into it.
    """
    folder = local(spec)
    if is_adapter(folder):
        return _merged(folder, kind=kind, fresh=fresh, precision=precision, **options)
    check_folder(folder)
    with explained(spec):
        model, loaded = kind.from_pretrained(
            folder,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=precision or dtype(),
            device_map={"": device()} if "quantization_config" in options else None,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            **options,
        )
    _check_complete(loaded, fresh, spec)
    model.config.use_cache = False
    return model if "quantization_config" in options else model.to(device())


def _merged(folder: Path, **options: Any) -> PreTrainedModel:
    base = base_of(folder)
    check_base(folder, local(base))
    # The head of a reward model is the adapter's own.
    if "score" in (settings(folder).get("modules_to_save") or ()):
        options["fresh"] = ["score.weight"]
    merged = attach(open_model(base, **options), folder).merge_and_unload()
    merged.config.use_cache = False
    return merged


def _check_complete(loaded: dict[str, Any], fresh: Sequence[str], spec: str) -> None:
    """Refuse weights that do not fit the configuration; transformers would fill the gaps with random numbers."""
    if loaded["mismatched_keys"]:
        name, here, wanted = sorted(loaded["mismatched_keys"])[0]
        raise ModelError(
            f"the weights do not fit config.json: {name} is {list(here)}, the configuration says {list(wanted)}",
            where=spec,
            fix="config.json and the weights are of different models: download or save the model again",
        )
    if "score.weight" in loaded["unexpected_keys"]:
        raise ModelError(
            "this is a reward model: it scores conversations and writes none",
            where=spec,
            fix="give the model that it was trained from; as a judge it stands in `reward`",
        )
    missing = sorted(set(loaded["missing_keys"]) - set(fresh))
    if missing:
        raise ModelError(
            f"{len(missing)} weights are missing, the first is {missing[0]}",
            where=spec,
            fix="the folder is incomplete, or config.json is of another model: download or save the model again",
        )


def open_config(spec: str) -> PretrainedConfig:
    """Read a model's configuration only."""
    folder = local(spec)
    check_folder(folder)
    with explained(spec):
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)


def below(spec: str) -> Path:
    """The folder of a model, or that of the base below its adapters."""
    folder = local(spec)
    while is_adapter(folder):
        folder = local(base_of(folder))
    return folder


def has_tokenizer(folder: Path) -> bool:
    """Whether a folder holds a tokenizer; an adapter saved by PEFT alone has none."""
    return any(True for name in _TOKENIZERS for _ in folder.glob(name))


def open_tokenizer(spec: str) -> PreTrainedTokenizerBase:
    """Load a tokenizer and settle its chat template; an adapter without one has its base's."""
    # Without its files, transformers makes an empty tokenizer and says nothing.
    folder = local(spec)
    if not has_tokenizer(folder):
        if is_adapter(folder):
            return open_tokenizer(base_of(folder))
        raise ModelError("the folder holds no tokenizer", where=spec, fix="add the model's tokenizer.json")
    sentences = next((folder / name for name in ("tokenizer.model", "spiece.model") if (folder / name).is_file()), None)
    if sentences and not (folder / "tokenizer.json").is_file() and find_spec("sentencepiece") is None:
        raise ModelError(
            f"the tokenizer is a SentencePiece file only ({sentences.name}), and sentencepiece is not installed",
            where=spec,
            fix="add the model's tokenizer.json, or: pip install sentencepiece protobuf",
        )
    with explained(spec):
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    settle_template(tokenizer, where=spec)
    tokenizer.padding_side = "left"
    return tokenizer


def open_pair(spec: str, **options: Any) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """`open_model` and `open_tokenizer`, and the check that they belong together."""
    folder = local(spec)
    if not is_adapter(folder):
        check_folder(folder)
    tokenizer = open_tokenizer(str(folder))
    model = open_model(str(folder), **options)
    if is_adapter(folder):
        check_vocabulary(tokenizer, open_tokenizer(base_of(folder)), where=spec)
    check_pair(model, tokenizer, where=spec)
    return model, tokenizer


def check_pair(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, where: str) -> None:
    """Refuse a tokenizer that knows more tokens than the model has embeddings; more embeddings are padding."""
    embeddings: Any = model.get_input_embeddings()
    rows = embeddings.weight.shape[0]
    if len(tokenizer) > rows:
        raise ModelError(
            f"the tokenizer has {len(tokenizer)} tokens, but the model has embeddings for {rows} only",
            where=where,
            fix="use the tokenizer that the model was trained with, or enlarge the embeddings",
        )


def pad_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """The padding id; `settle_template` has made sure that there is one."""
    pad = tokenizer.pad_token_id
    assert isinstance(pad, int)
    return pad


def local(spec: str) -> Path:
    """The folder of a model; what only the hub has is fetched into Hugging Face's cache first."""
    if _is_path(spec):
        return Path(spec)
    # One request shows whether the hub can be reached. transformers would ask for each file six times, waiting longer
    # each time: 47 seconds without a network.
    with explained(spec):
        return Path(snapshot_download(spec, allow_patterns=_WANTED))


def _is_path(spec: str) -> bool:
    path = Path(spec)
    if path.is_dir():
        return True
    # `a/b` can be a hub id; anything that cannot be one is meant as a path.
    if path.is_file():
        raise ModelError("this is a file, a model is a folder", where=spec, fix=f"name a folder in {_FORMAT}")
    if not is_hub_id(spec):
        raise ModelError(
            "no such model folder", where=spec, fix="name an existing folder or a hub id such as Qwen/Qwen3-4B"
        )
    return False


def save(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path, *, stage: str, base: Path | str
) -> None:
    """Write weights (safetensors), configuration, tokenizer and the checkpoint's card into `folder`.

    The card names a `base` that is a path as it lies from `folder`: a run's files are then the same wherever it is.
    """
    check_pair(model, tokenizer, where=str(folder))
    folder.mkdir(parents=True, exist_ok=True)
    settle_config(model.config, getattr(model, "generation_config", None), tokenizer)
    named = os.path.relpath(base, folder) if isinstance(base, Path) else base
    adapter: Any = getattr(model, "peft_config", {}).get("default")
    if adapter:
        adapter.base_model_name_or_path = named
    with writing(folder):
        # PEFT would look for the base to see whether its vocabulary was changed; what is trained whole is saved anyway.
        options: dict[str, Any] = {"save_embedding_layers": False} if adapter else {}
        model.save_pretrained(folder, **options)
        tokenizer.save_pretrained(folder)
    # safetensors writes for its owner only, whatever the umask, and whoever serves may be another user.
    mode = (folder / ("adapter_config.json" if adapter else "config.json")).stat().st_mode
    for path in folder.glob("*.safetensors"):
        path.chmod(mode)
    if adapter:
        (folder / "README.md").unlink(missing_ok=True)  # an empty model card of PEFT's
    digest = content(folder)
    kind = {"adapter": "lora", "base_digest": fingerprint(local(str(base)))} if adapter else {}
    files.write_records(folder / CARD, [Checkpoint(path=".", stage=stage, base=named, digest=digest, **kind)])


def settle_config(config: Any, generation: Any, tokenizer: PreTrainedTokenizerBase) -> None:
    """Make a model's configuration, and its generation_config if there is one, agree with the tokenizer."""
    # Other programs read these from the model's files; the cache is off in training only.
    config.use_cache = True
    config.pad_token_id, config.eos_token_id = tokenizer.pad_token_id, tokenizer.eos_token_id
    if generation is not None:
        _settle_generation(generation, tokenizer)


def _settle_generation(generation: Any, tokenizer: PreTrainedTokenizerBase) -> None:
    """Make a generation_config.json agree with the tokenizer, and fit to be written."""
    generation.use_cache = True
    generation.pad_token_id, generation.eos_token_id = tokenizer.pad_token_id, Template(tokenizer).stop_ids
    try:
        generation.validate(strict=True)
    except ValueError:
        # Some makers leave a temperature in the file of a model that does not sample (Vicuna): it has no effect, but
        # transformers refuses to write it down again, after all the training.
        for name in _SAMPLING if not generation.do_sample else ():
            setattr(generation, name, None)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn a full disk under safetensors' or torch's own writers into a CapError."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL_DISK:
            raise full_disk(error, where=str(folder)) from error
        raise
    except SafetensorError as error:
        if any(f"os error {code}" in str(error) for code in FULL_DISK):
            raise full_disk(OSError(errno.ENOSPC, "No space left on device"), where=str(folder)) from error
        raise
