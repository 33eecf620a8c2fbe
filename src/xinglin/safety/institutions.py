"""Hospitals and employers: named ones, not 当地医院 or 三甲医院."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from xinglin.safety.entity import Span
from xinglin.safety.lexicon import names, places
from xinglin.safety.places import H

_HOSPITAL = re.compile(
    r"医院(?:[东南西北新老本总]院区?|[\u4e00-\u9fff]{2}院区|[\u4e00-\u9fff]{0,2}分院)?|卫生院|"
    r"卫生服务(?:中心|站)|妇幼保健(?:院|所|站)|保健院|门诊部|诊所|"
    r"卫生[所室]|疗养院|医学中心|医疗中心|体检中心|急救中心|(?:公共卫生)?临床中心|疾病预防控制中心|"
    r"疾控中心|护理院|养老院|敬老院|福利院"
)
_NUMBERED = re.compile(r"第[一二三四五六七八九十\d]{1,3}|附属|(?<!\d)\d{3}|[一二三四五六七八九]〇[一二三四五六七八九]")
_LEVELLED = re.compile(
    r"^(?:省|市|县|区|州|旗)(?:级)?(?:第[一二三四五六七八九十]|人民|中心|中医|妇幼|妇产|儿童|肿瘤|口腔|立|"
    r"传染病|精神卫生|精神病)"
)
_SHORT = re.compile(
    r"(?<![\u4e00-\u9fff第])?(?:省立|[\u4e00-\u9fff]{0,2}?(?:省|市|县|区|州|人民|中医|附属?|医大|大学|北医|"
    r"浙大|交大|川大|中大|山大|郑大|吉大|苏大|"
    r"武大|南医|重医|哈医大|广医|安医|福医|河医|南方|军|京大?)(?:第)?[一二三四五六七八九](?:附)?院)"
    r"|(?<!\d)(?:301|302|304|305|306|307|309)医?院?(?=[看住查做挂的门医院就,，。、]|$)"
)
_ORG_END = (
    r"(?:(?:股份|责任)?有限(?:责任)?公司|公司|集团|大学|中学|小学|学院|学校|幼儿园|职校|技校|银行|支行|"
    r"信用社|(?<![药剂处配])厂|派出所|事务所|研究[所院]|设计院|税务局|教育局|"
    r"公安局|交警队|法院|检察院|居委会|村委会|"
    r"街道办|委员会|工作室|俱乐部|酒店|宾馆|饭店|超市|商场|物业|车间|部队|电厂|煤矿|矿务局|铁路局|供电局|"
    r"邮局|报社|电视台|出版社|合作社|敬老院|工地|"
    r"[一二三四五六七八九十]中(?!学)|附中|附小|实验小学)"
)
_ORG_KEY = re.compile(
    r"(?:(?:工作|所在|任职|就业|用人|投保|参保|原)?单位(?:名称)?|学校|公司(?:名称)?|就读学校|院校|"
    r"(?i:\bemployer|\bcompany|\borganization|"
    r"\bschool))[\"' ]{0,3}(?:[:=\t|]|为(?=[^了什何])|名称是)[\"' \t]{0,4}"
)
_ORG_VALUE = re.compile(r"(?:(?!电话|手机|联系|职业|地址|邮编|  )[^\n\t,，。;；|\"'<>?？!！\[（]){2,40}")
_BLANK = re.compile(
    r"(?:未|不详|无|同上|保密|略|暂|自由职业|退休|个体|务农|无业|[a-zA-Z%/\d]+$|mmol|mg|g/|[A-Za-zμ]{1,5}/)"
)
_ORG_PERSON = re.compile(
    rf"(?:就职于|任职于|供职于|工作于|受雇于|就读于|毕业于|考[上入到]了?|就读|入职|上班的|我在|他在|她在|"
    rf"在|是|来自|毕业|任教于|系|为|户籍挂靠|(?<=[,，。;；\s(（]))((?:{H}|"
    rf"[（(）)A-Za-z0-9]){{2,20}}?{_ORG_END}(?:[\u4e00-\u9fff]{{2,6}}(?:支行|分行|分公司|营业部|分局|校区)|"
    rf"附属[\u4e00-\u9fff]{0, 4}(?:中学|小学|学校))?)"
    r"(?=(?:[\u4e00-\u9fff]{0,6})?(?:上班|工作|任职|打工|当|做|读|上学|念|教书|任教|就读|的?(?:员工|职工|"
    r"学生|教师|老师|会计|司机|工人|同事|厨师|保安|护士|退休|"
    r"工程师|文员|程序员|前台|经理|销售|大[一二三四])|大[一二三四]|[初高][一二三]|[一二三四五六]年级|退休|"
    r"实习|干活|[,，。]))"
)
_ORG_STRONG = re.compile(
    rf"(?:就职于|任职于|供职于|工作于|受雇于|就读于|毕业于|任教于|入职)((?:{H}|[（(）)A-Za-z0-9]){{2,20}}?{_ORG_END}"
    r"(?:附属[\u4e00-\u9fff]{0,4}(?:中学|小学|学校))?)"
)
_MAKER = re.compile(r"制药|药业|药厂|医药|生物科技|生物工程|医疗器械|保健品|出版社")
_GENERIC_ORG = re.compile(
    rf"^(?:[一二三两家个所间本外某大小私国合民上读念中高]|互联网|外资|国有|贸易|物流|软件|广告|建筑|装修|"
    rf"保险|外贸|科技|电子|食品|服装|化工|当地|本地|附近|私立|公立|职业|重点|普通|医科|"
    rf"师范|技术){{0,8}}{_ORG_END}$"
)
_CUTS = re.compile(
    r"(?:我院|本院|患者|目前|曾经?|今天|昨天|去年|今年|上周|入住|转入|转诊|推荐|建议|经过?|医生|大夫|主任|"
    r"时|后|前|日|月|年|即|并|来|回|看过?|做过?|查|进|过|由|向|赴|请|发|"
    r"联系|预约|挂号?|选择|以及|或者?|打算|准备|听说|比如|例如|像|如|位于|叫|名为|老家|还是|不如|优于|及|"
    r"与|跟|和|同|:)+"
)


_BRAND = frozenset("济惠慈恩益寿泰健玛丽圣佳善爱仁")
_NO_ORG = re.compile(
    r"(?:最近|前|今|明|昨|当|现|一[位个家名]|这|那|某|个|可以|能|刚|并|然后|多|如果|此时|时|正|因|后|去)|"
    r"[要进搞逛能]|参加|毕业|幼儿园$|乙肝"
)


@cache
def _known() -> re.Pattern[str]:
    return re.compile(f"(?:{places().known})")


@cache
def _generic() -> re.Pattern[str]:
    return re.compile(f"(?:{places().generic}|[的了]|卫生|服务|保健|[一二三四五六七八九十])+")


@cache
def _famous() -> re.Pattern[str]:
    names = "|".join(places().hospitals)
    return re.compile(
        rf"(?<=[在去到从来转往院])(?:{names})(?=[看住查做挂就的门急复检手治会医心肿内外妇儿生病了,，。、！!？?]|$)"
    )


def find_institutions(text: str) -> Iterator[Span]:
    """Every named hospital, and every employer or school that is somebody's, in a normalised text."""
    if "院" in text or _OTHER.search(text):
        yield from _hospitals(text)
        yield from (Span("HOSPITAL", *match.span(), 4) for match in _SHORT.finditer(text))
    yield from (Span("HOSPITAL", *match.span(), 3) for match in _famous().finditer(text))
    for match in _ORG_KEY.finditer(text):
        value = _ORG_VALUE.match(text, match.end())
        if value and not _BLANK.match(value.group()) and re.search("[\u4e00-\u9fffA-Za-z]{2}", value.group()):
            yield Span("ORG", value.start(), value.start() + len(value.group().rstrip()), 5)
    for pattern in (_ORG_PERSON, _ORG_STRONG):
        for match in pattern.finditer(text):
            name = match.group(1)
            bank = name.endswith("银行") and text[match.start(1) - 1] not in "在于职"
            vague = _NO_ORG.match(name) or _NO_ORG.search(name, 0, len(name) - 2)
            if not (bank or vague or _GENERIC_ORG.match(name) or _MAKER.search(name)):
                yield Span("ORG", *match.span(1), 5)


