"""The spellings that targeting compares: places, domains, devices."""

import pytest

from adserver.wire import geo, names
from adserver.wire.hints import Brand, Sua, by_hints
from adserver.wire.useragent import Client, browser_name, classify, device_name, os_name


@pytest.mark.parametrize(
    ("written", "host"),
    [
        ("https://www.Pub.example/a?b#c", "pub.example"),
        ("http://user:pw@pub.example:8080/", "pub.example"),
        ("pub.example", "pub.example"),
        ("WWW.PUB.EXAMPLE.", "pub.example"),
        (".pub.example", "pub.example"),
        ("*.pub.example", "pub.example"),
        ("https://news.pub.example?x=//y", "news.pub.example"),
        ("https://pub.example\\@bad.example/", "pub.example"),
        ("http://[::1]:80/", "[::1]:80"),
        ("https://", ""),
        ("", ""),
    ],
)
def test_a_host_is_taken_from_a_url_or_a_bare_domain(written, host):
    assert names.host(written) == host


def test_blocked_domains_are_one_spelling_each_once():
    listed = ["Bad.example", "www.bad.example", ".bad.example", "", "worse.example"]

    assert names.domains(listed) == ("bad.example", "worse.example")


@pytest.mark.parametrize(
    ("tag", "language"),
    [
        ("en", "en"),
        ("en-GB", "en"),
        ("PT_br", "pt"),
        ("fil", "fil"),
        ("", ""),
        (None, ""),
        ("e1", ""),
    ],
)
def test_a_language_is_the_primary_part_of_its_tag(tag, language):
    assert names.language(tag) == language


def test_key_values_are_spelt_as_in_json():
    maps = [{"a": "x", "b": True, "c": 3, "d": 0.5, "e": ["y", "z"]}, None, {"a": "x", "b": False}]

    assert names.key_values(maps) == ("a=x", "b=true", "c=3", "d=0.5", "e=y", "e=z", "b=false")


def test_lists_are_cut_at_the_most_that_a_request_keeps():
    many = [f"w{n}" for n in range(1000)]

    assert len(names.keywords(many)) == len(names.segments(many)) == 256
    assert len(names.blocked_categories(many)) == 1000


