"""Frequency caps and page views: the compiled loops against a readable oracle, and their rules."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auction import frequency
from auction.caps import DAY_MS, HOUR_MS, NONE, WEEK_MS, Cap, Caps, Entity, On, Unit, window_start
from auction.columns import PPM, Rejection
from auction.frequency import SIGHTING, STANDING, Ads, Batch, Regions, Rules, Wishes

NOW = 1_764_000_000_000
ADS = 24
"""Two ads to a line item, two line items to a campaign, three campaigns to an advertiser."""
CATALOGUE = Ads(
    ad=np.arange(100, 100 + ADS, dtype=np.int64),
    line_item=np.arange(ADS, dtype=np.int32) // 2,
    line_item_id=np.arange(50, 50 + ADS // 2, dtype=np.int64),
    campaign=np.arange(ADS, dtype=np.int32) // 4 + 10,
    advertiser=np.arange(ADS, dtype=np.int32) // 12 + 1,
    creative=np.arange(ADS, dtype=np.int32) // 2,
    labels=np.array([1 << (row % 5) if row % 3 else 0 for row in range(ADS)], np.uint64),
)


def entity(ad: int, kind: Entity) -> int:
    return {
        Entity.AD: int(CATALOGUE.ad[ad]),
        Entity.LINE_ITEM: int(CATALOGUE.line_item_id[CATALOGUE.line_item[ad]]),
        Entity.CAMPAIGN: int(CATALOGUE.campaign[ad]),
        Entity.ADVERTISER: int(CATALOGUE.advertiser[ad]),
        Entity.USER: 0,
    }[kind]


def counting(records, kind, number, cap, now_ms):
    """When what a cap counts happened, latest first; a reservation counts as of now."""
    times = []
    for record in records:
        if entity(int(record["ad"]) - 100, kind) != number or record["reach"] < kind:
            continue
        came = int(record[frequency.EVENT[cap.on]])
        if came:
            times.append(came)
        elif cap.on is not On.CLICK and record["soft_until_ms"] > now_ms:
            times.append(now_ms)
    return sorted(times, reverse=True)


def is_capped(records, ad, mapping, now_ms):
    """The rule: the `most`-th latest of the rows that count lies in the window."""
    for (kind, number), caps in mapping.items():
        for cap in caps if entity(ad, kind) == number else ():
            start = window_start(cap.window_s * 1000, cap.unit, cap.zone_s * 1000, now_ms)
            times = counting(records, kind, number, cap, now_ms)
            if len(times) >= cap.most and times[cap.most - 1] >= start:
                return True
    return False


def caps_strategy():
    sliding = st.builds(
        Cap,
        most=st.integers(1, 4),
        window_s=st.sampled_from([60, 3600, 86_400]),
        on=st.sampled_from(On),
        dont_affect_parent=st.booleans(),
    )
    calendar = st.builds(
        Cap,
        most=st.integers(1, 4),
        unit=st.sampled_from([Unit.HOUR, Unit.DAY, Unit.WEEK, Unit.MONTH]),
        zone_s=st.sampled_from([0, 3600, -5 * 3600, 20_700]),
        on=st.sampled_from(On),
    )
    numbers = {
        Entity.AD: [100, 101, 110, 123],
        Entity.LINE_ITEM: [50, 51, 60],
        Entity.CAMPAIGN: [10, 11, 15],
        Entity.ADVERTISER: [1, 2],
        Entity.USER: [0],
    }
    keys = st.sampled_from([(kind, i) for kind, every in numbers.items() for i in every])
    return st.dictionaries(keys, st.lists(st.one_of(sliding, calendar), max_size=3), max_size=6)


@st.composite
def histories(draw, caps):
    """Of one person: sales of the last two days, some shown, some clicked, some still under way."""
    rows = draw(st.lists(st.integers(0, ADS - 1), max_size=12))
    records = frequency.sightings(np.array(rows, np.int32), CATALOGUE, caps, 0)
    records["number"] = np.arange(1, len(rows) + 1)
    ago = st.integers(-1000, 2 * DAY_MS)
    for record in records:
        record["soft_until_ms"] = NOW - draw(ago) + 360_000
        for name in draw(st.sampled_from([(), ("impression_ms",), tuple(EVENTS)])):
            record[name] = NOW - abs(draw(ago))
    return records


EVENTS = frequency.EVENT.values()


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_sale_that_concerns_no_cap_is_needed_by_none(data):
    """And every cap concerns the sales that it counts."""
    mapping = data.draw(caps_strategy())
    caps = Caps.of({key: found for key, found in mapping.items() if found})
    records = data.draw(histories(caps))
    now = frequency.moment(caps, NOW)

    for at, record in enumerate(records):
        ad = int(record["ad"]) - 100
        ids = [entity(ad, kind) for kind in Entity if kind is not Entity.USER]
        held = any(found and entity(ad, kind) == n for (kind, n), found in mapping.items())
        assert caps.concern(ids) == held
        alone, begin = records[at : at + 1], np.array([0, 1], np.int64)
        assert held or not frequency.needed(alone, begin, caps, now)[0]


@st.composite
def cases(draw):
    mapping = draw(caps_strategy())
    caps = Caps.of(mapping)
    people = [draw(histories(caps)) for _ in range(draw(st.integers(0, 3)))]
    wanted = [draw(st.lists(st.integers(0, ADS - 1), max_size=8)) for _ in people]
    return mapping, caps, people, wanted


def batch_of(people, wanted):
    return Batch(
        np.cumsum([0, *map(len, people)], dtype=np.int64),
        np.cumsum([0, *map(len, wanted)], dtype=np.int32),
        np.array([ad for each in wanted for ad in each], np.int32),
    )


@given(cases())
@settings(max_examples=300, deadline=None)
def test_the_compiled_caps_are_those_of_the_rule(case):
    mapping, caps, people, wanted = case
    records = np.concatenate([np.empty(0, SIGHTING), *people])

    found = frequency.capped(
        records, batch_of(people, wanted), CATALOGUE, caps, frequency.moment(caps, NOW)
    )

    expected = [
        is_capped(history, ad, mapping, NOW)
        for history, each in zip(people, wanted, strict=True)
        for ad in each
    ]
    assert found.tolist() == expected


@given(cases(), st.integers(0, 2 * DAY_MS))
@settings(max_examples=200, deadline=None)
def test_what_is_pruned_would_never_have_counted_again(case, later_ms):
    mapping, caps, people, wanted = case
    kept = []
    for history in people:
        regions = Regions(history.copy(), np.array([0]), np.array([len(history)]))
        frequency.prune(regions, caps, frequency.moment(caps, NOW))
        kept.append(regions.record[: regions.end[0]])

    for history, rest, each in zip(people, kept, wanted, strict=True):
        for ad in each:
            then = NOW + later_ms
            assert is_capped(history, ad, mapping, then) == is_capped(rest, ad, mapping, then)


def regions(kind, *parts, room):
    """Regions of these records, each with room for more."""
    size = [len(part) + room for part in parts]
    start = np.cumsum([0, *size], dtype=np.int64)[: len(parts)]
    record = np.zeros(sum(size), kind)
    for at, part in zip(start, parts, strict=True):
        record[at : at + len(part)] = part
    return Regions(record, start, start + np.array([len(part) for part in parts], np.int64))


def wishes(ads, caps, person=None, page=None, request=None, package=None):
    rows = np.array(ads, np.int32)
    sighting = frequency.sightings(rows, CATALOGUE, caps, NOW + 360_000)
    sighting["number"] = np.arange(1000, 1000 + len(ads))
    none = np.full(len(ads), -1, np.int32)
    return Wishes(
        request=np.array(request or range(len(ads)), np.int32),
        person=none if person is None else np.array(person, np.int32),
        page=none if page is None else np.array(page, np.int32),
        package=np.array(package or [0] * len(ads), np.int32),
        sighting=sighting,
        standing=frequency.standings(rows, CATALOGUE, NOW),
    )


@given(cases())
@settings(max_examples=200, deadline=None)
def test_a_sale_is_granted_just_when_its_history_with_all_sales_before_allows_it(case):
    mapping, caps, people, wanted = case
    owner = [person for person, each in enumerate(wanted) for _ in each]
    asked = wishes([ad for each in wanted for ad in each], caps, person=owner)

    code = frequency.grant(
        asked,
        regions(SIGHTING, *people, room=8),
        regions(STANDING, room=0),
        caps,
        frequency.moment(caps, NOW),
        Rules(),
    )

    expected = []
    for person, each in enumerate(wanted):
        for ad in each:
            refused = is_capped(people[person], ad, mapping, NOW)
            expected.append(int(Rejection.FREQUENCY) if refused else 0)
            if not refused:
                sale = frequency.sightings(np.array([ad], np.int32), CATALOGUE, caps, NOW + 1)
                people[person] = np.concatenate([people[person], sale])
    assert code.tolist() == expected


def clash(ad, standing, once):
    kin = [other for other in standing if int(other["t_ms"]) > NOW - frequency.PAGE_MS]
    if any(
        CATALOGUE.ad[ad] == other["ad"] or CATALOGUE.creative[ad] == other["creative"]
        for other in kin
    ):
        return Rejection.DUPLICATE
    if any(
        (once and CATALOGUE.advertiser[ad] == other["advertiser"])
        or int(CATALOGUE.labels[ad]) & int(other["labels"])
        for other in kin
    ):
        return Rejection.EXCLUSION
    return Rejection.WON


ages = st.integers(-5, 2 * frequency.PAGE_MS)
pages = st.lists(st.lists(st.tuples(st.integers(0, ADS - 1), ages), max_size=4), max_size=3)


@given(pages, st.data(), st.booleans())
@settings(max_examples=200, deadline=None)
def test_the_compiled_page_rules_are_those_of_the_rule(views, data, once):
    standing = []
    for view in views:
        records = frequency.standings(np.array([ad for ad, _ in view], np.int32), CATALOGUE, NOW)
        records["t_ms"] -= np.array([age for _, age in view], np.int64)
        standing.append(records)
    wanted = [data.draw(st.lists(st.integers(0, ADS - 1), max_size=6)) for _ in views]

    code = frequency.page_rejections(
        np.concatenate([np.empty(0, STANDING), *standing]),
        batch_of(standing, wanted),
        CATALOGUE,
        Rules(advertiser_once=once),
        NOW,
    )

    assert code.tolist() == [
        clash(ad, view, once) for view, each in zip(standing, wanted, strict=True) for ad in each
    ]


def granted(ads, caps=NONE, **wish):
    return frequency.grant(
        wishes(ads, caps, **wish),
        regions(SIGHTING, np.empty(0, SIGHTING), room=9),
        regions(STANDING, np.empty(0, STANDING), room=9),
        caps,
        frequency.moment(caps, NOW),
        Rules(),
    ).tolist()


def test_two_slots_of_one_page_never_both_pass_a_cap_of_one():
    caps = Caps.of({(Entity.CAMPAIGN, 10): [Cap(1, 3600)]})

    assert granted([0, 1, 4], caps, person=[0] * 3, request=[0] * 3) == [0, Rejection.FREQUENCY, 0]


def test_a_second_call_of_a_page_view_meets_what_the_first_one_sold():
    first, twin, kin = 0, 1, 6  # ads 0 and 1 share a creative; 6 has the same advertiser

    code = granted([first, twin, kin], page=[0] * 3, request=[0, 1, 2])

    assert code == [0, Rejection.DUPLICATE, Rejection.EXCLUSION]


def test_slots_sold_together_are_not_asked_the_pages_rules_again():
    """The auction has kept them, and knows of roadblocks, which are of one advertiser."""
    assert granted([0, 2], page=[0, 0], request=[0, 0]) == [0, 0]


def test_what_a_page_refuses_takes_no_place_in_the_history():
    caps = Caps.of({(Entity.ADVERTISER, 1): [Cap(2, 3600)]})

    code = granted([0, 1, 4], caps, person=[0] * 3, page=[0, 0, -1], request=[0, 1, 2])

    assert code == [0, Rejection.DUPLICATE, 0]


def test_a_package_stands_whole_or_not_at_all_and_leaves_its_places_to_others():
    """Two of three parts would fit under the cap; the single ad that comes last then does."""
    caps = Caps.of({(Entity.CAMPAIGN, 10): [Cap(2, 3600)]})
    roadblock = Rejection.ROADBLOCK

    whole = granted([0, 1], caps, person=[0, 0], request=[0, 0], package=[7, 7])
    broken = granted([0, 1, 2, 3], caps, person=[0] * 4, request=[0] * 4, package=[7, 7, 7, 0])

    assert whole == [0, 0]
    assert broken == [roadblock, roadblock, Rejection.FREQUENCY, 0]


def test_a_sale_that_does_not_affect_its_parents_leaves_their_caps_alone():
    caps = Caps.of(
        {
            (Entity.AD, 100): [Cap(1, 3600, dont_affect_parent=True)],
            (Entity.CAMPAIGN, 10): [Cap(1, 3600)],
        }
    )

    assert granted([0, 1, 2], caps, person=[0] * 3) == [0, 0, Rejection.FREQUENCY]


def test_a_person_who_has_seen_enough_of_the_site_sees_nothing_more():
    caps = Caps.of({(Entity.USER, 0): [Cap(2, 3600)]})

    assert granted([0, 6, 12], caps, person=[0] * 3) == [0, 0, Rejection.FREQUENCY]


def one_sale(caps):
    return frequency.sightings(np.array([0], np.int32), CATALOGUE, caps, NOW + 360_000)


def capped_at(records, caps, now_ms):
    batch = batch_of([records], [[0]])
    return bool(
        frequency.capped(records, batch, CATALOGUE, caps, frequency.moment(caps, now_ms))[0]
    )


def test_a_reservation_counts_until_it_ends_and_for_good_once_the_event_has_come():
    caps = Caps.of({(Entity.AD, 100): [Cap(1, 3600)]})
    records = one_sale(caps)

    shown = frequency.witness(records, records, On.IMPRESSION, NOW + 300_000)

    assert capped_at(records, caps, NOW + 359_999)
    assert not capped_at(records, caps, NOW + 360_000)
    assert capped_at(shown, caps, NOW + 300_000 + HOUR_MS - 1)
    assert not capped_at(shown, caps, NOW + 300_000 + HOUR_MS)


def test_a_cap_on_clicks_lets_the_ad_be_shown_until_it_is_clicked():
    caps = Caps.of({(Entity.AD, 100): [Cap(1, 3600, on=On.CLICK)]})
    records = one_sale(caps)
    shown = frequency.witness(records, records, On.IMPRESSION, NOW + 1)
    clicked = frequency.witness(shown, records, On.CLICK, NOW + 2)

    assert [capped_at(each, caps, NOW + 3) for each in (records, shown, clicked)] == [
        False,
        False,
        True,
    ]


def test_an_event_counts_once_and_also_when_its_reservation_is_no_longer_there():
    caps = Caps.of({(Entity.AD, 100): [Cap(1, 3600)]})
    sale = one_sale(caps)

    late = frequency.witness(np.empty(0, SIGHTING), sale, On.IMPRESSION, NOW + 400_000)
    again = frequency.witness(late, sale, On.IMPRESSION, NOW + 500_000)

    assert again["impression_ms"].tolist() == [NOW + 400_000]


def test_a_released_reservation_frees_its_place_but_an_event_does_not():
    sale = one_sale(NONE)
    shown = frequency.witness(sale, sale, On.IMPRESSION, NOW)

    assert len(frequency.release(sale, 0)) == 0
    assert len(frequency.release(shown, 0)) == 1


@pytest.mark.parametrize(
    ("unit", "zone_h", "at", "start"),
    [
        (Unit.HOUR, 0, "2026-11-25T01:43:44", "2026-11-25T01:00:00"),
        (Unit.HOUR, 5.75, "2026-11-25T01:43:44", "2026-11-25T01:15:00"),
        (Unit.DAY, 0, "2026-11-25T01:43:44", "2026-11-25T00:00:00"),
        (Unit.DAY, -5, "2026-11-25T01:43:44", "2026-11-24T05:00:00"),
        (Unit.DAY, 0, "2026-11-25T00:00:00", "2026-11-25T00:00:00"),
        (Unit.WEEK, 0, "2026-11-25T01:43:44", "2026-11-23T00:00:00"),
        (Unit.WEEK, 0, "2026-11-23T00:00:00", "2026-11-23T00:00:00"),
        (Unit.MONTH, 2, "2026-11-30T22:30:00", "2026-11-30T22:00:00"),
        (Unit.MONTH, 0, "2024-02-29T12:00:00", "2024-02-01T00:00:00"),
    ],
)
def test_calendar_windows_begin_on_the_clock_of_their_time_zone(unit, zone_h, at, start):
    now, expected = (int(np.datetime64(text, "ms").astype(np.int64)) for text in (at, start))

    assert window_start(0, unit, int(zone_h * HOUR_MS), now) == expected


@given(st.sampled_from(Unit), st.integers(-14, 14), st.integers(0, 10**13), st.integers(0, 10**10))
def test_a_window_never_begins_earlier_than_it_did(unit, zone_h, now, later):
    start = window_start(WEEK_MS, unit, zone_h * HOUR_MS, now)

    assert start <= now
    assert start <= window_start(WEEK_MS, unit, zone_h * HOUR_MS, now + later)


def test_every_mistake_of_the_caps_is_named():
    with pytest.raises(ValueError, match="ad 1: max must be 1 to 100") as mistakes:
        Caps.of(
            {
                (Entity.AD, 1): [Cap(0, 60)],
                (Entity.CAMPAIGN, 2): [Cap(1, 181 * 86_400)],
                (Entity.ADVERTISER, 3): [Cap(1, 60)] * 6,
                (Entity.USER, 4): [Cap(1, 5, Unit.DAY, zone_s=15 * 3600)],
            }
        )

    for part in ("window must be 1 to", "6 caps", "user 4 is not", "no length", "14 hours"):
        assert part in str(mistakes.value)


def test_caps_are_arrays_that_an_npz_file_keeps(tmp_path):
    from dataclasses import fields

    caps = Caps.of({(Entity.AD, 5): [Cap(1, 60), Cap(3, 3600)], (Entity.USER, 0): [Cap(9, 60)]})
    np.savez(tmp_path / "caps.npz", **{f.name: getattr(caps, f.name) for f in fields(caps)})

    with np.load(tmp_path / "caps.npz") as read:
        again = Caps(*(read[f.name] for f in fields(caps)))

    assert caps
    assert not NONE
    assert again.find(Entity.AD, np.array([4, 5, 6])).tolist() == [-1, 0, -1]
    assert again.most.tolist() == [1, 3, 9]


def test_caps_of_the_site_join_those_of_the_catalogue():
    campaign, site = [Cap(2, 3600), Cap(5, 86_400)], [Cap(3, 60, on=On.CLICK), Cap(9, 3600)]
    both = Caps.of({(Entity.CAMPAIGN, 10): campaign, (Entity.USER, 0): site})

    joined = Caps.of({(Entity.CAMPAIGN, 10): campaign}).with_user(site)

    assert joined.find(Entity.USER, np.array([0])).tolist() == [1]
    for name in ("base", "place", "offset", "exempt", "most", "on"):
        assert getattr(joined, name).tolist() == getattr(both, name).tolist()
    assert joined.length_ms[joined.window].tolist() == both.length_ms[both.window].tolist()
    assert NONE.with_user([]) is NONE


def test_what_has_been_seen_before_is_expected_to_be_clicked_less():
    caps = Caps.of({(Entity.CAMPAIGN, 10): [Cap(9, 86_400)]})
    shown = one_sale(caps)
    shown["impression_ms"] = NOW - 5
    table = frequency.discounts(0.5)
    batch = batch_of([np.concatenate([shown, shown])], [[0, 2, 8]])

    seen = frequency.seen_counts(
        np.concatenate([shown, shown]), batch, CATALOGUE.campaign[batch.row], NOW - DAY_MS
    )

    assert seen.tolist() == [2, 2, 0]
    assert table[:3].tolist() == [PPM, 606_531, 367_879]
    rates = frequency.discounted(np.full((3, 1), 10_000), seen, table)
    assert rates[:, 0].tolist() == [3_678, 3_678, 10_000]