_OTHER = re.compile(r"门诊部|诊所|卫生|中心")


def _hospitals(text: str) -> Iterator[Span]:
    floor = 0
    for match in _HOSPITAL.finditer(text):
        start = _walk(text, match.start(), floor)
        name = text[start : match.start()]
        floor = match.end()
        if name and _is_named(name) and not text.startswith("感染", match.end()):
            yield Span("HOSPITAL", start, match.end(), 6)


def _walk(text: str, end: int, floor: int) -> int:
    """Where the name of an institution begins that ends here."""
    stops = places().stops
    start = end
    while (
        start > floor
        and end - start < 24
        and text[start - 1] not in stops
        and (text[start - 1].isalnum() or text[start - 1] in "()（）·")
    ):
        start -= 1
    place = _known().search(text, start, end)
    if place:
        return place.start()
    last = start
    for cut in _CUTS.finditer(text, start, end):
        if end - cut.end() >= 2:
            last = cut.end()
    return last


def _is_named(name: str) -> bool:
    """Whether this says which one."""
    if _known().search(name) or _NUMBERED.search(name) or _LEVELLED.match(name):
        return True
    if name in places().hospitals:
        return True
    rest = _generic().sub("", name)
    return 2 <= len(rest) <= 4 and name.startswith(rest) and all(one in _BRAND or one in names().given for one in rest)
