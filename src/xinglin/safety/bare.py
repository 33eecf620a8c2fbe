"""Names that no field, title or particular gives away: a name's characters between words that stand beside names.

给X换了药, 术后第二天X诉切口痛, 查房X一般情况可. Both sides must fit: what leads to a person, and what a person does
or undergoes. A name of two characters needs a stronger left side than one of three, and a surname that is an everyday
word counts only before two given characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from xinglin.safety.entity import Span
from xinglin.safety.lexicon import is_ordinary, names

_WORDS = (
    r"给|把|将|被|让|叫|请|找|替|陪|帮|问|接|送|扶|劝|喊|等|带|背|抱|抬|推|派|委托|委派|护送|搀扶|陪同|陪护|告诉|告知|转告|"
    r"通知|联系|联络|询问|安慰|提醒|麻烦|感谢|多谢|嘱|嘱咐|轮到|属于|对象|病人|患者|患儿|产妇|家属|家长|病友|室友|爱人|老伴|"
    r"老公|老婆|丈夫|妻子|儿子|女儿|母亲|父亲|妈妈|爸爸|孩子|孙子|孙女|同事|同学|邻居|朋友|护工|保姆|职工|员工|学生|业主|乘客|"
    r"人是|名是|名为|人为|者为|者是|我是|他是|她是|就是|这是|叫做|名叫|本人|交给|转给|发给|寄给|递给|留给|支付给|赔付给|"
    r"主刀|一助|二助|麻醉|巡回|器械|记录|审核|复核|经办|签收|签名|签字|落款|值班|交班|接班|查房|会诊|主任|医生|医师|大夫|护士|"
    r"护士长|教授|院长|技师|药师|组长|队长|社工|志愿者|联系人|负责人|代理人|受益人|投保人|被保险人|申请人|监护人|委托人|收件人|"
    r"床位?[ ,，:：]{0,2}|[其之者儿的](?:父|母|子|女|妻|夫|兄|弟|姐|妹|孙|媳|婿)|户主|经办|科的|挂的是|"
    r"挂了?|预约了?|看的是"
)
_STRONG = rf"{_WORDS}|号[ ,，:：]|[@＠—–]\s?|[.。;；,，:：!！?？\n\t(（\[【「『“\"'、/|>·•*-]\s{{0,3}}"
_WEAK = r"[跟同与和及对为由向见到从天晚后前午晨上日才时刻在是年月而故即并使令以]|\s"
_LED = re.compile(rf"(?:{_WORDS})$")
_LEFT = re.compile(rf"(?:^|{_STRONG})$")
_LEFT_WEAK = re.compile(rf"(?:^|{_STRONG}|{_WEAK})$")
_REACH = 4
_RIGHT = re.compile(
    r"[ \t]{0,2}(?:$|[^\u4e00-\u9fff0-9A-Za-z×*·]|[ \t][\u4e00-\u9fff0-9]|[0-9男女]|"
    r"[今昨明前近最已曾刚正仍尚继又再还也都才就便均只并必应须需要想能可该会拟请让给把将被对向跟和与及或从自由在于到去来回"
    r"的了是有无未没不因为诉说称述问答叫打接送转收交付签办换测量做行吃喝服用住出入进上下躺坐站走睡醒哭痛疼晕吐咳发病突"
    r"体血心腹胸头腿手脸脚神精饮食情状态病术检化验报复随预挂候看陪照帮替找等告通联确同提反表主代先后家本你我他她您很"
    r"尽早晚值一二两三四五六七八九十半]|觉|感|仅|受|讲|过|领|取|推|按|拒|要求|老师|阿姨|同志|女士|先生|医|护|大夫)"
)
_VERBAL = re.compile(
    r"神志|精神|体温|血压|心率|家属|到\d|[诉说称述问答打接送换测做吃喝服住躺坐站走睡醒哭痛疼晕吐咳因已昨今刚拟签办]|的(?:报告|检查|家属|结果|手术|母亲|父亲)"
)


def find_bare(text: str) -> Iterator[Span]:
    """Likely names by their characters and by both sides, pet names, and rare surnames before a doctor's title."""
    yield from _pets(text)
    for match in _TITLED.finditer(text):
        yield Span("DOCTOR", *match.span(1), 3)
    known = names()
    for match in _surname().finditer(text):
        at = match.start()
        lead = len(match.group())
        if is_ordinary(text, at) or text[max(0, at - 1) : at + 1] in known.taken:
            continue
        before = text[max(0, at - _REACH) : at]
        for length in (2, 1):
            end = at + lead + length
            given = text[at + lead : end]
            if len(given) < length or any(one not in known.given for one in given):
                continue
            if given in _WORD or (length == 2 and is_ordinary(text, at + lead)):
                continue
            if _fits(text, at, end, before, everyday=lead == 1 and match.group() in known.doubtful):
                yield Span("NAME", at, end, 2)
                break


