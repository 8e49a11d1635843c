"""The page that a customer opens: it runs nothing, asks nobody, and reads well on a telephone."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_lab_browser import browser  # noqa: F401 (a fixture)

from kit.package_page import PageError, render

PHONE = {"width": 390, "height": 844}
RTL = "\u202e"
HOSTILE = [
    "<script>document.title='run'</script>",
    "<img src=x onerror=\"document.title='run'\">",
    '"><svg onload="document.title=\'run\'">',
    "</style><script>document.title='run'</script>",
    "javascript:document.title='run'",
    "{{ 7*7 }}{% raw %}",
    "<a href='https://example.com/steal'>click</a>",
    "<iframe src='https://example.com'></iframe>",
    "<meta http-equiv=refresh content='0;url=https://example.com'>",
    f"Ana {RTL}gnp.exe",
    "עברית Example",
    "a\nb",
    "x" * 300,
]
ABOUT = {
    "shop": "Corner Flowers",
    "request": "req-20261124-0badcafe",
    "received": "2026-11-24",
    "asked": "to know what we hold",
    "answered": "2026-11-26",
    "identity": "3 answers and a signed declaration",
    "period": "everything we hold, from 2022-01-01 at the latest",
    "regime": "we answer voluntarily",
    "contact": "Maria, at the shop",
    "not_searched": ["backups: they are read only when something is restored"],
    "rights": ["ask us to correct what is wrong", "ask us to delete it"],
}
CATEGORY = {
    "letter": "A",
    "name": "Identifiers",
    "whats": ["first name", "e-mail address"],
    "purposes": ["Run the loyalty programme: count points and give rewards"],
    "keeps": ["3 years after last purchase"],
    "sources": ["the till"],
    "recipients": [],
}
SALES = [[f"2026-11-{day:02}", "Tulips, ten", "12.50", "" if day % 2 else "tap"]
         for day in range(1, 25)]  # fmt: skip


def told(**change):
    """Return what there is to tell about a customer."""
    return {
        "about": ABOUT,
        "categories": [CATEGORY, {**CATEGORY, "letter": "D", "name": "Commercial information"}],
        "withheld": [
            {"what": "card token", "why": "a thief could pay with it", "cite": "11 CCR 7024(d)"}
        ],
        "internal": ["number of an address"],
        "taken_out": ["a number that looks like a card's"],
        "sections": [
            {
                "title": "You",
                "whats": ["first name", "e-mail address", "birthday"],
                "rows": [["Ana", "ana@example.com", ""]],
            },
            {"table": "sales", "whats": ["day", "what", "paid", "how"], "rows": SALES},
        ],
        **change,
    }


class Tags(HTMLParser):
    """Collects the tags, attributes and texts of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.names, self.texts = [], set(), []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        """Note a tag."""
        self.tags.append(tag)
        self.names |= {name for name, _ in attrs}

    def handle_data(self, data):
        """Note a text."""
        self.texts.append(data)


@given(st.text(min_size=1, max_size=60) | st.sampled_from(HOSTILE))
@settings(max_examples=60)
def test_no_text_becomes_a_tag(text):
    """Whatever a customer is called, the page has the same tags, and the text is read as it is."""
    plain, hostile = (
        Tags(
            render(
                told(
                    about=ABOUT | {"shop": one},
                    categories=[CATEGORY | {"name": one, "whats": [one], "recipients": [one]}],
                    withheld=[{"what": one, "why": one, "cite": one}],
                    sections=[{"title": one, "whats": [one, one], "rows": [[one, one]] * 2}],
                )
            )
        )
        for one in ("x", text)
    )

    assert hostile.tags == plain.tags
    assert hostile.names == plain.names
    assert not {"script", "img", "form", "iframe", "link", "object"} & set(hostile.tags)
    assert not any(name.startswith("on") for name in hostile.names)


def test_nothing_is_fetched_and_nothing_is_linked():
    """No address of anything, but places on the page itself."""
    page = render(told())

    assert set(re.findall(r'href="(.)', page)) == {"#"}
    assert not re.search(r"(?i)src=|url\(|@import|https?:", page)
    assert "default-src 'none'" in html.unescape(page)


def test_what_is_missing_is_left_out():
    """A customer with no record reads a whole page, too."""
    page = render({"about": {"shop": "Corner Flowers"}})

    assert "We hold no data about you" in page
    assert "do not send" not in page
    assert "Your data" not in page


def test_it_says_what_it_needs():
    """A page without the shop's name is none."""
    with pytest.raises(PageError, match="shop"):
        render({"about": {}})


