"""Accounts of four levels, and workers that sell from them."""

from __future__ import annotations

import numpy as np

from adserver.bank import Bank

DAY = 20_000
ADVERTISER, CAMPAIGN, LINE_ITEM, DEAL = 4, 9, 14, 19
ALL = (ADVERTISER, CAMPAIGN, LINE_ITEM, DEAL)


def bank_of(books, worker, workers=2):
    bank = Bank(books, worker, workers)
    bank.look_at_all(DAY)
    bank.cover(100)
    return bank


def reserve(bank, *micros, accounts=(-1, CAMPAIGN, -1, -1), day=DAY):
    rows = np.array([accounts] * len(micros), np.int32)
    return bank.reserve(rows, np.array(micros), day)[0].tolist()


def book_of(books, account=CAMPAIGN):
    return books.read([account])[0]