@pytest.mark.parametrize(
    ("code", "alpha3"),
    [
        ("US", "USA"),
        ("us", "USA"),
        ("USA", "USA"),
        (" gb ", "GBR"),
        ("XX", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_a_country_is_alpha_3_from_either_code(code, alpha3):
    assert geo.country(code) == alpha3


def test_the_table_of_countries_is_whole_and_one_to_one():
    assert len(geo.ALPHA3) == len(geo.ALPHA2) == 250  # 249 of ISO 3166-1, and Kosovo
    assert all(len(two) == 2 and len(three) == 3 for two, three in geo.ALPHA3.items())


@pytest.mark.parametrize(
    ("code", "country", "region"),
    [
        ("CA", "USA", "US-CA"),
        ("us-ca", "USA", "US-CA"),
        ("US-CA", "", "US-CA"),
        ("CA", "", ""),
        ("", "USA", ""),
        (None, "USA", ""),
    ],
)
def test_a_region_is_iso_3166_2_with_its_country(code, country, region):
    assert geo.region(code, country) == region


AGENTS = {
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/124.0.0.0 Safari/537.36": ("desktop", "windows", "chrome"),
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/124.0.0.0 Safari/537.36 Edg/124.0.0.0": ("desktop", "windows", "edge"),
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_4) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.4 Safari/605.1.15": ("desktop", "macos", "safari"),
    "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:125.0) Gecko/20100101 Firefox/125.0": (
        "desktop",
        "linux",
        "firefox",
    ),
    "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/124.0.0.0 Safari/537.36": ("desktop", "chromeos", "chrome"),
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
    "Gecko) Version/17.4 Mobile/15E148 Safari/604.1": ("phone", "ios", "safari"),
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
    "Gecko) CriOS/124.0 Mobile/15E148 Safari/604.1": ("phone", "ios", "chrome"),
    "Mozilla/5.0 (iPad; CPU OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.4 Mobile/15E148 Safari/604.1": ("tablet", "ios", "safari"),
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/124.0.0.0 Mobile Safari/537.36": ("phone", "android", "chrome"),
    "Mozilla/5.0 (Linux; Android 13; SM-X906C) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/124.0.0.0 Safari/537.36": ("tablet", "android", "chrome"),
    "Mozilla/5.0 (Linux; Android 14; SM-S918B) AppleWebKit/537.36 (KHTML, like Gecko) "
    "SamsungBrowser/24.0 Chrome/117.0.0.0 Mobile Safari/537.36": ("phone", "android", "samsung"),
    "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 "
    "Mobile Safari/537.36 OPR/82.0": ("phone", "android", "opera"),
    "Mozilla/5.0 (SMART-TV; LINUX; Tizen 7.0) AppleWebKit/537.36 (KHTML, like Gecko) "
    "94.0.4606.31/7.0 TV Safari/537.36": ("tv", "tizen", "safari"),
    "Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/94.0.4606.128 Safari/537.36": ("tv", "webos", "chrome"),
    "Mozilla/5.0 (Linux; Android 11; BRAVIA 4K VH2) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/98.0 Safari/537.36": ("tv", "androidtv", "chrome"),
    "AppleTV11,1/11.1": ("tv", "tvos", "other"),
    "python-requests/2.31": ("other", "other", "other"),
}


@pytest.mark.parametrize(("agent", "client"), AGENTS.items())
def test_a_user_agent_tells_device_system_and_browser(agent, client):
    assert classify(agent) == client


def test_nothing_is_known_of_no_user_agent():
    assert classify("") == Client()


@pytest.mark.parametrize(
    ("brands", "platform", "mobile", "client"),
    [
        (["Chromium", "Microsoft Edge"], "Windows", 0, ("desktop", "windows", "edge")),
        (["Not/A)Brand", "Chromium"], "Linux", 0, ("desktop", "linux", "chrome")),
        (["Google Chrome", "Chromium"], "Android", 1, ("phone", "android", "chrome")),
        (["Chromium"], "Android", 0, ("tablet", "android", "chrome")),
        (["Chromium"], "macOS", None, ("", "macos", "chrome")),
        ([], "", 0, ("", "", "")),
        (["Not/A)Brand"], "", 1, ("phone", "", "")),
    ],
)
def test_hints_tell_what_they_name_and_leave_the_rest_open(brands, platform, mobile, client):
    sua = Sua([Brand(brand) for brand in brands], Brand(platform), mobile)

    assert by_hints(sua) == client


def test_what_is_stated_beats_hints_and_hints_beat_the_user_agent():
    stated, hinted, guessed = Client("tv"), Client("phone", "ios"), Client("desktop", "a", "b")

    assert stated.over(hinted).over(guessed) == ("tv", "ios", "b")


@pytest.mark.parametrize(
    ("name", "stated", "ours"),
    [
        (device_name, "Mobile", "phone"),
        (device_name, "tablet", "tablet"),
        (device_name, "fridge", "other"),
        (device_name, "", ""),
        (os_name, "Mac OS X", "macos"),
        (os_name, "iOS", "ios"),
        (os_name, "Windows", "windows"),
        (os_name, "Plan 9", "other"),
        (browser_name, "Chrome", "chrome"),
        (browser_name, "samsung", "samsung"),
        (browser_name, "edge", "edge"),
    ],
)
def test_stated_names_become_ours(name, stated, ours):
    assert name(stated) == ours


@pytest.mark.parametrize("name", [classify, os_name, browser_name])
def test_the_worst_user_agent_is_still_read_in_a_moment(name):
    """No rule may backtrack without end; this would take minutes if one did."""
    for unit in ("android", "tizen mobile ", "a", "iphone android mobile "):
        assert name(unit * 400)
