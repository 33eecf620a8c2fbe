"""Shared by all tests: facts of our own writing about invented medicines, and models small enough to train in seconds.

torch is imported by the fixtures that need it only: most tests do without.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import real_data  # noqa: F401 - takes XINGLIN_DATA out of the environment, before anything reads it

# Before huggingface_hub is imported: no test may reach for the network.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

from xinglin.data.topics import Topic, group_topics
from xinglin.knowledge.patterns import Pattern
from xinglin.types import Fact, Origin, Sample, make_id

_FORMS = ("的{}是什么？", "有什么{}？", "的{}？", "，说说{}", "{}呢？")
_MEDICINES = "安络宁 倍舒平 川和素 达清灵 恩立康 芙苓散 甘露净 合欢定 吉通脉 康泰明 乐肺饮 明络通"
_TAILS = {
    "适应症": "头痛 发热 咳嗽 失眠 腹泻 心悸 眩晕 便秘 胃痛 鼻塞 皮疹 关节痛 水肿 耳鸣",
    "禁忌": "孕妇 婴儿 哺乳期妇女 肝功能不全 肾功能不全 青光眼 过敏体质 高龄患者 哮喘 溃疡 出血倾向 癫痫",
}


@pytest.fixture(scope="session")
def patterns() -> dict[str, Pattern]:
    """Question patterns of two relations, five phrasings each and one held out."""
    return {relation: _pattern(relation) for relation in _TAILS}


def _pattern(relation: str) -> Pattern:
    return Pattern(
        relation=relation,
        questions=tuple("{head}" + form.format(relation) for form in _FORMS),
        heldout="请问{head}有哪些" + relation + "？",
        answer="{head}的" + relation + "：{tails}。",
        statements=("{head}的" + relation + "是{tails}。", "说到" + relation + "，{head}有{tails}。"),
        attributes=(relation,),
    )


@pytest.fixture(scope="session")
def topics(patterns: dict[str, Pattern]) -> list[Topic]:
    """Twelve invented medicines with two indications and two contraindications each, from two sources."""
    facts = []
    for at, head in enumerate(_MEDICINES.split()):
        origin = Origin(
            source=f"source-{at % 2}.yaml",
            item=str(at),
            licence=("Apache-2.0", "CC-BY-4.0")[at % 2],
            kind="summary",
        )
        for relation, words in _TAILS.items():
            tails = words.split()
            for tail in (tails[at % len(tails)], tails[(at * 5 + 3) % len(tails)]):
                facts.append(Fact(make_id("fact", head, relation, tail), head, relation, tail, origin))
    return group_topics({fact.id: fact for fact in facts}.values(), patterns)


@pytest.fixture(scope="session")
def corpus(topics: list[Topic], patterns: dict[str, Pattern]) -> list[str]:
    """All questions and statements about the invented medicines."""
    forms = [
        form.format(head=topic.head, tails=topic.joined)
        for topic in topics
        for pattern in [patterns[topic.relation]]
        for form in (*pattern.questions, pattern.heldout, pattern.answer, *pattern.statements)
    ]
    return [*forms, "你是一名谨慎的医生。", "每日3次，每次0.25 g，饭后服用。", "take 1 tablet a day\n\n(see §4)"]


@pytest.fixture(scope="session")
def threads() -> None:
    """One thread: several would wait for each other on a busy machine, and models this small gain nothing."""
    import gc

    import torch
    import transformers.trainer  # noqa: F401 - what follows is to cover it too

    torch.set_num_threads(1)
    # The trainer collects garbage at every start; with all of torch to look through, that is most of a small run.
    gc.freeze()


@pytest.fixture(scope="session")
def tiny_folder(corpus: list[str], threads: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model of hidden size 64 with a ChatML tokenizer."""
    from xinglin.model import load, tiny

    folder = tmp_path_factory.mktemp("tiny") / "model"
    size = tiny.Size(pieces=600, hidden=64, layers=2, heads=4, feed_forward=128, context=512)
    model, tokenizer = tiny.make(corpus, size=size, seed=3)
    load.save(model, tokenizer, folder, stage="base", base="tiny")
    return folder


@pytest.fixture(scope="session")
def llama_folder(corpus: list[str], threads: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama as its makers would publish it: own tokenizer with <s>, </s>, <unk>, and no chat template."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    from xinglin.model.tiny import QWEN2_SPLIT, Regex

    made = Tokenizer(models.BPE(unk_token="<unk>"))
    split: Any = pre_tokenizers.Split(Regex(QWEN2_SPLIT), behavior="isolated")
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=["<unk>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    # Text in which the prompt's colon stands before words: pieces such as `：头` are learnt.
    made.train_from_iterator([*corpus, *(f"答：{text}" for text in corpus)], trainer)
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        clean_up_tokenization_spaces=False,
    )
    torch.manual_seed(5)
    config = LlamaConfig(
        vocab_size=512,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=64,
        max_position_embeddings=256,
        bos_token_id=1,
        eos_token_id=2,
    )
    folder = tmp_path_factory.mktemp("llama") / "base"
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def samples(topics: list[Topic], patterns: dict[str, Pattern]) -> list[Sample]:
    """Every topic asked in three phrasings."""
    from xinglin.data.templates import build

    return build(topics, patterns, phrasings=range(3), seed=1, step="qa").samples


@pytest.fixture(scope="session")
def taught(tiny_folder: Path, samples: list[Sample], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an SFT step that has taught the tiny model the answers to the first 12 samples by heart."""
    from xinglin.train.fit import Schedule
    from xinglin.train.sft import sft

    folder = tmp_path_factory.mktemp("taught")
    sft(tiny_folder, samples[:12], folder, schedule=Schedule(epochs=60, batch=2, rate=6e-3, seed=4, length=128))
    return folder