_WORD = frozenset(
    ["正常", "长达", "刚刚", "可能", "长期", "平时", "明显", "明白", "平常", "常常", "安静", "安定", "成长"]
)
_START = r"(?:^|(?<=[^\u4e00-\u9fffA-Za-z0-9]))"
_PET = (
    "妞豆糖果乐球朵萌丫贝米甜圆嘟毛蛋虎胖壮涵轩萱瑶琪琳婷莹晶晨晗洋阳欢笑悠悦彤菲依蕾薇倩媛娜宝雨雪兰"
    "芳强丽明红军伟杰敏娟燕琴萍玲霞梅英刚勇飞龙涛波鹏辉超磊静慧佳欣怡"
)
_PARENT = r"的?(?:妈妈|爸爸|妈|爸|奶奶|爷爷|外婆|外公|姥姥|姥爷|家长|姐姐|哥哥|妹妹|弟弟|女儿|儿子|爱人|老公|老婆|媳妇)"
_DOES = r"[又昨今已说发烧吃睡不也还在住来去他她你咳吐哭闹打的要想需从自]"
_PETS = re.compile(
    rf"{_START}(?!宝宝)(([{_PET}])\2)(?={_DOES}|{_PARENT})|{_START}([阿小][{_PET}])(?={_DOES}|{_PARENT})|"
    rf"我是(?!宝宝)(([{_PET}])\5|[阿小][{_PET}])(?={_PARENT})|(?<=[给帮让陪带抱送])(?!宝宝)(([{_PET}])\7|[阿小][{_PET}])(?=[打吃喝换测做看去来到睡洗穿])"
)
_TITLED = re.compile(
    rf"{_START}([单解华古车管左关卜冷包房成边米盛卓花商简宗项原])(?=医生|大夫|主任|医师|教授|护士|护长|院长|老师[^们])"
)


def _pets(text: str) -> Iterator[Span]:
    """What children and friends are called: 妞妞又咳嗽了, 我是小雨妈妈."""
    for match in _PETS.finditer(text):
        at = next(number for number in (1, 3, 4, 6) if match.group(number))
        if not is_ordinary(text, match.start(at)):
            yield Span("NAME", *match.span(at), 2)


def _fits(text: str, at: int, end: int, before: str, *, everyday: bool) -> bool:
    """Whether both sides of a candidate stand beside names."""
    if not _RIGHT.match(text, end):
        return False
    strong = bool(_LEFT.search(before)) or at == 0
    if end - at >= 3:
        if everyday:
            return bool(_LED.search(before)) or (strong and bool(_VERBAL.match(text, end)))
        return strong or bool(_LEFT_WEAK.search(before)) or bool(_VERBAL.match(text, end))
    if everyday or text[at + 1 : end] in names().common:
        return False
    follows = _VERBAL.match(text, end) or not text[end : end + 1].isalpha()
    return strong and bool(follows or _LED.search(before))


@cache
def _surname() -> re.Pattern[str]:
    known = names()
    return re.compile("|".join([*sorted(known.compound), f"[{''.join(sorted(known.surnames))}]"]))
