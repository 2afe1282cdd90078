"""Time what budgets cost a batch and an event; one JSON line per figure.

    python -m bench.ledger

A batch sells 96 slots (32 requests of 3), each paid from an advertiser, a campaign and a line item
that all have limits. `reserve` is the batch's call with the money leased already, which is nearly
always so; `lease` is one sale for which three accounts must lease first; `settle` bills one event
on three levels; `tend` is the round that each worker makes twice a second, off the event loop;
`look_at_all` fills a new worker's ledger. Wall time of one thread, with nobody else at the store.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adserver.bank import Bank
from adserver.books import Books
from adserver.state.disk import DiskStore
from adserver.state.memory import MemoryStore
from adserver.state.store import StateStore
from auction.books import UNLIMITED, Sale
from auction.columns import LEVELS

DAY = 20_000
SOLD = 96
ROUNDS = 2_000
RICH = 10**15
ACCOUNTS = (10_000, 100_000, 800_000)
LIMITED = 5_000
"""Accounts of each size that have limits and are sold from; more change `look_at_all` only."""


@contextmanager
def opened(kind: str) -> Iterator[StateStore]:
    with tempfile.TemporaryDirectory(prefix="ledger-") as folder:
        store = MemoryStore() if kind == "memory" else DiskStore(Path(folder), 4 << 30)
        yield store
        store.close()


def median_us(call: Callable[[], object], rounds: int) -> float:
    call()
    micros = []
    for _ in range(rounds):
        began = time.perf_counter()
        call()
        micros.append((time.perf_counter() - began) * 1e6)
    return round(float(np.median(micros)), 2)


def sales(accounts: int) -> NDArray[np.int32]:
    """[SOLD, LEVELS] three different accounts each, at random among the limited ones."""
    rng = np.random.default_rng(7)
    account = np.full((SOLD, LEVELS), -1, np.int32)
    for level in range(LEVELS - 1):
        ids = rng.integers(0, min(accounts, LIMITED * LEVELS) // LEVELS, SOLD)
        account[:, level] = ids * LEVELS + level
    return account


def figures(kind: str, accounts: int, rounds: int) -> Iterator[tuple[str, float, str]]:
    """Name, value and unit of each figure."""
    with opened(kind) as store:
        bank = Bank(Books(store), worker=0, workers=4, accounts=accounts)
        limited = min(accounts, LIMITED * LEVELS)
        bank.limit(dict.fromkeys(range(limited), (RICH, UNLIMITED)), DAY)
        account, micros = sales(accounts), np.full(SOLD, 1_000, np.int64)
        for row in account:
            bank.reserve(row[None, :], np.array([RICH // 10**6]), DAY)
        yield "reserve", median_us(lambda: bank.reserve(account, micros, DAY), rounds), "us"
        lease, dear = account[:1], np.array([RICH // 10**8])
        yield "lease", median_us(lambda: _lease(bank, lease, dear), rounds), "us"
        sale = Sale(tuple(account[0, :-1].tolist()), 0, 1, 1)
        yield "settle", median_us(lambda: bank.settle(sale, DAY), rounds), "us"
        yield "tend", median_us(lambda: bank.tend(DAY, time.perf_counter()), rounds // 50), "us"
        took = median_us(lambda: bank.look_at_all(DAY), 3) / 1000
        yield f"look_at_all of {limited}", round(took, 1), "ms"


def _lease(bank: Bank, account: NDArray[np.int32], micros: NDArray[np.int64]) -> None:
    bank.ledger.free[account[0, :-1]] = 0
    bank.reserve(account, micros, DAY)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--quick", action="store_true", help="the smallest size, few rounds")
    quick = parser.parse_args().quick
    for kind in ("memory", "disk"):
        for accounts in ACCOUNTS[:1] if quick else ACCOUNTS:
            for name, value, unit in figures(kind, accounts, 100 if quick else ROUNDS):
                line = {"bench": "ledger", "name": name, "store": kind, "accounts": accounts}
                print(json.dumps({**line, unit: value}), flush=True)


if __name__ == "__main__":
    main()
