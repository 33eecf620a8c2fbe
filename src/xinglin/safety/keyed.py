"""Identifiers that are recognised by the word before them: numbers of records and examinations, WeChat, QQ, beds."""

from __future__ import annotations

import re
from collections.abc import Iterator

from xinglin.safety.entity import Span, Type

_IS = r"(?:号码?|编号|(?i:ID|no\.?))?[\"'*]{0,2}[ \t]{0,3}(?:[:#=|]|是|为|\()?[ \t\"'*]{0,4}(?:[Nn][Oo][.: ]{0,3}|#)?"
_VALUE = r"([A-Za-z]{0,6}[\-]?\d(?:[ \-/]?[0-9A-Za-z]){3,24})(?![0-9A-Za-z])"
RECORD_KEYS = (
    r"住院(?:号|编号|登记号|流水号|ID)|门\s?诊\s?(?:号|编号|卡号|ID)|病\s?案(?:首页)?\s?(?:号|编号)|"
    r"病\s?历\s?(?:号|编号|档案号|本号|卡号|ID)|登记号|"
    r"就诊(?:号|卡号?|编号|ID|流水号|序号)|"
    r"诊疗卡号?|健康卡号?|病人(?:ID|号|编号|唯一号)|患者(?:ID|号|编号|唯一号|主索引)|病员号|档案号|急诊号|"
    r"挂号(?:号|单号|编号)|建[档卡]号|诊疗号|"
    r"住院(?=[:#])|门诊(?=[:#]\s?[A-Za-z]{0,3}\d{5})|留观号|产检卡?号|保健手?册?号|预约号|入院号|"
    r"(?i:\bMRN|\bpatient[ _]?id|\bmedical record(?: number| no\.?)?|\badmission[ _]?(?:no|id|number)|"
    r"\bvisit[ _]?(?:no|id))|(?<![A-Za-z证])ID(?=号|[:])"
)
EXAM_KEYS = (
    r"(?:检查|检验|影像|病理|标本|样本|放射|超声|内镜|胃镜|肠镜|心电|脑电|化验|申请|报告|送检|检测|取样|"
    r"采样|申请检查|申请检验|医嘱|体检|彩超|B超)(?:号|编号|单号|单编号|ID|流水号|"
    r"序号|条码号?)|"
    r"(?:影像|病理|标本|样本|检查|检验|试管|采血管?)?条(?:形)?码号?|玻?片号|蜡块号|(?:CT|MRI?|DR|CR|X线|"
    r"X光|PET(?:-CT)?|ECT|US)号|"
    r"体检号|(?i:\baccession(?: number| no\.?)?|\bspecimen(?: id| no\.?)?|\bexam[ _]?(?:no|id))"
)
INSURANCE_KEYS = (
    r"医保(?:卡?号|卡|编号|账号|个人编号|电子凭证号?码?|证号|手册号|ID|登记号|识别码)|社保(?:卡?号|卡|编号|"
    r"账号|电脑号)|医疗保险(?:卡?号|证号|编号|手册号)|"
    r"社会保[障险](?:卡?号码?|卡|编号)|"
    r"参保(?:号|编号|人编号|证号)|(?:新)?农合(?:证?号|卡号|编号|证)|合作医疗(?:证?号|卡号|证)|保险?单(?:号|"
    r"编号)|医疗证号|个人编号|"
    r"(?i:\binsurance[ _]?(?:no|id|number))"
)
_KEYED: tuple[tuple[Type, re.Pattern[str]], ...] = (
    ("MRN", re.compile(f"(?:{RECORD_KEYS}){_IS}{_VALUE}")),
    ("EXAM_NO", re.compile(f"(?:{EXAM_KEYS}){_IS}{_VALUE}")),
    (
        "INSURANCE_NO",
        re.compile(f"(?:{INSURANCE_KEYS}){_IS}([A-Za-z]{{0,4}}\\d(?:[ \\-]?[0-9A-Za-z]){{5,27}})(?![0-9A-Za-z])"),
    ),
)
_WECHAT = re.compile(
    r"(?:微\s?信|薇信|威信|V信|v信|徽信|(?<![A-Za-z])(?i:wechat|weixin|wx|vx|v❤|\+v|加v)|加我?[Vv])(?:账号|"
    r"帐号|号码?|(?i: ?id))?"
    r"[\"' ]{0,3}(?:[:=]|是|为|叫|搜|加|联系)?[\"' (]{0,3}([A-Za-z_](?![A-Za-z_\-]{0,19}(?:[^A-Za-z0-9_\-]?(?:APP|"
    r"app)))[A-Za-z0-9_\-]{4,24})(?![A-Za-z0-9@])"
)
_WXID = re.compile(r"(?<![A-Za-z0-9])wxid_[A-Za-z0-9]{4,24}")
_QQ = re.compile(
    r"(?:(?<![A-Za-z@])[Qq]\s?[Qq]|扣扣|企鹅号?|(?<![A-Za-z])Q(?=号))(?:群)?(?:账号|帐号|"
    r"号码?)?[\"' ]{0,3}(?:[:=]|是|为|"
    r"加)?[\"' ]{0,3}([1-9]\d{4,10})(?![\dA-Za-z@])"
)
_BED = re.compile(
    r"(?:病\s?床号?|床\s?位?号|"
    r"床位(?=[:]))[\"']{0,2}[ \t]{0,3}[:#=]?[ \t\"']{0,3}([A-Za-z加+\-]{0,3}\d{1,4}(?:-\d{1,3})?(?!\d)床?)("
    r"?![张个年%岁])"
    r"|(?<![\d.A-Za-z\-~第每共约])((?:[加+A-Z][\-]?)?\d{1,3}[ ]?号?病?床)(?![位单被垫旁规]|的(?:医院|综合|"
    r"规模)|以[上下]|医院|规模|综合)"
    r"|((?:加)?[一二三四五六七八九十]{1,3}号?床)(?![位单被垫旁规]|以[上下]|医院)"
    r"|(?<![卧起上下离临单双大小新婴病温苗机河同一每坐牙铺躺爬尿赖气水蹦])床[: ]?(\d{1,3})(?![\d.天周日月年"
    r"次小时分个点%张岁度cC])"
)
_BED_TRAPS = re.compile(r"[张每共第有开放设增加约]$|[卧起上下离]$")


def find_keyed(text: str) -> Iterator[Span]:
    """Every identifier that stands behind its name in a normalised text."""
    for kind, pattern in _KEYED:
        yield from (
            Span(kind, *match.span(1), 10 if kind != "INSURANCE_NO" else 12) for match in pattern.finditer(text)
        )
    yield from (Span("WECHAT", *match.span(1), 8) for match in _WECHAT.finditer(text))
    yield from (Span("WECHAT", *match.span(), 9) for match in _WXID.finditer(text))
    yield from (Span("QQ", *match.span(1), 8) for match in _QQ.finditer(text) if len(match.group(1)) < 11)
    if "床" in text:
        yield from _beds(text)


def _beds(text: str) -> Iterator[Span]:
    for match in _BED.finditer(text):
        group = match.lastindex or 0
        start, end = match.span(group)
        if group == 1 or not _BED_TRAPS.search(text, max(0, start - 1), start):
            yield Span("BED", start, end, 6)
