"""Web pages: what matters, in its structure."""

import pytest

from document_processing.parsers.html_parser import HTMLParser
from document_processing.parsers.html_text import html_blocks
from document_processing.parsers.markup_trees import parse_html
from document_processing.text_cleaning import html_to_text

PROSE = "The kettle sings when the water is hot, and that is how one knows that tea can be made in the house. "
PAGE = f"""<!DOCTYPE html><html lang="en"><head><title>Tea - A site</title><meta name="author" content="Ada Byron">
<meta name="description" content="How to"><meta property="article:published_time" content="2024-01-02"></head><body>
<nav><ul><li><a href="/">Home</a></li><li>Shop</li></ul></nav>
<article><h1>Tea</h1><p>{PROSE * 2}It is <a href="x">told here</a>.</p>
<h2>Code<a class="headerlink" href="#c">¶</a></h2><div class="highlight-python"><pre>
def brew():
    return  "tea"
</pre></div>
<table><tr><th>Kind</th><th>Minutes</th></tr><tr><td>green | white</td><td>2</td></tr></table>
<ul><li>one<ul><li>inner</li></ul></li><li>two</li></ul><p>{PROSE * 2}</p></article>
<footer>Copyright and so on</footer><script>var x = "hidden";</script></body></html>"""


def parsed(tmp_path, page, name="a.html"):
    path = tmp_path / name
    path.write_bytes(page if isinstance(page, bytes) else page.encode("utf-8"))
    return HTMLParser().parse(path)


def test_a_page_is_its_main_content_with_headings_code_and_tables(tmp_path):
    documents = parsed(tmp_path, PAGE)
    assert [document["metadata"]["heading_path"] for document in documents] == [["Tea"], ["Tea", "Code"]]
    assert documents[0]["content"] == f"# Tea\n\n{PROSE * 2}It is told here."
    assert documents[1]["content"] == (
        '## Code\n\n```python\ndef brew():\n    return  "tea"\n```\n\n'
        "| Kind | Minutes |\n| --- | --- |\n| green \\| white | 2 |\n\n"
        f"- one\n  - inner\n- two\n\n{(PROSE * 2).strip()}"
    )


def test_what_a_page_tells_of_itself_is_metadata(tmp_path):
    (document, *_) = parsed(tmp_path, PAGE)
    assert document["title"] == "Tea"
    told = {key: document["metadata"][key] for key in ("author", "description", "date", "language", "encoding")}
    assert told == {
        "author": "Ada Byron",
        "description": "How to",
        "date": "2024-01-02",
        "language": "en",
        "encoding": "utf-8",
    }


def test_a_page_without_main_content_gives_all_of_its_text(tmp_path):
    (document,) = parsed(tmp_path, "<body><nav>Home</nav></body>")
    assert document["content"] == "Home"
    assert [document["content"] for document in parsed(tmp_path, "just words")] == ["just words"]
    assert parsed(tmp_path, "<html></html>") == parsed(tmp_path, "") == []


def test_the_declared_encoding_is_used(tmp_path):
    page = '<meta charset="windows-1251"><p>Привет, мир</p>'.encode("cp1251")
    (document,) = parsed(tmp_path, page)
    assert (document["content"], document["metadata"]["encoding"]) == ("Привет, мир", "windows-1251")


def test_a_page_of_xml_is_read_by_the_rules_of_xml(tmp_path):
    page = '<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><head><title/></head><body><p>a&nbsp;b</p></body></html>'
    assert [document["content"] for document in parsed(tmp_path, page, "a.xhtml")] == ["a b"]


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("<div>" * 100_000 + "deep down" + "</div>" * 100_000 + "<p>after</p>", ["deep down", "after"]),
        ("<b><p>x " * 100_000, ["x"]),
        ("<ul><li>a" * 20_000, ["a"]),
        ("<table><tr><td>a" * 20_000, ["a"]),
        ("<div>" * 1_500 + "<p>deep down</p>", ["deep down"]),
        ("<!--" * 100_000 + "never shown", []),
    ],
)
def test_hostile_pages_come_to_an_end(tmp_path, page, words):
    text = " ".join(document["content"] for document in parsed(tmp_path, page))
    assert all(word in text for word in words)
    assert "never shown" not in text


def test_the_blocks_of_a_page_hold_all_that_is_visible():
    """Against the plain reader of HTML, which keeps all text of the body."""
    page = (
        f"<body><h3>Head</h3><p>{PROSE}</p><dl><dt>Term</dt><dd>Meaning</dd></dl><blockquote>Said</blockquote></body>"
    )
    ours = " ".join(block.text for block in html_blocks(parse_html(page)))
    assert ours.split() == html_to_text(page).split()


def test_pages_of_a_documentation_generator_are_taken_whole(tmp_path):
    """What looks unimportant to a reader of news, such as short entries, is what documentation consists of."""
    page = f"""<head><meta name="generator" content="Docutils 0.19"></head><body><div class="related">Menu</div>
<div role="main"><section><h1>Tea</h1><p>{PROSE * 4}</p><dl><dt>pot</dt><dd>Holds it.</dd></dl>
<img src="../a/pot.png" alt="../a/pot.png"><img src="cup.png" alt="A cup">
<div class="toctree-wrapper"><ul><li>Other page</li></ul></div><aside class="footnote">[1] Or coffee.</aside></section></div>
<div class="sphinxsidebar">Side</div><div id="footer">Foot</div></body>"""
    (document,) = parsed(tmp_path, page)
    assert document["content"] == f"# Tea\n\n{(PROSE * 4).strip()}\n\npot\n\nHolds it.\n\nA cup\n\n[1] Or coffee."
    without_role = page.replace(' role="main"', "")
    assert parsed(tmp_path, without_role)[0]["content"] == document["content"]


def test_the_title_is_the_heading_that_the_title_of_the_page_begins_with(tmp_path):
    """Sites repeat their own name in a top heading of every page."""
    page = (
        f"<head><title>Tea - The Book</title></head><body><h1>The Book</h1><main><h1>Tea</h1><p>{PROSE * 4}</p></main>"
    )
    assert parsed(tmp_path, page)[0]["title"] == "Tea"
