from dataclasses import replace
from html.parser import HTMLParser
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_cases import CREATIVE

from adserver.wire.render import markup, pixel, price, viewed

CLICK = "https://ads.example/e/click?t=v1.abc&n=1"


def test_the_click_macro_is_escaped_for_its_attribute():
    creative = replace(CREATIVE, markup="<a href='{click}'>{landing}</a>")

    assert markup(creative, CLICK) == (
        "<a href='https://ads.example/e/click?t=v1.abc&amp;n=1'>"
        "https://acme.example/anvils?a=1&amp;b=2</a>"
    )


def test_a_macro_inside_another_url_is_percent_encoded():
    creative = replace(CREATIVE, markup="https://x.example/?to={click:url}&via={landing:url}")

    assert markup(creative, CLICK) == (
        f"https://x.example/?to={quote(CLICK, safe='')}&via={quote(CREATIVE.landing_url, safe='')}"
    )


def test_braces_that_are_no_macro_stay():
    creative = replace(CREATIVE, markup="<style>a{color:red}</style>{clicks}{ click }{}")

    assert markup(creative, CLICK) == creative.markup


def test_what_a_macro_brings_in_is_not_expanded_again():
    creative = replace(CREATIVE, markup="{landing}", landing_url="https://a.example/{click}")

    assert markup(creative, CLICK) == "https://a.example/{click}"


@pytest.mark.parametrize("landing", ["javascript:alert(1)", "data:text/html,x", "", "//a.example"])
def test_a_landing_page_that_is_no_web_page_leads_nowhere(landing):
    creative = replace(CREATIVE, markup="{landing}", landing_url=landing)

    assert markup(creative, CLICK) == "about:blank"


class Attributes(HTMLParser):
    """The tags of a fragment and the attributes that they have."""

    def __init__(self, fragment):
        super().__init__()
        self.seen = []
        self.feed(fragment)

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))


@given(st.text(st.characters(codec="utf-8", exclude_characters="\r\0")))
def test_no_landing_page_can_break_out_of_its_attribute(tail):
    creative = replace(CREATIVE, markup='<a href="{landing}">', landing_url=f"https://a/{tail}")

    assert Attributes(markup(creative, CLICK)).seen == [("a", {"href": f"https://a/{tail}"})]


def test_the_pixel_is_one_invisible_image():
    [(tag, attributes)] = Attributes(pixel(CLICK)).seen

    assert tag == "img"
    assert attributes["src"] == CLICK
    assert (attributes["width"], attributes["height"]) == ("1", "1")


@given(st.integers(0, 10**12))
def test_a_price_on_the_wire_reads_back_to_the_same_micros(micros):
    assert round(float(repr(price(micros))) * 1_000_000) == micros


def test_the_measure_of_viewability_cannot_be_left_by_what_stands_in_its_url():
    script = viewed('https://a.example/"</script><b>', 300, 250)

    assert script.count("</script>") == 1
    assert script.endswith("</script>")
    assert r'"https://a.example/\"\u003c/script>\u003cb>"' in script


def test_of_a_large_ad_less_has_to_be_in_view():
    assert "threshold:0.5" in viewed("https://a.example/", 300, 250)
    assert "threshold:0.3" in viewed("https://a.example/", 970, 250)
