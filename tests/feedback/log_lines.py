"""Click logs of every format that is read, written by hand or drawn; nobody's data."""

from __future__ import annotations

import numpy as np

CRITEO = [f"I{n}" for n in range(1, 14)] + [f"C{n}" for n in range(1, 27)]
AVAZU = (
    "id,click,hour,C1,banner_pos,site_id,site_domain,site_category,app_id,app_domain,"
    "app_category,device_id,device_ip,device_model,device_type,device_conn_type,"
    "C14,C15,C16,C17,C18,C19,C20,C21"
)
TALKINGDATA = "ip,app,device,os,channel,click_time,attributed_time,is_attributed"
OBD = ",timestamp,item_id,position,click,propensity_score," + ",".join(
    [f"user_feature_{n}" for n in range(4)] + [f"user-item_affinity_{n}" for n in range(3)]
)
IPINYOU = (
    "bidid timestamp logtype ipinyouid useragent IP region city adexchange domain url urlid "
    "slotid slotwidth slotheight slotvisibility slotformat slotprice creative bidprice payprice "
    "keypage advertiser usertag"
)


def criteo_line(label: object = 0, count: object = 3, category: object = "0a1b2c3d") -> str:
    return "\t".join([str(label)] + [str(count)] * 13 + [str(category)] * 26)


def avazu_line(click: object = 0, hour: object = 14102100, site: object = "1fbe01fe") -> str:
    head = f"10000169349117863715,{click},{hour},1005,0,{site},f3845767,28905ebd,ecad2386,7801e8d9"
    return head + ",07d7df22,a99f214a,96809ac8,711ee120,1,0,15704,320,50,1722,0,35,-1,79"


def talkingdata_line(label: object = 0, time: object = "2017-11-07 09:30:38") -> str:
    return f"87540,12,1,13,497,{time},,{label}"


def obd_line(
    click: object = 0, item: object = 2, propensity: object = 0.0125, row: object = 0
) -> str:
    time = "2019-11-24 00:00:34.762830+00:00"
    return f"{row},{time},{item},3,{click},{propensity},81ce,03a5,c2e4,f975,0.0,1.5,2.5"


def ipinyou_line(bid: object = "b1", kind: object = 1, price: object = 77) -> str:
    fields = f"{bid} 20130606000104008 {kind} u1 agent 1.2.3.* 216 217 2 domain url - slot 300 250"
    return "\t".join(f"{fields} 0 0 5 cr 300 {price} - 1458 10006,10063".split())


def drawn_criteo(rows: int, seed: int) -> str:
    """Lines whose label follows from I1 and C1."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 1_000, (rows, 13))
    categories = rng.integers(0, 50, (rows, 26))
    odds = -1 + 0.004 * counts[:, 0] - 1.5 * (categories[:, 0] % 2)
    label = rng.random(rows) < 1 / (1 + np.exp(-odds))
    lines = (
        "\t".join([str(int(one)), *map(str, few), *(f"{value:08x}" for value in many)])
        for one, few, many in zip(label, counts, categories, strict=True)
    )
    return "\n".join(lines) + "\n"
