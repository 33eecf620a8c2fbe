"""What reaches the browser as HTML: the allow-list, and our own markup around escaped text."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from xinglin.serve.web.clean import clean
from xinglin.serve.web.markup import answer_html, evidence_html, plain_html, sources_html
from xinglin.serve.web.threads import Thread, Threads, Turn
from xinglin.serve.web.words import EN, ZH, words
from xinglin.types import Decision, Fact, Origin, Passage, Reply, Sentence

HOSTILE = (
    "<script>alert(1)</script>",
    "<ScRiPt src=//x></sCrIpT>",
    '<img src="http://evil.example/x.png" onerror=alert(1)>',
    "<style>body{background:url(http://evil.example)}</style>",
    "<svg onload=alert(1)><circle/></svg>",
    '<a href="javascript:alert(1)">x</a>',
    '<a href="data:text/html,x">x</a>',
    '<a href="http://evil.example">x</a>',
    '<a href="//evil.example">x</a>',
    '<a href=" jav\tascript:alert(1)">x</a>',
    "<iframe src=x></iframe>",
    '<form action="http://evil.example"><input name=a><button>go</button></form>',
    '<p style="background:url(http://evil.example)" onclick="x()">text</p>',
    '<math><mi xlink:href="javascript:x"></mi></math>',
    '<p title="--><script>alert(1)</script>">x</p>',
    "<!--><img src=x onerror=alert(1)>-->",
    "<object data=x></object><embed src=x>",
    "<base href=http://evil.example>",
    "<meta http-equiv=refresh content=0;url=http://evil.example>",
    "<template><script>x</script></template>",
    "<<script>alert(1)//<</script>",
)
ORIGIN = Origin("pack:<own>", "a.yaml:1", "Apache-2.0", "summary")
PASSAGE = Passage("p1", "安平片的适应症：<b>头晕</b>。", ("f1",), ORIGIN)


class _Reader(HTMLParser):
    """Collects tags with attributes, and checks that every tag is closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.stack: list[str] = []
        self.feed(html)
        self.close()
        assert not self.stack

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("br", "hr"):
            self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag


@pytest.mark.parametrize("html", HOSTILE)
def test_hostile_html_leaves_no_active_tag_attribute_or_address(html: str) -> None:
    for wrapped in (html, f"<p>{html}</p>", f"<ul><li>{html}"):
        tags = _Reader(clean(wrapped)).tags
        assert {name for name, _ in tags} <= {"p", "ul", "li", "a"}
        assert all(not attrs for _, attrs in tags)


def test_plain_structure_stays_and_headings_are_lowered() -> None:
    assert clean("<h1>一</h1><ul><li><b>二</b></ul>三<br>") == "<h3>一</h3><ul><li><strong>二</strong></li></ul>三<br>"


def test_an_https_link_opens_apart_and_shows_its_host() -> None:
    assert clean('<a href="https://who.int/x?a=1&amp;b=2" onclick=x>WHO</a>') == (
        '<a href="https://who.int/x?a=1&amp;b=2" target="_blank" rel="noopener noreferrer nofollow">WHO</a> (who.int)'
    )


def test_text_is_escaped_once_and_unclosed_silence_hides_the_rest() -> None:
    assert clean("1 &lt; 2 &amp; 3") == "1 &lt; 2 &amp; 3"
    assert clean("a<script>b") == "a"
    assert clean("</p>a</script>b") == "ab"


def _reply(text: str, *, source: str = "knowledge", verdict: str = "supported", tier: str = "none") -> Reply:
    sentence = Sentence(text, 0, len(text), source, ("p1",), verdict)  # type: ignore[arg-type]
    decision = Decision("allow", tier, (), text if tier != "none" else "")  # type: ignore[arg-type]
    return Reply("r", text, (sentence,), (PASSAGE,), decision)


def test_an_answer_is_escaped_and_only_numbers_with_a_passage_become_buttons() -> None:
    html = answer_html(_reply("<script>x</script> 看[1]和[2]和[0]。"), ZH)
    tags = _Reader(html).tags
    assert [attrs.get("data-cite") for name, attrs in tags if name == "button"] == ["1"]
    assert "script" not in {name for name, _ in tags}
    assert "[2]" in html
    assert "知识库" in html


def test_each_source_has_its_own_mark() -> None:
    assert "模型 · 已核对" in answer_html(_reply("句。", source="model"), ZH)
    assert "模型 · 未核对" in answer_html(_reply("句。", source="model", verdict="unverified"), ZH)
    assert "Notice" in answer_html(_reply("句。", source="system", verdict="notice"), EN)


def test_advice_is_an_alert_with_numbers_to_dial() -> None:
    html = answer_html(
        _reply("请立即拨打120，或12356，不是1200。", source="system", verdict="notice", tier="emergency"), ZH
    )
    assert 'role="alert"' in html
    assert html.count('href="tel:') == 2


def test_evidence_shows_text_facts_source_and_licence_escaped() -> None:
    facts = {
        "f1": Fact("f1", "安平片", "适应症", "<i>头晕</i>", ORIGIN),
    }
    html = evidence_html([PASSAGE], facts, ZH)
    _Reader(html)
    for part in ("&lt;b&gt;头晕", "&lt;i&gt;头晕", "pack:&lt;own&gt;", "Apache-2.0", "未经医师审核"):
        assert part in html
    withheld = evidence_html([PASSAGE], {"f1": Fact("f1", "安平片", "用法用量", "", ORIGIN)}, ZH)
    assert "剂量不展示" in withheld


def test_sources_and_plain_text_are_escaped() -> None:
    assert sources_html([], ZH) == ""
    assert "data-cite" in sources_html([PASSAGE], ZH)
    assert plain_html("a<b>\n\nc") == "<p>a&lt;b&gt;</p><p>c</p>"


def test_anything_but_english_is_chinese() -> None:
    assert words("en") is EN
    assert words("zh") is words("<script>") is ZH


def test_threads_are_apart_bounded_and_skip_failed_answers() -> None:
    threads = Threads(most=2)
    first = threads.of("a")
    first.turns += [Turn("user", "问"), Turn("assistant", "忙", state="failed"), Turn("assistant", state="running")]
    assert [message.content for message in first.messages()] == ["问"]
    assert threads.of("b").turns == []
    assert threads.of("a") is first
    threads.of("c")
    assert threads.of("b") is not first
    assert threads.clear("b").turns == []
    assert isinstance(threads.of("a"), Thread)
