"""Chinese personal names: by the field they stand in, by what surrounds them, and by the title behind them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from xinglin.safety.bare import find_bare
from xinglin.safety.entity import Span, Type
from xinglin.safety.lexicon import blanks, is_ordinary, names

_HAN = "\u4e00-\u9fff\u3400-\u4dbf"
_SEP = r"[\"'”’\]*) ]{0,3}[ \t]{0,3}[:=\t|][ \t\"'“*]{0,4}"
_DOCTOR = (
    r"(?:主治|经治|主管|主诊|接诊|管床|责任|值班|住院|手术|麻醉|主刀|检查|报告|审核|诊断|书写|签发|上级|"
    r"会诊|首诊|开单|申请|送检|检验|操作|记录|随访|执行|核对|家庭|签约|坐诊|复核|录入)?"
    r"(?:医师|医生|大夫|护士长?|药师|技师|麻醉师)(?:姓名|签[名字])?|主刀|一助|二助|术者|助手|经治|主治|主诊|主管|"
    r"(?:报告|审核|检验|检查|诊断|书写|记录|接诊|录入|操作|开单|核对|"
    r"执行)(?:人|者|员)|"
    r"(?i:\bdoctor(?:_?name)?|\bphysician|\bsurgeon|\bnurse)"
)
_PERSON = (
    r"(?:患者|患儿|病人|病员|病患|产妇|受检者?|被检者?|就诊人?|联系人|紧急联系人|家属|家长|监护人|收件人|"
    r"收货人|持卡人|投保人|被保险人|母亲|父亲|配偶|陪护|代办人|申请人|客户|孩子|宝宝|"
    r"本人|用户)?"
    r"(?:姓\s{0,4}名|名字|真名|曾用名|大名|全名|昵称|小名|网名)|(?:紧急)?联系人|收件人|收货人|户\s?名|"
    r"开户名|持卡人|投保人|被保险人|受益人|监护人|法定代理人|委托人|被委托人|"
    r"受托人|代办人|"
    r"陪护人?|陪同人?|申请人|受检者|被检者|受试者|供述者|病史陈述者|陈述者|供史者|联络人|寄件人|发件人|"
    r"付款人|收款人|缴费人|签\s?[名字]人?|署名|落款|(?:患者|家属|病人|监护人|"
    r"代理人)(?:或\w{2,5})?签[名字]|"
    r"(?i:\b(?:patient_?|full_?|user_?|real_?|contact_?|given_?|guardian_?)?name|\bcontact|\bpatient)"
)
_WEAK = (
    r"患者|患儿|病人|病员|病患|产妇|家属|家长|母亲|父亲|妈妈|爸爸|丈夫|妻子|老公|老婆|爱人|配偶|儿子|女儿|"
    r"儿媳|女婿|孩子|宝宝|外孙女?|孙子|孙女|爷爷|奶奶|外公|外婆|姥姥|姥爷|"
    r"哥哥|姐姐|弟弟|妹妹|表[哥姐弟妹]|堂[哥姐弟妹]|侄子|侄女|外甥女?|舅舅|姑姑|姨妈|叔叔|同事|同学|朋友|"
    r"邻居|室友|闺蜜|战友|病友|老师|班主任|保姆|护工|陪护|主任|院长|医生|大夫|医师|"
    r"教授|护士长?|"
    r"我(?:妈妈|爸爸|奶奶|爷爷|哥哥|姐姐|弟弟|妹妹|老公|老婆|[妈爸哥姐弟妹爷奶])|联系|致电|通知|转告|感谢|"
    r"拜托|委托|转给|寄给|交给|发给|找到?|陪|由|请|本人|学生|客户|"
    r"顾客|用户|男友|女友|男朋友|女朋友|未婚[夫妻]|伴侣|前[夫妻]|先生|太太|"
    r"经手人|主播|网友|机主|"
    r"司机|老板|经理|律师|警官|民警|志愿者|受害人|肇事者|当事人|死者|伤者|幼儿|新生儿|婴儿|长子|次子|长女|"
    r"次女|独子|独女|小儿子|小女儿|大儿子|大女儿"
)
_KEY_DOCTOR = re.compile(f"(?:{_DOCTOR}){_SEP}")
_KEY_PERSON = re.compile(f"(?:{_PERSON}){_SEP}")
_KEY_WEAK = re.compile(f"(?:{_WEAK})(?:{_SEP}|[(,:、 ]{{0,2}})")
_ADDRESSED = frozenset(
    [
        "先生",
        "小姐",
        "大夫",
        "大爷",
        "大妈",
        "大哥",
        "大姐",
        "大叔",
        "大娘",
        "大嫂",
        "伯伯",
        "叔叔",
        "同志",
        "同学",
        "姐姐",
        "妹妹",
        "哥哥",
        "弟弟",
    ]
)
_KEY_CLOSE = re.compile(f"(?:{_PERSON}|兹证明|实名|认证为|挂号人)[ \\t]{{0,3}}")
_KEY_STAFF = re.compile(f"(?:{_DOCTOR})[ \\t]{{0,3}}")
_KEY_MAKER = re.compile(r"[一-龥]{1,4}[人者员方子女母父亲][:：][ \t]{0,3}|\d{1,3}号?床[ ,，]{0,2}")
_KEY_SELF = re.compile(
    r"(?:[我他她](?:的名字|的姓名)?(?:叫做?|名叫)|名叫|(?<=[,。;:：\s])叫|名字(?:叫|是)|姓名是|取名叫?|"
    r"本名|真名(?:叫|是)|"
    r"全名(?:叫|是)|大名叫?|小名叫?|乳名叫?|"
    r"[子儿女宝妈爸哥姐弟妹人友公婆士生妇夫妻]叫做?|称呼我|叫我|我就是|我是|这是|这位是|我姓[一-龥]名?叫?|"
    r"他是|她是|自称|化名)[ \"“:]{0,2}"
)
_SURNAME_ONLY = re.compile(
    r"(?:(?<![百同老])[我他她您你贵]姓|免贵姓|[子女儿者人位士生公婆妈爸家妻夫]姓)(?!什么|啥|氏|名)[ :]{0,2}"
)
_PREFIXED = re.compile(r"(?<![从最大中多太极细窄瘦缩矮短弱过幼微渐偏更较很比略])[老小阿]([一-龥])")
_DOUBLED = re.compile(
    r"(?:闺女|女儿|儿子|孙子|孙女|外孙|外甥|侄女|孩子|宝宝|宝贝)((?![爷妈爸奶姥婆公叔姑姨哥姐弟妹健小常刚天年时日明白多大好慢渐偏往每])([一-龥]"
    r")\2)(?![一-龥]{0,1}地)"
)
_PET = re.compile(r"(?:我是|我叫|叫|名字是|昵称)[ :：]?([阿小大老][一-龥])(?=[^一-龥]|$)")
_AFTER_PREFIX = re.compile(
    r"$|[^一-龥]|[说来去在是今昨前最近因也和跟给让说问吃住她他你我您已又还有的做同早晚上下发这那两夫家个先这"
    r"要想陪叫出入患从自又突复诊痛发头胃血咳胸腹睡]"
)
_ASIDE = re.compile(
    r"[ \t,，、(|]{0,3}(?:性别[:：]?)?(?:[男女](?![方孩士生性朋友人科厕])|\d{1,3}\s?(?:岁|周岁|y)|"
    r"(?:身份证|手机|电话|联系方式|住院号|病历号|工号)|"
    r"1[3-9]\d{9})"
)
_NEXT = re.compile(
    r"[ \t]{0,2}(?:$|[ \t][一-龥]|[^一-龥0-9A-Za-z ·*×某#XxOo]|[男女0-9]|"
    r"[今因于说诉的是来在等已患从去与和跟及同到曾将现也都最近自又住电手年家入出主系两突前昨上做接签问吃陪您"
    r"你我他她它先拿让给没不感为才还护告称述确目请需复转收办拟伴既体发]|"
    r"打|叫|觉|躺|醒|反映|表示|身|护|医生|大夫|主任|医师|教授|先生|女士|小姐|老师|阿姨)"
)
_FOLLOW = re.compile(
    r"今[天年日早晚]|明[天年日早晚确显]|昨|前天|近[日来]|最近|平[时日]|先生|女士|小姐|大[夫爷妈哥姐娘]|"
    r"同[志学事]|主[任诉]|医|教授|老师|阿姨|奶奶|爷爷|安[排全]|成[年人]|"
    r"发[现病热烧]|生[于病]|"
    r"家[属人里]|兴[奋]|长期|全[身家]|国[家内]|月经|心[慌悸理]|福建|江[苏西]|广[东西]|安徽|南[京宁昌]|立即|"
    r"如[下果]|和他|和她|和我|本人|自[述诉]|中[午]|清[晨]|"
    r"春[节天]|夏天|秋天|冬天|可[以能]"
)
_ENUMERATION = re.compile(r"[ \t]{0,2}(?:[、,/;&\t ]|和|与|及)[ \t]{0,2}")
_SPACED = re.compile(rf"([{_HAN}])([ ]{{1,4}})([{_HAN}])(?:\2([{_HAN}]))?(?=$|[^{_HAN}A-Za-z]|\s)")
_PLAIN = re.compile(rf"[{_HAN}]{{2,4}}(?![{_HAN}A-Za-z0-9*×·])")
_OUTSIDE = re.compile(rf"[^{_HAN}A-Za-z0-9*×]")


def find_names(text: str) -> list[Span]:
    """Every Chinese personal name that its surroundings give away in a normalised text."""
    found = [*_behind_keys(text), *_before_titles(text), *_before_particulars(text), *_prefixed(text), *_free(text)]
    return [*found, *find_bare(text)]


def name_end(text: str, at: int) -> int:
    """Where a likely name that begins here ends: a surname and given characters; `at` where none does."""
    known = names()
    lead = 2 if text[at : at + 2] in known.compound else 1 if text[at : at + 1] in known.surnames else 0
    if (
        not lead
        or (lead == 1 and text[at] in known.doubtful)
        or is_ordinary(text, at)
        or text[max(0, at - 1) : at + 1] in known.taken
    ):
        return at
    first = at + lead
    if text[first : first + 2] in _ADDRESSED:
        return at
    if text[first : first + 1] not in known.given or (not first < len(text)):
        return at
    second = text[first + 1 : first + 2]
    if second and second in known.given and not _FOLLOW.match(text, first + 1):
        return first + 2
    return first + 1


def _behind_keys(text: str) -> Iterator[Span]:
    keys: tuple[tuple[re.Pattern[str], Type], ...] = ((_KEY_PERSON, "NAME"), (_KEY_DOCTOR, "DOCTOR"))
    for pattern, kind in keys:
        for match in pattern.finditer(text):
            yield from _listed(text, match.end(), kind)
    for pattern in (_KEY_CLOSE, _KEY_MAKER, _KEY_STAFF):
        for match in pattern.finditer(text):
            end = name_end(text, match.end())
            if end > match.end() and (_NEXT.match(text, end) or match.group().endswith("床")):
                yield Span("DOCTOR" if pattern is _KEY_STAFF else "NAME", match.end(), end, 5)
    for match in _KEY_WEAK.finditer(text):
        end = name_end(text, match.end())
        if end > match.end() and (_NEXT.match(text, end) or end - match.end() > 2):
            yield Span("DOCTOR" if _is_doctor(match.group()) else "NAME", match.end(), end, 5)
            yield from _more(text, end, "NAME")
    for match in _KEY_SELF.finditer(text):
        yield from _introduced(text, match)
    for match in _SURNAME_ONLY.finditer(text):
        surname = text[match.end() : match.end() + 1]
        if surname in names().surnames:
            end = match.end() + (2 if text[match.end() : match.end() + 2] in names().compound else 1)
            yield Span("NAME", match.end(), end, 4)


def _is_doctor(key: str) -> bool:
    return any(word in key for word in ("医", "大夫", "主任", "护士", "教授", "院长"))


def _listed(text: str, at: int, kind: Type) -> Iterator[Span]:
    """The name in a field, and those listed behind it."""
    end = _in_field(text, at)
    if end > at:
        yield Span(kind, at, end, 7)
        yield from _more(text, end, kind)


def _in_field(text: str, at: int) -> int:
    """Where the name in a field ends: any two to four characters that fill the field, or a likely name."""
    if match := _SPACED.match(text, at):
        word = "".join(match.group(1, 3)) + (match.group(4) or "")
        if word[0] in names().surnames and word not in blanks():
            return match.end()
    if match := _PLAIN.match(text, at):
        word = match.group()
        if (
            word in blanks()
            or word[:2] in blanks()
            or word[-2:] in ("医院", "医生", "主任", "大夫", "门诊", "病区", "科室")
        ):
            return at
        if _likely(word) or (len(word) < 4 and not is_ordinary(text, at) and not _SENTENCE.search(word)):
            return match.end()
    end = name_end(text, at)
    return end if end > at and (_NEXT.match(text, end) or _FOLLOW.match(text, end)) else at


_SENTENCE = re.compile(r"[的了吗呢吧我你您是有没不很在好请谢这那痛疼病症炎药科室]")


def _likely(word: str) -> bool:
    return (word[0] in names().surnames and not _SENTENCE.search(word) and len(word) < 4) or word[
        :2
    ] in names().compound


def _more(text: str, at: int, kind: Type) -> Iterator[Span]:
    """Names listed behind a name: 王芳、李强."""
    while match := _ENUMERATION.match(text, at):
        end = name_end(text, match.end())
        if end == match.end() or not _NEXT.match(text, end):
            return
        yield Span(kind, match.end(), end, 5)
        at = end


def _introduced(text: str, match: re.Match[str]) -> Iterator[Span]:
    """The name behind 我叫, 名叫 and the like; behind 我是 only one that cannot be anything else."""
    at, key = match.end(), match.group()
    end = name_end(text, at)
    if end > at and _NEXT.match(text, end):
        yield Span("NAME", at, end, 6)
    elif key.strip(' "“:') != "叫" and key.rstrip(' "“:').endswith(
        ("叫", "名", "叫做", "名字是", "姓名是", "真名是", "叫我", "称呼我")
    ):
        plain = _PLAIN.match(text, at)
        if (
            plain
            and not is_ordinary(text, at)
            and not _SENTENCE.search(plain.group())
            and not _ASKED.search(plain.group())
        ):
            yield Span("NAME", at, plain.end(), 5)


_ASKED = re.compile(
    r"什么|啥|名|它|做|停|救|醒|唤|喊|急|苦|来|去|医|护|检|开|他|她|人|大家|小时|时|几|多|下|过|出|一声|不|起"
)


def _before_titles(text: str) -> Iterator[Span]:
    titles: tuple[tuple[re.Pattern[str], Type], ...] = ((_doctor_title(), "DOCTOR"), (_person_title(), "NAME"))
    for pattern, kind in titles:
        for match in pattern.finditer(text):
            start = _title_start(text, match.start())
            if start < match.start():
                yield Span(kind, start, match.start(), 6)


def _title_start(text: str, end: int) -> int:
    """Where the name before a title begins; `end` where there is none."""
    known = names()
    for length in (4, 3, 2):
        start = end - length
        if start < 0 or not text[start:end].strip() or is_ordinary(text, start):
            continue
        lead = 2 if text[start : start + 2] in known.compound else 1
        surname, given = text[start : start + lead], text[start + lead : end]
        if lead == 1 and (length == 4 or surname not in known.surnames or surname in known.doubtful):
            continue
        if len(given) > 2 or text[max(0, start - 1) : start + 1] in known.taken:
            continue
        if all(one in known.given for one in given) or (lead == 2 and not given):
            return start
    start = end - 1
    alone = text[start:end]
    usable = start >= 0 and alone in known.surnames and alone not in known.doubtful
    return start if usable and text[max(0, start - 1) : end] not in known.taken else end


def _title_pattern(titles: tuple[str, ...]) -> re.Pattern[str]:
    surnames = "".join(sorted(names().surnames | names().given))
    words = [title for title in titles if len(title) > 1]
    single = "".join(title for title in titles if len(title) == 1)
    alone = f"|[{single}](?=[，,。：:;；!！?？\\s说您来送也和给在家叫都教帮的]|$)" if single else ""
    return re.compile(f"(?<=[{surnames}])(?:{'|'.join(words)}{alone})")


@cache
def _doctor_title() -> re.Pattern[str]:
    return _title_pattern(names().doctor_titles)


@cache
def _person_title() -> re.Pattern[str]:
    return _title_pattern(names().person_titles)


def _before_particulars(text: str) -> Iterator[Span]:
    """Names that open a text, a line or a clause and have sex, age, a number or a colon behind them."""
    for match in _ASIDE.finditer(text):
        start = _opened(text, match.start())
        if start < match.start():
            yield Span("NAME", start, match.start(), 5)
    for match in _SPEAKER.finditer(text):
        end = name_end(text, match.start(1))
        if end == match.end(1):
            yield Span("NAME", *match.span(1), 4)
    for match in _DOES.finditer(text):
        start = _opened(text, match.start())
        if start < match.start():
            yield Span("NAME", start, match.start(), 4)


_SPEAKER = re.compile(rf"(?:^|(?<=[\n。；;]))[ \t]{{0,4}}([{_HAN}]{{2,4}})(?=[:：](?!\d))")
_DOES = re.compile(
    r"(?<=[\u4e00-\u9fff])(?:说|表示|来电|告诉|主诉|入院|出院|去世|住院|就诊|复查|来院|签收|代诉|陪同|"
    r"已缴费|预约|挂号|的(?:检查|化验|报告|病历|片子|母亲|父亲|家属|"
    r"妻子|丈夫|主治|手机|电话|身份证|住院|床位|检验|CT|结果))"
)


def _opened(text: str, end: int) -> int:
    """Where a name that ends here and fills what lies since the last mark begins; `end` where there is none."""
    for length in (4, 3, 2):
        start = end - length
        if start < 0 or (start and not _OUTSIDE.match(text, start - 1) and text[start - 1] not in "与和及跟日号床为系"):
            continue
        if name_end(text, start) == end:
            return start
    return end


def _prefixed(text: str) -> Iterator[Span]:
    known = names()
    for match in _DOUBLED.finditer(text):
        yield Span("NAME", *match.span(1), 4)
    for match in _PET.finditer(text):
        if not is_ordinary(text, match.start(1)) and match.group(1)[1] in known.given | known.surnames:
            yield Span("NAME", *match.span(1), 4)
    for match in _PREFIXED.finditer(text):
        second = match.group(1)
        usable = (
            second in _COMMON
            and not is_ordinary(text, match.start())
            and second not in known.doubtful
            and not is_ordinary(text, match.start(1))
        )
        if usable and _AFTER_PREFIX.match(text, match.end()):
            yield Span("NAME", *match.span(), 4)


_COMMON = frozenset(
    "王李张刘陈杨赵吴周徐孙朱胡郭何林罗郑梁谢宋唐许邓冯韩曹曾彭萧蔡潘田董袁余叶蒋杜苏魏程吕丁沈姚卢傅钟姜崔"
    "谭廖范汪陆戴贾韦邱侯邹熊孟秦薛阎雷龙史陶贺顾毛郝龚邵万钱严武莫孔汤尹常乔赖马"
)


def _free(text: str) -> Iterator[Span]:
    """Names that nothing announces: a common surname, two given characters, and behind them what follows a name; or
    whatever name opens a clause."""
    for match in _COMMON_CHARACTER.finditer(text):
        at = match.start()
        end = name_end(text, at)
        if end == at or not _NEXT.match(text, end) or text[at + 1 : end] in names().common:
            continue
        opens = at == 0 or _OUTSIDE.match(text, at - 1) is not None
        if opens or (end - at == 3 and text[at + 1] not in "和大三二" and not _SPLIT.match(text, at - 1)):
            yield Span("NAME", at, end, 3)


_COMMON_CHARACTER = re.compile(f"[{''.join(sorted(_COMMON))}]")
_SPLIT = re.compile(r"卡马|阿莫|美罗|异[常]|[过疗病]程")
