"""Conversion rates of CPA line items from the event log, into the catalogue.

An operator's command, run as often as the rates should follow: what it writes is what the line
item bids with from the next poll on, in place of what was stated or learnt before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np
from sqlalchemy import Engine, select

from adserver.catalogue.operations import next_revision, note
from adserver.catalogue.schema import line_item
from adserver.records import ClickRecord, ConversionRecord, Record
from ranking.conversion import conversion_ppm


def learn_conversions(engine: Engine, records: Iterable[Record]) -> int:
    """Set the rate of each CPA line item that has been clicked; how many there were."""
    clicks, conversions = Counter[int](), Counter[int]()
    for record in records:
        if isinstance(record, ClickRecord | ConversionRecord) and record.code.counts:
            counted = clicks if isinstance(record, ClickRecord) else conversions
            counted[record.line_item] += not record.test
    with engine.begin() as connection:
        paying = select(line_item.c.id).where(line_item.c.pricing == "cpa")
        known = [row for row in connection.execute(paying).scalars() if clicks[row]]
        rates = conversion_ppm(
            np.array([clicks[row] for row in known], np.int64),
            np.array([conversions[row] for row in known], np.int64),
        )
        for row, rate in zip(known, rates.tolist(), strict=True):
            number = next_revision(connection)
            its = line_item.update().where(line_item.c.id == row)
            connection.execute(its.values(pcvr_ppm=rate))
            note(connection, number, "line_item", row)
    return len(known)
