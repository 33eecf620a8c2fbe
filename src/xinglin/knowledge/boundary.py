"""Where a name may begin and end in a question: what touches it must be known not to belong to a longer name.

A known name inside a longer unknown one is another thing (破伤风, 妊娠高血压, 泼尼松龙), and Chinese writes no
blanks. So the words that may touch a name are listed; anything else means that the longer name is not known.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from xinglin.knowledge.store import CATIONS, FORMS, SALTS

Kind = Literal["drug", "disease", "herb"]

_UNIT = "mg|g|ml|ug|μg|mcg|iu|u|毫克|克|毫升|微克|单位|片|粒|颗|袋|包|支|瓶|滴|喷|次|天|日|周|个月|岁|度|小时|种|个|盒"
_NUMERAL_BEFORE = re.compile(rf"(?:\d|[一二两三四五六七八九十半几])(?:{_UNIT})\Z")
_NUMERAL_AFTER = re.compile(rf"(?:\d+(?:\.\d+)?|[一二两三四五六七八九十半每几])(?:{_UNIT}|起|定|般|直|旦|到)")

_BOTH = (
    "吗 呢 吧 啊 呀 哦 嘛 的 是 有 和 与 或 跟 及 能 会 该 吃 服 用 喝 打 得 患 治 对 在 就 都 着 了 给 让 叫 这 "
    "哪 也 要 比较 以及 还是 可以 应该 应当 需要 怎么 怎样 如何 什么 哪些 为什么 多少 请问 我 你 您 他 她 它 "
    "孩子 小孩 宝宝 老人 孕妇 产妇 患者 病人 服用 使用 口服 得了 患有 患上 治疗 预防 期间 之间 一起 同时 因为 "
    "由于 引起 导致 引发 属于 合并 并发 伴 加 能否 是否 或者 而 但"
)
# 不 is missing on purpose (不稳定型心绞痛), and so are 小儿, 老年, 新生儿: those diseases have names of their own.
_BEFORE_ONLY = (
    "含 开 买 查 看 为 到 除 还 把 被 喂 种 吃过 用过 服过 得过 患过 喝过 打过 有点 有些 经常 总是 老是 一直 "
    "突然 确诊 怀疑 疑似 诊断 关于 介绍 解释 比如 例如 包括 叫做 称为 家里人 家人 朋友 妈妈 爸爸 母亲 父亲 爷爷 "
    "奶奶 老公 老婆 女性 男性 男人 女人 大人 成人 老年人 小朋友 医生 大夫 想知道 知道 了解 控制 缓解 患儿 停 "
    "停了 换 换成 输 注射 外用 涂 抹 皮下 静脉 可用 可吃 请列出 列出 说明 写出 告诉 描述 说说 聊聊 你好 您好 "
    "调理 选 选用 选择 角度看 中医里 方用 药店里 遵守 只 同服 服药 用药 一下 分类中 名叫 "
    "爸 妈 减少 避免 对于 进行 做 去做 做完 干扰"
)
_AFTER_ONLY = (
    "里面 因此 所以 怎 如果 几 多久 多大 多长 以后 以前 之后 之前 时候 为何 何时 什 咋 该不该 可不可以 可能 "
    "可引起 可导致 可治 可用 可吃 可否 常见 常用 一般 通常 主要 平时 发作 严重 出现 到什么 到底 属 归 含 由 拖着 "
    "控制 挂 看 去 去医院 做 查 需 应 须 吃完 过量 过期 漏服 忘 停药 停用 中毒 皮试 用药 服药 饮食 忌口 食谱 "
    "预后 病因 原因 诊断 传染 遗传 会不会 严不严重 患儿 人群 家属 好治 好不好 能不能 痊愈 根治 复发 手术 怀孕 "
    "孕期 哺乳 又 只 区别 效果 疗效 作用 贵 价格 安全 适合 具有 具体 合适 成人 儿童 老年人 归为 药盒 大概 大约 "
    "最 带来 禁 忌 慎 注意 必须 什么时候 既 除了 除 与否 管 冲 卖 好用 好吗 "
    "究竟 包括 包含 取 高于 低于 结束后 容易 更容易 很像 通过 后果 来源于 "
    "早上 早晨 中午 晚上 睡前 长期 急性发作 伤肾 伤肝 伤胃"
)
# Words that only end or begin with a listed one (肾功能, 还原酶).
_OTHER_BEFORE = "功能 性能 智能 足跟 脚跟"
_OTHER_AFTER = (
    "还原 能量 能源 要素 会阴 对氨 对氯 对甲 有机 有核 打击 加替 加巴 加压 去甲 去氧 应激 由来 看护 治肝 管型 "
    "管炎 冲剂 伴性 做作 禁食 几何 而后 叫醒 服毒 在体 在位 "
    "含片 口服液 口服溶 口服混 口服乳 配方颗粒"
)
_BEFORE = (*_BOTH.split(), *_BEFORE_ONLY.split())
_AFTER = (*_BOTH.split(), *_AFTER_ONLY.split())
_NOT_BEFORE = tuple(_OTHER_BEFORE.split())
_NOT_AFTER = tuple(_OTHER_AFTER.split())
_STILL_AFTER = re.compile(
    "还(?!原)|不(?![全耐良稳典])|没(?![食药])|那(?=[么个些种怎要应呢我能可该是会有])|可(?=[以能不用吃])"
)
_GLUE = ("病人", "患者", "病", "症", "药物", "药", "人", "时", "后", "前", "中", "里")
"""Behind a name these are no part of it if a boundary follows them (高血压病怎么办, 感冒时能…)."""
_DRUG_BEFORE = ("儿童", "小儿", "吸入用", "外用")
_PREGNANT = "妊娠哺乳"
_JOINTS = "/-+·&~'_×*"
"""Signs that join the parts of one name; other punctuation separates."""
_FORM_WORDS = re.compile("(?:缓释|控释|肠溶|分散|口服|复方|儿童|小儿|速释|鼻用|吸入用?|干)*")
_SHORT = 2


@dataclass(frozen=True, slots=True)
class Place:
    """A name at [start, end) of a folded text. `gaps` are the positions before which a blank stood.

    `before` and `after` are attribute words (with relations) by where they end and where they start.
    """

    text: str
    gaps: frozenset[int]
    before: dict[int, frozenset[str]]
    after: dict[int, frozenset[str]]


def opens(place: Place, at: int, kind: Kind) -> bool:
    """Whether a name of this kind may begin at `at`."""
    text = place.text
    if _separated(place, at, at - 1, kind):
        return True
    head = text[max(at - 8, 0) : at]
    if head.endswith(_NOT_BEFORE):
        return False
    if head.endswith(_BEFORE) or _NUMERAL_BEFORE.search(head) or (kind == "drug" and head.endswith(_DRUG_BEFORE)):
        return True
    if head.endswith("那"):
        return _separated(place, at - 1, at - 2, kind)
    found = place.before.get(at, frozenset())
    # 妊娠高血压 and 过敏性… are diseases of their own; 孕期布洛芬… asks about the drug.
    return bool(found) if kind == "drug" else bool(found - {_PREGNANT, "禁忌"})


def closes(place: Place, at: int, kind: Kind, *, short: bool = False, glue: bool = True) -> bool:
    """Whether a name of this kind may end at `at`; `short` names (a brand of two characters) end more rarely."""
    text = place.text
    if _separated(place, at, at, kind):
        return True
    if text.startswith(_NOT_AFTER, at):
        return False
    if place.after.get(at) or text.startswith(_AFTER, at):
        return True
    if _NUMERAL_AFTER.match(text, at) or _STILL_AFTER.match(text, at):
        return True
    return glue and not short and _after_glue(place, at, kind)


def _after_glue(place: Place, at: int, kind: Kind) -> bool:
    words = (word for word in _GLUE if place.text.startswith(word, at))
    return any(closes(place, at + len(word), kind, glue=False) for word in words)


def _separated(place: Place, at: int, neighbour: int, kind: Kind) -> bool:
    """Whether `at` is an end of the text, or a blank or punctuation stands there (`neighbour` is its place)."""
    if neighbour < 0 or neighbour >= len(place.text) or at in place.gaps:
        return True
    character = place.text[neighbour]
    return not character.isalnum() and not (kind == "drug" and character in _JOINTS)


def salted(text: str, start: int) -> int:
    """Where a drug's name starts with the salts before it (盐酸二甲双胍)."""
    while salt := next((salt for salt in SALTS if text.endswith(salt, 0, start)), ""):
        start -= len(salt)
    return start


def formed(text: str, end: int) -> list[int]:
    """Where a drug's name may end with cations and dosage forms behind it, the farthest first; `end` itself is last."""
    ends = [end]
    for cation in ("", *CATIONS):
        at = end + len(cation)
        if not text.startswith(cation, end):
            continue
        words = _FORM_WORDS.match(text, at)
        after = {at, words.end() if words else at}
        forms = [spot + len(form) for spot in after for form in FORMS if text.startswith(form, spot)]
        ends += [at, *after, *forms]
    return sorted(set(ends), reverse=True)


def is_short(name: str) -> bool:
    """Whether a name is so short that ordinary words hold it (可定, 代文)."""
    return len(name) <= _SHORT
