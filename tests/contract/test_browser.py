"""The tag and the demonstration page in a real Chromium against a real server.

Chromium may reach nothing but the server, so a landing page is known by the request for it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, Route, sync_playwright

from adserver.web.files import static_files

pytestmark = pytest.mark.browser

SLOTS = ["top", "middle", "rail"]

RECORD_SHIFTS = """
window.shift = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shift += entry.value;
}).observe({ type: "layout-shift", buffered: true });
"""

HOLD_IN_PRERENDERING = """
if (window === window.top) {
  window.early = true;
  Object.defineProperty(document, "prerendering", { get: () => window.early });
}
"""


class Visit:
    """A tab, and all that it asked for and complained of."""

    def __init__(self, context: BrowserContext, server: str) -> None:
        self.server = server
        self.context = context
        self.requests: list[Request] = []
        self.complaints: list[str] = []
        context.on("request", self._asked)
        self.page: Page = context.new_page()
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.add_init_script(RECORD_SHIFTS)

    def _asked(self, request: Request) -> None:
        self.requests.append(request)

    def _heard(self, message: Any) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def open(self, path: str = "/demo/") -> Page:
        self.page.goto(self.server + path)
        return self.page

    def asked(self, path: str) -> list[Request]:
        own = (request for request in self.requests if request.url.startswith(self.server))
        return [request for request in own if urlsplit(request.url).path == path]

    def decision(self) -> dict[str, Any]:
        """What the one decision request asked for."""
        (request,) = self.asked("/v1/decision")
        return dict(request.post_data_json)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
    assert os.access(path, os.X_OK), f"no Chromium at {path}: install it, or set CHROMIUM"
    flags = ["--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP *.example ~NOTFOUND"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=flags)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser: Browser, running_server: Any) -> Iterator[Visit]:
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    # A page that a test serves counts as a public one, and those may not call this machine unasked.
    context.grant_permissions(["local-network-access"])
    context.set_default_timeout(15_000)
    yield Visit(context, running_server.url.rstrip("/"))
    context.close()


@pytest.fixture
def publisher(visit: Visit) -> Callable[[str], Page]:
    """Opens a page of another origin, with `body` after the tag, pasted twice."""
    elsewhere = visit.server.replace("127.0.0.1", "localhost")
    assert elsewhere != visit.server

    def open_page(body: str) -> Page:
        tag = f'<script async src="{visit.server}/t.js" data-publisher="pub-1"></script>'
        page = f'<!doctype html><html lang="de"><meta charset="utf-8">{tag}{tag}<body>{body}'
        visit.context.route(
            f"{elsewhere}/story",
            lambda route: route.fulfill(body=page, content_type="text/html"),
        )
        visit.page.goto(f"{elsewhere}/story#comments")
        return visit.page

    return open_page


def ad(page: Page, slot: str) -> Any:
    """The link that is the ad, inside its frame."""
    return page.frame_locator(f"[data-ad-slot={slot}] iframe").locator("a").first


def wait_for_ads(page: Page) -> None:
    for slot in SLOTS:
        ad(page, slot).wait_for()


def wait_until_counted(visit: Visit, path: str, times: int) -> None:
    for _ in range(400):
        if len(visit.asked(path)) >= times:
            return
        visit.page.wait_for_timeout(50)
    pytest.fail(f"{path} was asked for {len(visit.asked(path))} times, not {times}")


def test_every_slot_shows_an_ad_and_the_page_asked_once(visit: Visit) -> None:
    page = visit.open()

    wait_for_ads(page)

    asked = visit.decision()
    assert [placement["id"] for placement in asked["placements"]] == SLOTS
    assert asked["page"]["url"] == f"{visit.server}/demo/"
    for slot in SLOTS:
        frame = page.locator(f"[data-ad-slot={slot}] iframe")
        assert frame.get_attribute("sandbox") == "allow-popups allow-popups-to-escape-sandbox"
        assert ad(page, slot).is_visible()


@pytest.mark.parametrize("width", [390, 1024, 1440])
def test_nothing_moves_and_nothing_is_complained_of(visit: Visit, width: int) -> None:
    visit.page.set_viewport_size({"width": width, "height": 900})
    page = visit.open()

    wait_for_ads(page)
    page.wait_for_load_state("networkidle")

    assert page.evaluate("window.shift") < 0.01
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert visit.complaints == []


def test_an_ad_counts_once_and_as_viewed_after_a_second_in_sight(visit: Visit) -> None:
    page = visit.open()
    wait_for_ads(page)
    wait_until_counted(visit, "/e/viewable", 2)
    counted = len(visit.asked("/e/impression"))

    page.locator("[data-ad-slot=middle]").scroll_into_view_if_needed()
    wait_until_counted(visit, "/e/viewable", 3)

    assert counted == 3
    for path in ("/e/impression", "/e/viewable"):
        urls = [request.url for request in visit.asked(path)]
        assert len(urls) == len(set(urls)) == 3
        assert [request.response().status for request in visit.asked(path)] == [204] * 3
    rendered, viewed = (visit.asked(f"/e/{kind}")[0].timing for kind in ("impression", "viewable"))
    assert viewed["startTime"] - rendered["startTime"] >= 990


def test_a_click_leads_to_the_advertiser_by_way_of_the_server(visit: Visit) -> None:
    with visit.page.expect_response("**/v1/decision") as answered:
        page = visit.open()
    winner = answered.value.json()["decisions"]["top"][0]
    wait_for_ads(page)

    with visit.context.expect_page():
        ad(page, "top").click()
    wait_until_counted(visit, "/e/click", 1)
    for _ in range(400):
        landing = [r for r in visit.requests if r.redirected_from]
        if landing:
            break
        page.wait_for_timeout(50)

    assert landing[0].redirected_from.url == winner["urls"]["click"]
    host = urlsplit(landing[0].url).hostname
    assert any(host == own or host.endswith(f".{own}") for own in winner["adomain"])
    assert page.url == f"{visit.server}/demo/"


def test_the_panel_says_who_lost_why_and_where_the_time_went(visit: Visit) -> None:
    page = visit.open()
    wait_for_ads(page)

    page.locator("#result").wait_for()

    assert page.locator("#slots [data-sale]").count() == 3
    assert "Runner-up" in page.locator("#slots").inner_text()
    assert page.locator("#funnel .bar").count() == 5
    assert page.locator("#stages .bar").count() >= 3
    quality = page.locator("#figures dd").nth(1).inner_text()  # a busy machine scores fewer
    assert quality in {"Full model", "Fewer scored", "Fallback model"}


def test_another_reader_is_another_request(visit: Visit) -> None:
    page = visit.open()
    wait_for_ads(page)

    with page.expect_request("**/v1/decision") as asked:
        page.locator("#country").select_option("BRA")
    with page.expect_request("**/v1/decision") as asked_about_sport:
        page.locator("nav").get_by_role("button", name="Sport").click()

    assert asked.value.post_data_json["device"]["geo"]["country"] == "BRA"
    assert asked_about_sport.value.post_data_json["page"]["categories"][0].startswith("IAB17")
    assert "sold out" in page.locator("h1").inner_text()
    assert len(visit.asked("/v1/decision")) == 3


@pytest.mark.parametrize("fault", ["unreachable", "failing", "nonsense"])
def test_a_page_outlives_its_ad_server(visit: Visit, fault: str) -> None:
    answer: dict[str, Callable[[Route], None]] = {
        "unreachable": lambda route: route.abort(),
        "failing": lambda route: route.fulfill(status=500, body="oops"),
        "nonsense": lambda route: route.fulfill(body="<html>"),
    }
    visit.context.route("**/v1/decision", answer[fault])
    thrown: list[str] = []
    visit.page.on("pageerror", lambda error: thrown.append(str(error)))

    page = visit.open()
    page.locator("#status.failed").wait_for()

    assert thrown == []
    assert page.locator("h1").is_visible()
    assert page.locator("[data-ad-slot=top]").bounding_box()["height"] == 90
    assert page.locator("iframe").count() == 0
    assert page.evaluate("window.shift") < 0.01


def test_a_publisher_of_another_origin_gets_its_slots_filled(
    visit: Visit, publisher: Callable[[str], Page]
) -> None:
    page = publisher(
        '<p>Text</p><div data-ad-slot="box" data-ad-zone="z2" data-ad-sizes="300x250,9000x90"'
        ' data-ad-keywords="football, cup" data-ad-kv="section=sport&tier=2" data-ad-floor="0.01">'
        '</div><div data-ad-slot="box" data-ad-sizes="300x250"></div>'
        '<div hidden><div data-ad-slot="unseen" data-ad-sizes="300x250"></div></div>'
        '<div data-ad-slot="wide" data-ad-sizes="9000x90"></div>'
    )
    page.locator("iframe").first.wait_for()

    asked = visit.decision()
    first, second = asked["placements"]
    assert (first["id"], second["id"]) == ("box", "box-2")
    assert first["sizes"] == [[300, 250]]
    assert first["keywords"] == ["football", "cup"]
    assert first["kv"] == {"section": "sport", "tier": "2"}
    assert first["floor_cpm"] == 0.01
    assert asked["publisher_id"] == "pub-1"
    assert asked["page"]["lang"] == "de"
    assert asked["page"]["url"].endswith("/story")
    assert visit.complaints == []


def test_nothing_is_stored_on_the_device(visit: Visit) -> None:
    page = visit.open()
    wait_for_ads(page)

    kept = visit.context.storage_state()

    assert kept["cookies"] == []
    assert kept["origins"] == []


def test_a_page_that_is_only_prerendered_asks_for_nothing(visit: Visit) -> None:
    visit.page.add_init_script(HOLD_IN_PRERENDERING)
    page = visit.open()
    page.wait_for_load_state("networkidle")
    asked_early = len(visit.asked("/v1/decision"))

    page.evaluate("early = false; document.dispatchEvent(new Event('prerenderingchange'))")
    wait_for_ads(page)

    assert asked_early == 0
    assert len(visit.asked("/v1/decision")) == 1


def test_the_tag_is_small_and_cacheable() -> None:
    tag = static_files()["/t.js"]

    assert len(tag.body) <= 8192
    assert "max-age" in tag.headers["Cache-Control"]
    assert tag.headers["ETag"]
