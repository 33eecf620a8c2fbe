"""The words of the page in Chinese and English. Answers stay Chinese in both: so is the knowledge base."""

from __future__ import annotations

from dataclasses import dataclass

from xinglin.serve import disclaimer
from xinglin.serve.disclaimer import Disclaimer


@dataclass(frozen=True, slots=True)
class Words:
    """Every label of the page in one language."""

    code: str
    terms: Disclaimer
    ai_label: str
    short: str
    chat: str
    readme: str
    new_chat: str
    theme: str
    other_language: str
    you: str
    assistant: str
    greeting: str
    warning: str
    try_asking: str
    placeholder: str
    locked: str
    send: str
    stop: str
    expand: str
    accept: str
    refuse: str
    new_title: str
    new_body: str
    cancel: str
    confirm: str
    copy: str
    copied: str
    stopped: str
    cut: str
    looped: str
    thinking: str
    checking: str
    waiting: str
    busy: str
    failed: str
    too_long: str
    sources: str
    close: str
    facts: str
    source: str
    item: str
    licence: str
    withheld: str
    by_knowledge: str
    by_model: str
    by_model_raw: str
    by_system: str
    kind_summary: str
    kind_record: str
    kind_other: str
    ask_next: str
    seconds: str
    about: str
    marks_title: str
    mark_knowledge: str
    mark_model: str
    mark_system: str
    terms_title: str
    knowledge_title: str


ZH = Words(
    code="zh",
    terms=disclaimer.ZH,
    ai_label=disclaimer.AI_LABEL,
    short=disclaimer.SHORT,
    chat="对话",
    readme="说明",
    new_chat="新对话",
    theme="切换深色或浅色",
    other_language="EN",
    you="您",
    assistant="杏林",
    greeting="您好，我是杏林，一个AI医学资料助手，不是医生。我从知识库中查找药品、疾病和中药的资料，每句话都标明出处；知识库里没有的，我会直说。",
    warning="仅供研究与学习，不用于诊断、治疗或开具处方。紧急情况请立即拨打 120。",
    try_asking="可以这样问",
    placeholder="输入药品、疾病或中药的问题",
    locked="请先阅读并同意使用条款",
    send="发送",
    stop="停止",
    expand="放大输入框",
    accept="同意并开始",
    refuse="暂不同意",
    new_title="开始新对话？",
    new_body="当前对话的内容将被清空，无法恢复。",
    cancel="取消",
    confirm="清空并开始",
    copy="复制",
    copied="已复制",
    stopped="已停止",
    cut="已达到长度上限",
    looped="回答开始重复，已停止",
    thinking="正在查阅知识库",
    checking="正在核对模型的补充",
    waiting="前面还有 {n} 个问题",
    busy="目前提问较多，请稍后再试。",
    failed="抱歉，回答时出了错。请重试；如果反复出现，请查看服务端日志。",
    too_long="问题太长了，请缩短到 {n} 字以内。",
    sources="来源",
    close="关闭",
    facts="包含的事实",
    source="来源文件",
    item="位置",
    licence="许可",
    withheld="剂量不展示",
    by_knowledge="知识库",
    by_model="模型 · 已核对",
    by_model_raw="模型 · 未核对",
    by_system="系统提示",
    kind_summary="自写概要 · 未经医师审核",
    kind_record="真实记录",
    kind_other="资料",
    ask_next="继续问",
    seconds="{n} 秒",
    about="杏林是一个开源的中文医学助手：先在知识库中查找您问的药品、疾病或中药，引用原文回答；"
    "再让语言模型补充，但只保留知识库能够逐句支持的句子；知识库里没有的，它会直说，不会猜。\n"
    "点击回答中的编号可以查看所引段落、其中的事实、来源文件和许可。对话只保存在内存中，关闭服务即消失；页面不访问任何外部网站。",
    marks_title="每句话的标记",
    mark_knowledge="直接引自知识库，带有出处编号。",
    mark_model="由语言模型写出，且每个要点都与知识库的事实一致；不一致的句子已被略去。",
    terms_title="使用条款",
    mark_system="系统的安全提示或说明，不是医学资料。",
    knowledge_title="知识库的来源与许可",
)
EN = Words(
    code="en",
    terms=disclaimer.EN,
    ai_label=disclaimer.AI_LABEL_EN,
    short=disclaimer.SHORT_EN,
    chat="Chat",
    readme="Readme",
    new_chat="New chat",
    theme="Switch between dark and light",
    other_language="中",
    you="You",
    assistant="Xinglin",
    greeting="Hello, I am Xinglin, an AI assistant for medical reference, not a doctor. I look up medicines, diseases "
    "and herbs in a knowledge base and cite every sentence; what is not in it I say plainly. Please ask in Chinese: "
    "the knowledge base and the answers are Chinese.",
    warning="For research and study only, not for diagnosis, treatment or prescriptions. In an emergency call 120.",
    try_asking="Try asking",
    placeholder="Ask about a medicine, disease or herb",
    locked="Please read and accept the terms first",
    send="Send",
    stop="Stop",
    expand="Enlarge the input",
    accept="Accept and start",
    refuse="Not now",
    new_title="Create a new chat?",
    new_body="The messages of this chat will be cleared and cannot be restored.",
    cancel="Cancel",
    confirm="Clear and start",
    copy="Copy",
    copied="Copied",
    stopped="Stopped",
    cut="Length limit reached",
    looped="The answer began to repeat itself and was stopped",
    thinking="Looking it up",
    checking="Checking what the model adds",
    waiting="{n} questions before yours",
    busy="Many questions at the moment, please try again shortly.",
    failed="Sorry, something went wrong. Please try again; if it happens again, see the server's log.",
    too_long="The question is too long, please keep it below {n} characters.",
    sources="Sources",
    close="Close",
    facts="Facts stated",
    source="Source",
    item="Place",
    licence="Licence",
    withheld="dose not shown",
    by_knowledge="Knowledge base",
    by_model="Model · checked",
    by_model_raw="Model · unchecked",
    by_system="Notice",
    kind_summary="Own summary · not reviewed by a physician",
    kind_record="Real record",
    kind_other="Material",
    ask_next="Ask next",
    seconds="{n} s",
    about="Xinglin is an open-source Chinese medical assistant. It first looks your medicine, disease or herb up in a "
    "knowledge base and quotes it; then a language model may add to it, but only sentences that the facts support are "
    "kept. What is not in the knowledge base it says plainly instead of guessing.\n"
    "Click a number in an answer to see the passage, its facts, its source and licence. Conversations live in memory "
    "only and end with the server; the page requests nothing from any other site.",
    marks_title="The mark on every sentence",
    mark_knowledge="Quoted from the knowledge base, with its citation.",
    mark_model="Written by the language model, every point of it backed by the facts; other sentences were dropped.",
    terms_title="Terms of use",
    mark_system="A safety line or a note of the system, not medical material.",
    knowledge_title="Sources and licences of the knowledge base",
)


def words(language: str) -> Words:
    """The words of a language code; anything but English is Chinese."""
    return EN if language == "en" else ZH
