"""What scoring thousands of candidates buys over hundreds, against scoring every eligible ad.

    python -m bench.thousands --plot thousands.png

Requests of the simulated market are decided as in `bench.funnel`, with k candidates and with all.
Regret is the value of a page's winners that is lost; revenue, what they pay in expectation, which
also needs the runner-up to be among the candidates. Both by the served click model, which is
what more candidates are scored with. Intervals are 95 %, by a bootstrap over requests. One JSON
line for each k.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import orjson
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from adserver.catalogue.builder import build_snapshot
from adserver.catalogue.sample import create_sample
from adserver.settings import Settings
from bench.funnel import Market, Winners, joined, sample

KS = (10, 50, 200, 500, 1_000, 2_000, 4_096)
BATCH = 10
DRAWS = 1_000
SEED = 5


def figures(found: dict[int, Winners], rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """One line for each k."""
    whole = found[0]
    requests = len(whole.page)
    drawn = rng.multinomial(requests, np.full(requests, 1 / requests), DRAWS)
    eligible = float(whole.candidates.mean())
    for k in sorted(set(found) - {0}):
        some = found[k]
        yield {
            "bench": "thousands",
            "k": k,
            "revenue_lost": lost(some.revenue, whole.revenue, drawn),
            "regret": lost(some.page, whole.page, drawn),
            "same_page": round(float(np.mean(some.page == whole.page)), 5),
            "same_revenue": round(float(np.mean(some.revenue == whole.revenue)), 5),
            "scored": round(float(some.candidates.mean()), 1),
            "eligible": round(eligible, 1),
            "requests": requests,
        }


def lost(
    some: NDArray[np.int64], whole: NDArray[np.int64], drawn: NDArray[np.int64]
) -> dict[str, float]:
    """Share of the total that is missing, with a 95 % interval over the requests drawn."""
    shares = 1 - (drawn @ some) / np.maximum(drawn @ whole, 1)
    low, high = np.quantile(shares, [0.025, 0.975])
    share = 1 - some.sum() / max(1, whole.sum())
    return {
        "share": float(f"{share:.3g}"),
        "low": float(f"{low:.3g}"),
        "high": float(f"{high:.3g}"),
    }


def decided(settings: Settings, requests: int, ks: Sequence[int]) -> dict[int, Winners]:
    """The winners for each k and, under 0, those among all eligible ads."""
    market, asked = Market(settings, time.time()), list(sample(requests))
    return joined([market.decide(asked[at : at + BATCH], ks) for at in range(0, len(asked), BATCH)])


def plot(lines: Sequence[dict[str, Any]], path: Path) -> None:
    """Regret and lost revenue over k; a share of nothing lies on the axis."""
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    ks = [one["k"] for one in lines]
    for name, label in (("regret", "value of the winners"), ("revenue_lost", "revenue")):
        share = [one[name]["share"] for one in lines]
        low = [one[name]["low"] for one in lines]
        high = [one[name]["high"] for one in lines]
        axes.plot(ks, share, marker="o", label=label)
        axes.fill_between(ks, low, high, alpha=0.2)
    axes.set_xscale("log")
    axes.set_yscale("symlog", linthresh=1e-6)
    axes.set_ylim(bottom=0)
    axes.set_xticks(ks, [f"{k:,}" for k in ks])
    axes.xaxis.set_minor_locator(mpl.ticker.NullLocator())
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=4))
    axes.set_xlabel("candidates scored")
    axes.set_ylabel("lost against scoring every eligible ad")
    axes.legend()
    figure.savefig(path, dpi=110, metadata={"Software": None})


def main() -> int:
    flags = _flags()
    with tempfile.TemporaryDirectory(prefix="thousands-") as temporary:
        settings = Settings(adserver_data=flags.data or Path(temporary), scorer="local")
        if not flags.data:
            create_sample(settings.database, flags.ads, time.time())
            build_snapshot(settings.database, settings.snapshots, settings.bundle, time.time())
        found = decided(settings, flags.requests, flags.k)
    lines = list(figures(found, np.random.default_rng(SEED)))
    for line in lines:
        sys.stdout.buffer.write(orjson.dumps({**line, "ads": flags.ads}) + b"\n")
    if flags.plot:
        plot(lines, flags.plot)
    return 0


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ads", type=int, default=100_000)
    parser.add_argument("--data", type=Path, help="data folder of a server; instead of --ads")
    parser.add_argument("--requests", type=int, default=2_000)
    parser.add_argument("--k", type=int, nargs="+", default=KS)
    parser.add_argument("--plot", type=Path, help="PNG file to write")
    parser.add_argument("--quick", action="store_true", help="10 000 ads, 100 requests")
    flags = parser.parse_args()
    if flags.quick:
        flags.ads, flags.requests = 10_000, 100
    return flags


if __name__ == "__main__":
    sys.exit(main())
