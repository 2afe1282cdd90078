"""One valid body per path that fills every field the parsers look at, and some they do not."""

from __future__ import annotations

from typing import Any

DECISION: dict[str, Any] = {
    "id": "r-1",
    "publisher_id": "pub-1",
    "deadline_ms": 50,
    "placements": [
        {
            "id": "top",
            "zone_id": "z1",
            "sizes": [[300, 250], [728, 90]],
            "formats": ["banner"],
            "floor_cpm": 0.5,
            "count": 2,
            "kv": {"section": "sport", "paid": True, "depth": 3, "tag": ["a", "b"]},
            "keywords": ["football"],
            "events": ["viewable"],
        },
        {
            "id": "side",
            "sizes": [[160, 600]],
            "floor_cpm": 1,
            "floor_currency": "USD",
            "deals": [{"id": "gold", "bidfloor": 2.5, "bidfloorcur": "USD", "at": 3}],
            "private": 0,
        },
    ],
    "page": {
        "url": "https://www.pub.example/a?b=c#d",
        "ref": "",
        "categories": ["IAB17"],
        "keywords": ["cup"],
        "page_view_id": "pv-9",
        "complete": 1,
        "lang": "en-GB",
    },
    "user": {"key": "u1", "segments": ["s1", "s2"]},
    "device": {
        "ua": "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Safari/604.1",
        "ip": "203.0.113.9",
        "type": "phone",
        "os": "ios",
        "browser": "safari",
        "language": "en",
        "geo": {"country": "US", "region": "CA"},
    },
    "privacy": {"gdpr": 1, "consent": "CP", "gpp_sid": [], "coppa": 0},
    "block": {
        "advertisers": ["bad.example"],
        "categories": ["IAB25"],
        "creative_ids": ["c9"],
    },
    "currency": "USD",
    "test": 0,
    "explain": "summary",
}
OPENRTB: dict[str, Any] = {
    "id": "20c1",
    "test": 0,
    "at": 2,
    "tmax": 400,
    "cur": ["USD"],
    "allimps": 1,
    "imp": [
        {
            "id": "slot1",
            "tagid": "z9",
            "secure": 1,
            "bidfloor": 0.75,
            "bidfloorcur": "USD",
            "banner": {
                "w": 300,
                "h": 250,
                "battr": [1, 3],
                "format": [{"w": 300, "h": 250}, {"w": 728, "h": 90}],
            },
            "ext": {"prebid": {"bidder": {"rk": {"zone": "z1"}}, "adunitcode": "slot1"}},
        },
        {
            "id": "slot2",
            "banner": {"w": 160, "h": 600},
            "video": {"mimes": ["video/mp4"]},
            "pmp": {
                "private_auction": 0,
                "deals": [
                    {
                        "id": "gold",
                        "bidfloor": 2.5,
                        "bidfloorcur": "USD",
                        "at": 3,
                        "wseat": ["s1"],
                        "wadomain": ["acme.example"],
                    }
                ],
            },
        },
    ],
    "site": {
        "domain": "pub.example",
        "page": "https://pub.example/a",
        "cat": ["IAB1"],
        "pagecat": ["IAB1-2"],
        "sectioncat": [],
        "keywords": "hiking,tents",
        "publisher": {"domain": "pub.example", "id": "pub-1"},
    },
    "bcat": ["IAB25"],
    "badv": ["bad.example"],
    "device": {
        "ua": "Mozilla/5.0 (X11; Linux x86_64) Chrome/156",
        "language": "en",
        "devicetype": 2,
        "os": "Linux",
        "geo": {"country": "USA", "region": "CA"},
        "sua": {
            "platform": {"brand": "Linux"},
            "browsers": [{"brand": "Chromium", "version": ["156"]}],
            "mobile": 0,
        },
    },
    "user": {
        "id": "u1",
        "keywords": "a,b",
        "data": [{"name": "pub", "segment": [{"id": "42"}]}],
        "ext": {"consent": "CPX"},
    },
    "regs": {"coppa": 0, "gpp_sid": [6], "ext": {"gdpr": 1}},
    "source": {"ext": {"schain": {"ver": "1.0", "complete": 1, "nodes": []}}},
    "ext": {
        "kv": {"section": "sport"},
        "page_view_id": "pv-1",
        "prebid": {"page_view_ids": {"rk": "71cc"}},
    },
}
BODIES = {"/v1/decision": DECISION, "/openrtb2/auction": OPENRTB, "/openrtb2/bid": OPENRTB}
