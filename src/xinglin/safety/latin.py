"""Names with a dot (阿卜杜拉·买买提) and names in Latin letters (Zhang Wei, John Smith)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from xinglin.safety.entity import Span
from xinglin.safety.lexicon import foreigners, names

_SOUNDS = (
    "阿卜不都杜布拉买提木江尔古丽热汗扎西卓玛艾力依米拉克然帕孜娜迪里亚比合提别吐逊肉苏莱曼亚森玉素甫伊马斯"
    "巴特图乌云其格旺姆次仁多吉丹增索朗白央金尼平措益拉姆达瓦洛桑格桑罗顿珠强久美朋"
    "麦麦提萨哈吾守居来提海沙塔衣明卡得穆罕默热合曼夏木西丁赛福鼎加那提努尔兰叶尔肯赫买合巴依德勒哈什约翰玛"
    "丽史密斯安德烈森伊万诺夫维奇彼得罗大卫詹姆丝凯琳莎露易杰克汤姆逊温妮托利亚历山纳威廉乔治戴菲查理桑戈娃"
    "柯基高莫夫娅库兹佐藤"
)
_DOTTED = re.compile(rf"[{_SOUNDS}]{{2,7}}(?: ?[·.] ?[{_SOUNDS}]{{2,7}}){{1,2}}(?![综征病氏手术反试测分法\u300b])")
_LEAD = re.compile(r"^(?:病人|患者|姓名|叫|是|大夫|医生|主任)+")
_KEYED = re.compile(
    r"(?:姓名|患者|病人|医生|医师|主治医师|家属|联系人|英文名|名字|我叫|叫|我是|(?i:\bname|\bpatient|"
    r"\bmy name is|\bi am|\bi'm|\bcontact|"
    r"\bdoctor|\bphysician|\bdr|\bmrs?|\bms|\bmiss|\bprof)\.?)"
    r"[ \t:：=\"'“]{0,5}([A-Z][a-z'’\-]{1,14}(?:[ ·,]{1,2}(?:[A-Z]\.? )?[A-Z][a-z'’\-]{1,14}){0,2}|"
    r"[A-Z]{2,10}(?:[ ,]{1,2}[A-Z]{2,12}){1,2})(?![A-Za-z0-9])"
)
_TWO = re.compile(
    r"(?<![A-Za-z0-9.\-])([A-Z][a-z]{1,10}|[A-Z]{2,8})[ ,·]{1,2}((?:[A-Z]\.? )?(?:[A-Z][a-z'\-]{1,14}|"
    r"[A-Z]{2,14}))(?![A-Za-z0-9\-])"
)
_SYLLABLE = (
    r"(?:zh|ch|sh|[bpmfdtnlgkhjqxrzcsyw])?"
    r"(?:iang|iong|uang|ang|eng|ing|ong|ian|iao|uan|uai|ai|ei|ao|ou|an|en|in|un|ia|ie|iu|ua|uo|ui|ue|[aoeiuv]|er)"
)
_PINYIN = re.compile(rf"{_SYLLABLE}(?:[\-']?{_SYLLABLE}){{0,2}}", re.IGNORECASE)
_NO_NAMES = frozenset(
    [
        "Type",
        "Stage",
        "Grade",
        "Class",
        "Gram",
        "Doppler",
        "Crohn",
        "Parkinson",
        "Alzheimer",
        "Hodgkin",
        "Barrett",
        "Cushing",
        "Graves",
        "Addison",
        "Bell",
        "Down",
        "Marfan",
        "Wilson",
        "Hashimoto",
        "Syndrome",
        "Disease",
        "Test",
        "Score",
        "Scale",
        "Index",
        "Vitamin",
        "Omega",
        "China",
        "Beijing",
        "Shanghai",
        "Hospital",
        "University",
        "Journal",
        "Cell",
        "Nature",
        "Lancet",
        "The",
        "And",
        "For",
        "With",
        "Apple",
        "Windows",
        "Android",
    ]
)


def find_foreign(text: str) -> Iterator[Span]:
    """Every name of these two kinds in a normalised text."""
    if "·" in text or "." in text:
        yield from _dotted(text)
    yield from _whole(text)
    if _HAS_CAPITAL.search(text):
        yield from _latin(text)


_HAS_CAPITAL = re.compile(r"[A-Z][A-Za-z]")


_MORPHEMES = [
    "古丽",
    "扎西",
    "次仁",
    "卓玛",
    "买买提",
    "麦麦提",
    "阿依",
    "米热",
    "尼玛",
    "多吉",
    "旺堆",
    "央金",
    "拉姆",
    "达瓦",
    "格桑",
    "索朗",
    "娜扎",
    "巴特尔",
    "其其格",
    "乌云",
    "阿卜杜",
    "阿不都",
    "吾尔",
    "艾力",
    "依明",
    "木江",
    "提江",
    "平措",
    "罗布",
    "洛桑",
    "丹增",
]
_TOGETHER = re.compile(
    rf"(?=[{_SOUNDS}]{{0,3}}(?:{'|'.join(_MORPHEMES)}))[{_SOUNDS}]{{3,7}}(?![{_SOUNDS}·综征病氏手术族])"
)


def _whole(text: str) -> Iterator[Span]:
    """Names of other peoples of China written without a dot: at least three characters of the sounds, a known part
    among them."""
    for match in _TOGETHER.finditer(text):
        lead = _LEAD.match(match.group())
        start = match.start() + (lead.end() if lead else 0)
        if match.end() - start >= 3:
            yield Span("NAME", start, match.end(), 4)


def _dotted(text: str) -> Iterator[Span]:
    for match in _DOTTED.finditer(text):
        lead = _LEAD.match(match.group())
        start = match.start() + (lead.end() if lead else 0)
        if text[start : match.end()].replace(" ", "") not in foreigners() and text[start - 1 : start] != "《":
            yield Span("NAME", start, match.end(), 6)


def _latin(text: str) -> Iterator[Span]:
    for match in _KEYED.finditer(text):
        words = re.split(r"[ ,·]+", match.group(1))
        if not _NO_NAMES.intersection(words) and not (len(words) == 1 and _COMMON_WORD.match(words[0])):
            doctor = _DOCTOR.search(match.group()[: match.start(1) - match.start()]) is not None
            yield Span("DOCTOR" if doctor else "NAME", *match.span(1), 6)
    for match in _TWO.finditer(text):
        first, second = match.groups()
        if _is_pair(first, second.split()[-1]):
            yield Span("NAME", *match.span(), 4)


_DOCTOR = re.compile(r"医|主任|(?i:doctor|physician|dr\b|prof)")
_COMMON_WORD = re.compile(
    r"(?:The|This|That|And|In|On|At|Not|No|Yes|Here|Very|Also|From|Id|Is|Was|Has|With|Mr|Mrs|Ms|Dr|Type)$"
)


@cache
def _is_pair(first: str, second: str) -> bool:
    if first in _NO_NAMES or second in _NO_NAMES or first.isupper() != second.isupper():
        return False
    if first.capitalize() in names().western and len(second) > 2 and not first.isupper():
        return True
    one, other = first.lower(), second.lower()
    if len(one) + len(other) < 6:
        return False
    known = names().pinyin
    forwards = one in known and _PINYIN.fullmatch(other)
    backwards = other in known and _PINYIN.fullmatch(one)
    return bool(forwards or backwards)
