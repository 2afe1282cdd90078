"""The measure of viewability that an OpenRTB ad carries, in a real Chromium."""

from __future__ import annotations

import os
import shutil
from html import escape

import pytest
from playwright.sync_api import sync_playwright

from adserver.wire.render import viewed

pytestmark = pytest.mark.browser
URL = "https://ads.example/e/viewable?t=v1.a&n=1"
AD = '<div style="width:300px;height:250px">Anvils</div>'


@pytest.fixture
def page():
    """Any address but a data URL leads nowhere."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
    flags = ["--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP *.example ~NOTFOUND"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=flags)
        yield chromium.new_page(viewport={"width": 800, "height": 600})
        chromium.close()


def test_an_ad_of_another_origin_is_viewed_once_and_after_a_second_in_sight(page):
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    frame = escape(AD + viewed(URL, 300, 250))
    page.set_content(
        '<div style="height:3000px"></div>'
        f'<iframe sandbox="allow-scripts" width="300" height="260" srcdoc="{frame}"></iframe>'
    )

    page.wait_for_timeout(1_300)
    below_the_fold = asked.count(URL)
    page.evaluate("scrollTo(0, 3000)")
    page.wait_for_timeout(200)
    too_soon = asked.count(URL)
    for _ in range(150):
        if URL in asked:
            break
        page.wait_for_timeout(100)
    page.wait_for_timeout(500)

    assert (below_the_fold, too_soon, asked.count(URL)) == (0, 0, 1)
