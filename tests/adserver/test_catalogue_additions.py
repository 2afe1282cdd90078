"""What may be added to a catalogue, and that a document is added whole or not at all."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path

import pytest
from catalogue_additions import a_campaign, a_document, a_line_item, an_ad, an_advertiser
from catalogue_sample import fresh_place
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select
from typer.testing import CliRunner

from adserver.catalogue import additions, operations, schema
from adserver.cli import app
from adserver.errors import ConfigError


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return fresh_place(tmp_path_factory.mktemp("additions"))


@pytest.fixture(scope="module")
def engine(place):
    engine = place.engine()
    yield engine
    engine.dispose()


def counts(engine):
    with engine.connect() as connection:
        tables = (*schema.LEVELS.values(), schema.change)
        return [connection.execute(select(func.count()).select_from(t)).scalar() for t in tables]


def changes(engine, since):
    table = schema.change
    with engine.connect() as connection:
        query = select(table).where(table.c.revision > since).order_by(table.c.revision)
        return [(row.revision, row.kind, row.row_id) for row in connection.execute(query)]


def revision(engine):
    return operations.summary(engine)["revision"]


def inside(*line_items, campaign=1, advertiser=1):
    campaigns = [{"id": campaign, "line_items": [*line_items]}]
    return {"advertisers": [{"id": advertiser, "campaigns": campaigns}]}


def test_everything_that_is_stated_is_in_the_database(engine):
    ad = an_ad("Cups", width=728, height=90, attributes=[1, 6], secure=False, language="de")
    line_item = a_line_item(
        ad,
        pricing="cpm",
        bid_micros=9_000,
        targeting={"country": {"include": ["DEU"]}},
        start_s=5.5,
        end_s=6.5,
        tier=90,
        goal_kind="impressions",
        goal_amount=7,
        labels=["hot"],
        frequency_caps=[{"max": 1, "window": "1h"}],
        status="paused",
    )
    ids = additions.add(engine, a_document(line_item))

    found = operations.show(engine, "line_item", ids["line_item"][0])
    stated = {name: value for name, value in line_item.items() if name != "ads"}
    assert {name: found[name] for name in stated} == stated
    assert found["campaign_id"] == ids["campaign"][0]
    campaign = operations.show(engine, "campaign", ids["campaign"][0])
    assert campaign["advertiser_id"] == ids["advertiser"][0]
    assert campaign["currency"] == "USD"
    row = operations.show(engine, "ad", ids["ad"][0])
    assert {name: row[name] for name in ad} == ad


def test_each_new_row_is_noted_under_a_revision_of_its_own(engine):
    before = revision(engine)

    ids = additions.add(engine, a_document())

    noted = changes(engine, before)
    expected = [(f"+{level}", number) for level, some in ids.items() for number in some]
    assert [change[1:] for change in noted] == expected
    assert [change[0] for change in noted] == list(range(before + 1, before + 1 + len(noted)))
    assert revision(engine) == before + len(expected)


def test_ads_go_to_the_line_items_they_are_listed_in(engine):
    items = [a_line_item(an_ad(f"A{n}"), an_ad(f"B{n}")) for n in range(3)]

    ids = additions.add(engine, a_document(*items))

    for number, line_item in enumerate(ids["line_item"]):
        for letter, ad in zip("AB", ids["ad"][2 * number :], strict=False):
            row = operations.show(engine, "ad", ad)
            assert (row["line_item_id"], row["title"]) == (line_item, f"{letter}{number}")


def test_what_is_there_is_named_by_its_id_and_left_as_it_is(engine):
    before = operations.show(engine, "line_item", 1)

    ids = additions.add(engine, inside({"id": 1, "ads": [an_ad()]}))

    assert list(map(len, ids.values())) == [0, 0, 0, 1]
    assert operations.show(engine, "ad", ids["ad"][0])["line_item_id"] == 1
    assert operations.show(engine, "line_item", 1) == before


def test_the_document_in_the_operators_page_is_one(engine):
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    (document,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)

    ids = additions.add(engine, json.loads(document))

    assert list(map(len, ids.values())) == [0, 1, 1, 1]


def of_ad(**fields):
    return a_document(a_line_item(an_ad(**fields)))


def of_item(**fields):
    return a_document(a_line_item(an_ad(), **fields))


AD = r"advertisers\[0\]\.campaigns\[0\]\.line_items\[0\]\.ads\[0\]"
ITEM = r"advertisers\[0\]\.campaigns\[0\]\.line_items\[0\]"


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ([], "the document is an object"),
        ({"ads": []}, "the document is an object"),
        ({"advertisers": {}}, "advertisers: is not a list"),
        ({"advertisers": []}, "advertisers: nothing is to be added"),
        ({"advertisers": [{"id": 1}]}, "advertisers: nothing is to be added"),
        ({"advertisers": [7]}, r"advertisers\[0\]: is not an object"),
        (inside({"id": 1, "ads": [an_ad()], "bid_micros": 5}), rf"{ITEM}\.bid_micros: what has"),
        (inside({"id": "1", "ads": [an_ad()]}), rf"{ITEM}\.id: '1' is not an id"),
        (inside({"id": True, "ads": [an_ad()]}), rf"{ITEM}\.id: 'True' is not an id"),
        (inside({"id": 10**9, "ads": [an_ad()]}), rf"{ITEM}\.id: there is no line_item"),
        (inside(a_line_item(), advertiser=2), r"id: campaign 1 is of advertiser_id 1"),
        (a_document({"id": 1, "ads": []}), rf"{ITEM}\.id: what lies in something new is new"),
        (of_ad(title=""), rf"{AD}\.title: .*length >= 1"),
        (of_ad(width=0), rf"{AD}\.width: .* >= 1"),
        (of_ad(markup=None), rf"{AD}\.markup: .*one of the two"),
        (of_ad(template_id=1), rf"{AD}\.markup: .*one of the two"),
        (of_ad(template_id=99, markup=None), rf"{AD}\.template_id: there is no template 99"),
        (of_ad(category="tea"), rf"{AD}\.category: .*regex"),
        (of_ad(landing_url="javascript:alert(1)"), rf"{AD}\.landing_url: .*regex"),
        (of_ad(colour="red"), rf"{AD}: .*unknown field `colour`"),
        (of_ad(frequency_caps=[{"max": 0, "window": "1h"}]), rf"{AD}\.frequency_caps: .*max"),
        (of_item(pricing="free"), rf"{ITEM}\.pricing: 'free' is none of cpm, cpc"),
        (of_item(pricing="cpm", bid_micros=1), rf"{ITEM}\.bid_micros: .*multiple"),
        (of_item(bid_micros=0), rf"{ITEM}\.bid_micros: .* >= 1"),
        (of_item(bid_micros=1 << 60), rf"{ITEM}\.bid_micros: .* <= "),
        (of_item(pricing="flat"), rf"{ITEM}\.goal_kind: a flat fee"),
        (of_item(goal_kind="clicks"), rf"{ITEM}\.goal_kind: goes together"),
        (of_item(start_s=2.0, end_s=1.0), rf"{ITEM}\.end_s: is not after"),
        (of_item(deal_id=77), rf"{ITEM}\.deal_id: there is no deal 77"),
        (of_item(targeting={"moon": {}}), rf"{ITEM}\.targeting: .*unknown field `moon`"),
        (
            of_item(targeting={"country": {"include": ["DE"]}}),
            rf"{ITEM}\.targeting\.country\.include\[0\]: 'DE'",
        ),
        (
            {"advertisers": [an_advertiser(a_campaign(currency="XAU"))]},
            r"campaigns\[0\]\.currency: there is no rate for XAU",
        ),
        ({"advertisers": [an_advertiser(domain="no domain")]}, r"advertisers\[0\]\.domain: "),
        ({"advertisers": [{"name": "x"}]}, r"advertisers\[0\]: .*missing required field `domain`"),
    ],
)
def test_a_mistake_is_named_and_nothing_is_added(engine, document, named):
    before = counts(engine)

    with pytest.raises(ConfigError, match=named):
        additions.add(engine, document)

    assert counts(engine) == before


def test_more_labels_than_a_snapshot_tells_apart_are_refused(engine):
    before = counts(engine)
    many = [a_line_item(an_ad(), labels=[f"l{n}", "category"]) for n in range(64)]

    with pytest.raises(ConfigError, match=r"labels: \d+ different ones, at most 64"):
        additions.add(engine, a_document(*many))

    assert counts(engine) == before
    ids = additions.add(engine, a_document(*many[:30]))
    assert len(ids["line_item"]) == 30


def test_all_mistakes_of_a_document_are_named_at_once(engine):
    ads = [an_ad(title=""), an_ad(), an_ad(width=-1)]

    with pytest.raises(ConfigError) as refused:
        additions.add(engine, a_document(a_line_item(*ads)))

    wrong = [mistake.partition(": ")[0].rpartition("ads")[2] for mistake in refused.value.mistakes]
    assert wrong == ["[0].title", "[2].width"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
FIELDS = st.sampled_from(["id", "name", "domain", "campaigns", "line_items", "ads", "targeting"])


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.dictionaries(FIELDS, JSON | st.lists(st.dictionaries(FIELDS, JSON)))))
def test_no_document_does_anything_but_be_added_or_refused(engine, parts):
    before = counts(engine)
    with suppress(ConfigError):
        added = additions.add(engine, {"advertisers": parts})
        before[:4] = [count + len(ids) for count, ids in zip(before, added.values(), strict=False)]
        before[4] += sum(map(len, added.values()))

    assert counts(engine) == before


def test_more_rows_than_are_taken_are_refused_before_they_are_read(engine, monkeypatch):
    monkeypatch.setattr(additions, "MOST_ROWS", 3)

    with pytest.raises(ConfigError, match="more than 3 rows"):
        additions.add(engine, a_document())


def test_the_command_adds_a_file_and_names_the_new_ids(place, engine, tmp_path, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", place.url)
    monkeypatch.setenv("ADSERVER_DATA", str(tmp_path))
    file = tmp_path / "new.json"
    file.write_text(json.dumps(a_document()))

    said = CliRunner().invoke(app, ["catalog", "add", str(file)])

    assert said.exit_code == 0, said.output
    words = dict(line.split(": ") for line in said.stdout.splitlines())
    assert operations.show(engine, "ad", int(words["ad"].split()[1]))["title"] == "Newer tea"


@pytest.mark.parametrize("content", [b"{", b"\xff", b"", b'{"advertisers": [{}]}'])
def test_the_command_refuses_what_it_cannot_read(place, tmp_path, monkeypatch, content):
    monkeypatch.setenv("DATABASE_URL", place.url)
    monkeypatch.setenv("ADSERVER_DATA", str(tmp_path))

    said = CliRunner().invoke(app, ["catalog", "add", "-"], input=content)

    assert said.exit_code == 2
    assert said.stderr.startswith("error: ")
    assert "Traceback" not in said.stderr


def test_other_targeting_is_noted_for_the_next_snapshot(engine):
    before = revision(engine)
    wanted = {"country": {"include": ["FRA"]}}

    operations.set_targeting(engine, 2, wanted)

    assert operations.show(engine, "line_item", 2)["targeting"] == wanted
    assert changes(engine, before) == [(before + 1, "+line_item", 2)]
    with pytest.raises(ConfigError, match="country"):
        operations.set_targeting(engine, 2, {"country": {"include": ["France"]}})