@pytest.fixture
def opened(browser, tmp_path):  # noqa: F811
    """Return a function that opens a page on a telephone, and all that it asked for."""

    def open_page(text, **more):
        path = tmp_path / "your-data.html"
        path.write_text(text, encoding="utf-8")
        page = browser.new_page(**{"viewport": PHONE, **more})
        page.asked, page.said = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("console", lambda line: page.said.append(line.text))
        page.on("dialog", lambda dialog: page.said.append("dialog"))
        page.goto(path.as_uri())
        page.wait_for_load_state("networkidle")
        return page

    return open_page


def test_no_code_runs_in_it(opened):
    """Not from a name, and not if it got in past the escaping: the policy forbids it."""
    rows = [[text, text] for text in HOSTILE]
    page = opened(render(told(sections=[{"title": "x", "whats": ["a", "b"], "rows": rows}])))
    assert page.title() == "What we hold about you"
    assert len(page.asked) == 1
    assert page.said == []
    page.close()

    injected = "<script>document.title='run'</script><img src=x onerror=\"document.title='run'\">"
    injected += "<style>body{display:none}</style><a id=j href=\"javascript:document.title='run'\">"
    page = opened(render(told()).replace("<main>", f"<main>{injected}j</a>"))
    page.locator("#j").click()
    assert page.title() == "What we hold about you"
    assert page.locator("h1").is_visible()
    assert any("Content Security Policy" in line for line in page.said)
    page.close()


def test_the_style_passes_its_own_policy(opened):
    """The hash in the policy is that of the style."""
    page = opened(render(told()))

    assert page.said == []
    assert page.evaluate("getComputedStyle(document.body).margin") == "0px"
    page.close()


def test_a_name_turned_around_turns_nothing_else_around(opened):
    """Each text is isolated: what follows stands where it belongs."""
    whats = ["name", "paid"]
    rows = [[f"{RTL}Example {RTL}", "12.50"], ["עברית", "13.50"]]
    page = opened(render(told(sections=[{"title": "x", "whats": whats, "rows": rows}])))
    box = page.get_by_text("12.50").bounding_box()
    label = page.locator("tbody tr").first.locator(".label").nth(1).bounding_box()

    assert label["x"] < box["x"]
    page.close()


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_it_reads_without_scrolling_sideways(opened, tmp_path, width):
    """On the smallest telephone, on a large one and on a screen; long words break."""
    content = told()
    content["sections"][0]["rows"] = [["x" * 300, "ana@example.com", ""]]
    page = opened(render(content), viewport={"width": width, "height": 844})
    page.screenshot(path=tmp_path / f"page_{width}.png", full_page=True)

    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.get_by_role("heading", name="Your data", exact=True).is_visible()
    visible = page.locator("tbody .label").first.is_visible()
    assert visible == (width < 640)
    page.close()


@pytest.mark.parametrize("width", [390, 1280])
def test_it_is_accessible(opened, width):
    """Checked by axe-core in Chromium: contrast, headings, tables, landmarks, language."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe not installed")
    for content in (told(), {"about": {"shop": "Corner Flowers"}}):
        page = opened(render(content), viewport={"width": width, "height": 844}, bypass_csp=True)
        found = axe.Axe().run(page)

        assert found.response["violations"] == []
        assert len(found.response["passes"]) > 15
        page.close()


def test_a_wide_table_becomes_cards(opened, tmp_path):
    """Nobody reads fifteen narrow columns: each entry becomes a card, on a screen too."""
    whats = [f"field {n}" for n in range(15)]
    rows = [[f"value {n}" if n % 3 else "" for n in range(15)] for _ in range(3)]
    content = told(sections=[{"title": "Sales", "whats": whats, "rows": rows}])
    page = opened(render(content), viewport={"width": 1280, "height": 844})
    page.screenshot(path=tmp_path / "cards.png", full_page=True)

    assert page.locator("tbody .label").nth(1).is_visible()
    assert not page.locator("tbody td").first.is_visible()  # an empty one
    assert page.get_by_role("row").count() == 4
    page.close()


def test_it_is_printed_whole(opened):
    """On paper the way round the page is left out, and the data are there."""
    page = opened(render(told()))
    page.emulate_media(media="print")

    assert not page.get_by_role("navigation").is_visible()
    assert page.get_by_text("Tulips, ten").first.is_visible()
    page.close()


def test_what_is_held_is_told_apart():
    """Some names of fields have commas of their own: "given, confirmed or withdrawn"."""
    page = render(told(categories=[CATEGORY | {"whats": ["given, confirmed", "when"]}]))

    assert "given, confirmed; when" in page
