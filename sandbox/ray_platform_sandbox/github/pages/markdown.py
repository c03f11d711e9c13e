"""Comments as GitHub shows them: its Markdown with tables, its choice of HTML, no scripts, no styles."""

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

#: What GitHub lets through of raw HTML, as its documentation and its html-pipeline list it.
_TAGS = (
    "h1 h2 h3 h4 h5 h6 br b i strong em a pre code img tt div ins del sup sub p ol ul table thead tbody "
    "tfoot blockquote dl dt dd kbd q samp var hr li tr td th s strike summary details caption abbr cite "
    "mark small span"
)
_ATTRIBUTES = {
    "a": {"href", "title"},
    "img": {"src", "alt", "title", "width", "height", "align"},
    "details": {"open"},
    "td": {"align", "colspan", "rowspan"},
    "th": {"align", "colspan", "rowspan"},
    "ol": {"start"},
    "div": {"align"},
    "p": {"align"},
}


@functools.lru_cache(maxsize=512)
def render(text: str) -> str:
    """HTML that is safe to put into a page."""
    import nh3

    html = _parser().render(text)
    for mark, box in (("[ ]", "☐"), ("[x]", "☑"), ("[X]", "☑")):
        html = html.replace(f"<li>{mark} ", f"<li>{box} ")
    return nh3.clean(
        html,
        tags=set(_TAGS.split()),
        # What they hold is not text.
        clean_content_tags={"script", "style"},
        attributes=_ATTRIBUTES,
        url_schemes={"http", "https", "mailto"},
        strip_comments=True,
        link_rel="nofollow noopener",
    )


@functools.cache
def _parser() -> "MarkdownIt":
    from markdown_it import MarkdownIt

    # In comments a single line break is one, too.
    parser = MarkdownIt("commonmark", {"html": True, "breaks": True})
    return parser.enable(["table", "strikethrough"])
