"""Every setting of the server, its default, and how to choose it.

Read once from the environment, validated whole; each part is handed only to what needs it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

from adserver.catalogue.capping import read_caps
from adserver.environment import Between, OneOf, ReadBy, changed, values
from adserver.errors import ConfigError
from adserver.identity import NoIdentity
from adserver.releases.limits import Limits
from adserver.releases.registry import Registry
from adserver.share_rules import read_rules
from adserver.tier_modes import read_modes
from auction.columns import PPM
from auction.pacing import Mode
from auction.settings import (
    GSP,
    MECHANISMS,
    MOST_INCREMENT,
    AuctionSettings,
    FairnessSettings,
)
from auction.squash import Squash
from feedback.drift.settings import DriftSettings, RetrainSettings
from ranking.gate import GateSettings

ON_OFF = OneOf(("on", "off"))
read_drift = partial(changed, DriftSettings())
read_gate = partial(changed, GateSettings())
read_limits = partial(changed, Limits())


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator may change. Each field is also an environment variable, in upper case."""

    host: str = "127.0.0.1"
    """Address to listen on. 0.0.0.0 behind a load balancer."""
    port: Annotated[int, Between(1, 65535)] = 8080
    """Port of all HTTP: decisions, events, tag, metrics."""
    workers: Annotated[int, Between(1, 256)] = 1
    """Server processes on the port. One per core that Triton and others leave free."""
    own_cores: Annotated[str, ON_OFF] = "on"
    """on: where workers are as many as cores, or twice as many, each keeps to one core. Choose off
    where another server on the machine does the same."""
    scorer: Annotated[str, OneOf(("triton", "local"))] = "triton"
    """triton: a Triton Inference Server scores; local: ONNX Runtime in the worker does."""
    selector: Annotated[str, OneOf(("cpu", "gpu"))] = "cpu"
    """cpu: each worker finds its candidates; gpu: Triton's `ad_selector` finds and scores thousands
    on one device, and the worker where that is late or down. Worth it with a GPU: docs/gpu.md."""
    triton_url: str = ""
    """host:port of Triton's gRPC. Empty: `adserver demo` starts its own."""
    ads: Annotated[int, Between(100, 20_000_000)] = 100_000
    """Size of the sample catalogue that `adserver demo` makes when there is none."""
    adserver_data: Path = Path("var")
    """Folder of everything that is written: catalogue, snapshots, events, tickets, reports."""
    database_url: str = ""
    """SQLAlchemy URL of the catalogue. Empty: SQLite in the data folder."""
    grow_every_s: Annotated[int, Between(0, 86_400)] = 2
    """Least time between two snapshots that are made because ads, targeting or caps have come.
    More takes them up together, which a catalogue of millions wants; 0: `adserver catalog build`
    alone does."""
    model_repository: Path = Path("model_repository")
    """Triton's model repository; the model's towers and fallback are read from it too."""
    models_kept: Annotated[int, Between(1, 1000)] = 5
    """Retired model versions whose files stay, for a look back or a return."""
    candidates: Annotated[int, Between(1, 4096)] = 200
    """Ads scored per request. More finds better ads until scoring no longer fits the deadline."""
    fewest_candidates: Annotated[int, Between(1, 4096)] = 32
    """When time is short a request is scored with fewer candidates, down to this (quality 1)."""
    batch_rows: Annotated[int, Between(1, 1 << 20)] = 4096
    """Most candidate rows in one batch. Larger ones save CPU at high load and cost latency."""
    queue_limit: Annotated[int, Between(1, 1 << 20)] = 512
    """Requests waiting for a batch; one more is answered empty at once (SHED)."""
    deadline_ms: Annotated[int, Between(10, 500)] = 50
    """Answer within this when the caller names no deadline. Callers may ask for 10 to 500."""
    reserve_ms: Annotated[float, Between(0.0, 50.0)] = 6.0
    """Kept back from the deadline for auction, commit and writing the answer."""
    mechanism: Annotated[str, OneOf(MECHANISMS)] = GSP
    """How several slots of a page are priced. gsp: each by the next bid; vcg: each by what its
    winner costs the others, so that the true value is the best bid. One slot: the same."""
    increment_micros: Annotated[int, Between(0, MOST_INCREMENT)] = 10_000
    """What a winner pays above the runner-up, per thousand impressions. 0: the critical bid."""
    tier_modes: Annotated[str, ReadBy(read_modes)] = '{"1-9": "weighted", "10-19": "guaranteed"}'
    """JSON: how the line items of a tier compete. auction where nothing is said; weighted: drawn by
    share, pays its bid; guaranteed: the one furthest behind its goal, pays its bid."""
    squash_gamma: float = 1.0
    """How far click rates count in the ranking, 0.5 to 1 in steps of 0.05. 1 sells to the greatest
    expected value; choose less by replay (`adserver simulate logged --gamma`)."""
    squash_reference_ppm: Annotated[int, Between(1, PPM)] = 2_000
    """Click rate, per million, at which squashing changes nothing: your site's average."""
    personal_reserves: Annotated[str, ON_OFF] = "off"
    """on: asks of each advertiser the reserve that `adserver reserves fit` has learnt from recorded
    auctions, at least. Look at its replay before you switch it on."""
    exploration: Annotated[float, Between(0.0, 0.2)] = 0.01
    """Share of pages on which one slot goes by lot to an ad that could buy it, at its
    floor: what is learnt there says what other rules or models would earn (`adserver replay
    --policy`). More learns faster and costs the difference to the winner's price; 0 is off."""
    fairness_cap: Annotated[float, Between(0.001, 1.0)] = 0.15
    """Largest share of the last `fairness_window` sales that one advertiser may take; 1 = off."""
    fairness_window: Annotated[int, Between(100, 10_000_000)] = 10_000
    """Sales over which shares are counted. Larger is smoother and slower to react."""
    fairness_rules: Annotated[str, ReadBy(read_rules)] = ""
    """JSON list of shares to hold in publishers, placements, segments or the site, with floors for
    small advertisers: see docs/auction.md. A rule of the site replaces the two settings above."""
    fairness_scopes: Annotated[int, Between(1, 65_536)] = 256
    """Publishers, placements and segments counted at once, each with a window of its own (four
    bytes per sale of the window); those that come later have no cap."""
    pacing: Annotated[str, OneOf(tuple(mode.name.lower() for mode in Mode))] = "even"
    """How budgets are spent over the day. even: in step with the traffic; front_loaded: up to 40 %
    faster early, level by the end; asap: whole bids until the money is gone."""
    release_gate: Annotated[str, ReadBy(read_gate)] = "{}"
    """Limits of the release gate that differ from the usual ones, as JSON by name:
    {"flips": 0.02}. Loosen one only with a reason that the gate's report shows."""
    drift_every_s: Annotated[int, Between(0, 86_400)] = 3600
    """How often the model in production is looked at for drift, with what those who serve leave of
    the cores; hours are judged once they are 20 minutes over. 0: never."""
    drift: Annotated[str, ReadBy(read_drift)] = "{}"
    """When a difference is a drift, as JSON of what differs from the usual: {"least_psi": 0.05,
    "window_hours": 3}. With few requests an hour choose longer windows."""
    retrain_max_age_h: Annotated[float, Between(0.01, 10_000.0)] = 24.0
    """Freshness: a model whose newest training data is older asks for a training, drift or not."""
    retrain_min_interval_h: Annotated[float, Between(0.01, 10_000.0)] = 4.0
    """Stability: no training is asked for sooner after the last, whatever has drifted."""
    release_promotion: Annotated[str, ON_OFF] = "on"
    """on: a model in shadow or canary that kept every limit for its time goes one step up by
    itself; off: `adserver models promote` does. Rolling back is automatic in either case."""
    release_limits: Annotated[str, ReadBy(read_limits)] = "{}"
    """Guardrails of a model on trial that differ from the usual ones, as JSON by name:
    {"canary1_s": 3600, "clicks": 0}; see Releases below. Shorter stages see fewer clicks."""
    user_caps: Annotated[str, ReadBy(read_caps)] = ""
    """JSON list of frequency caps on all that one person is shown on the whole site, as in the
    catalogue: [{"max": 20, "window": "24h"}]. Empty: none."""
    no_identity: Annotated[str, OneOf(tuple(NoIdentity))] = "page_only"
    """Frequency caps of people without a user key. page_only: counted within the page view; serve:
    ignored; skip: ads with caps are not shown to them."""
    frequency_hold_s: Annotated[int, Between(1, 3600)] = 360
    """A sale keeps its place under the caps this long while its ad has not been shown. At least as
    long as pages may take to show one (300 s), or a cap may be passed; longer wastes places."""
    repeat_discount: Annotated[float, Between(0.0, 5.0)] = 0.0
    """κ: an ad of a campaign seen n times in the last day is expected to be clicked exp(−κ n) times
    as often. 0 is off; fit it to your click rate by repeat, 0.05 to 0.3 is usual."""
    viewability_ppm: Annotated[int, Between(1, 1_000_000)] = 600_000
    """Viewables per million impressions: what line items that pay per viewable impression (vcpm)
    bid is their price times this. `adserver report ctr` counts both; take viewables / impressions
    of a week. Too high sells them slots that seldom pay, too low loses slots that would have."""
    clicks_per_day: Annotated[int, Between(1000, 10_000_000_000)] = 50_000_000
    """Sold slots whose single-use tickets are kept, a byte each in a sparse file: at least a day's,
    and as many days' as conversions may take."""
    state_bytes: Annotated[int, Between(1 << 20, 1 << 44)] = 16 << 30
    """Most bytes of the state that workers share. A sparse file: be generous."""
    adserver_token_key: str = ""
    """Secret that signs event URLs. `adserver demo` makes and keeps one; `serve` demands one."""
    adserver_token_key_previous: str = ""
    """The key before the current one; its URLs stay valid while you rotate."""
    public_url: str = ""
    """Scheme and host of event URLs as browsers reach us. Empty: taken from the Host header."""
    seat: str = "adserver"
    """Seat name in OpenRTB answers."""
    auction_ring_mib: Annotated[int, Between(1, 1 << 20)] = 256
    """File per worker that keeps the latest auctions for `explain` and `why`: with 200 candidates
    a decision takes some 20 KB, so 256 holds 12 000 of them, two minutes at 100 per second."""
    auction_sample_one_in: Annotated[int, Between(1, 1_000_000)] = 100
    """One auction in so many is kept for days, for replays and forecasts."""
    auction_sample_mib: Annotated[int, Between(1, 1 << 24)] = 4096
    """Most that a worker keeps of that sample; the oldest hours go first."""
    feature_log_mib: Annotated[int, Between(1, 1 << 24)] = 4096
    """Most that a worker keeps of what the model was shown of sold slots, which training reads.
    The oldest hours go first: enough for the days that a model is trained on."""
    adserver_debug_key: str = ""
    """Callers of explain and why must send it as X-Adserver-Key. Empty: only this machine may."""
    shadow_rows_per_s: Annotated[int, Between(0, 1 << 24)] = 20_000
    """Candidates that a worker scores again each second for a model in shadow, about a microsecond
    each; what is beyond is skipped and counted. 0: none, and shadows are never promoted."""
    seed: int = 7
    """Seed of the draw between equal bids; the same seed replays the same sales."""

    @property
    def database(self) -> str:
        return self.database_url or f"sqlite:///{self.adserver_data.resolve()}/catalogue.db"

    @property
    def snapshots(self) -> Path:
        return self.adserver_data / "snapshots"

    @property
    def auctions(self) -> Path:
        return self.adserver_data / "auctions"

    @property
    def features(self) -> Path:
        return self.adserver_data / "features"

    @property
    def registry(self) -> Registry:
        return Registry(self.model_repository)

    @property
    def bundle(self) -> Path:
        """Folder of the model in production, as the registry says now."""
        return self.registry.folder(self.registry.traffic().production)

    @property
    def trial_bundles(self) -> list[Path]:
        """Folders of the models that serve beside it."""
        traffic = self.registry.traffic()
        others = (one for one in traffic.versions if one != traffic.production)
        return [self.registry.folder(one) for one in others]

    @property
    def drift_folder(self) -> Path:
        return self.adserver_data / "drift"

    @property
    def drift_rules(self) -> DriftSettings:
        return read_drift(self.drift)

    @property
    def retrain_rules(self) -> RetrainSettings:
        return RetrainSettings(
            max_age_s=3600 * self.retrain_max_age_h,
            min_interval_s=3600 * self.retrain_min_interval_h,
        )

    @property
    def gate_limits(self) -> GateSettings:
        return read_gate(self.release_gate)

    @property
    def trial_limits(self) -> Limits:
        return read_limits(self.release_limits)

    @property
    def auction(self) -> AuctionSettings:
        return AuctionSettings(
            increment_micros=self.increment_micros,
            mechanism=self.mechanism,
            modes=read_modes(self.tier_modes),
        )

    @property
    def squash(self) -> Squash:
        return Squash(self.squash_gamma, self.squash_reference_ppm)

    @property
    def fairness(self) -> FairnessSettings:
        return FairnessSettings(
            self.fairness_cap,
            self.fairness_window,
            rules=read_rules(self.fairness_rules),
            most_scopes=self.fairness_scopes,
        )

    def problems(self) -> Iterator[str]:
        """What is wrong with settings that are right by themselves; each is named."""
        if self.fewest_candidates > self.candidates:
            yield "FEWEST_CANDIDATES: must not exceed CANDIDATES"
        if self.selector == "gpu" and self.scorer != "triton":
            yield "SELECTOR: gpu needs SCORER=triton, as the selector is a model of Triton's"
        if self.batch_rows < self.candidates:
            yield "BATCH_ROWS: must be at least CANDIDATES"
        if self.retrain_min_interval_h > self.retrain_max_age_h:
            yield "RETRAIN_MIN_INTERVAL_H: must not exceed RETRAIN_MAX_AGE_H"
        yield from (f"SQUASH_GAMMA: {mistake}" for mistake in self.squash.problems())
        yield from (f"FAIRNESS_RULES: {mistake}" for mistake in self.fairness.problems())


def from_environment(environment: Mapping[str, str]) -> Settings:
    """The settings, or one ConfigError that lists every mistake."""
    mistakes: list[str] = []
    settings = Settings(**values(Settings, environment, mistakes))
    mistakes += settings.problems()
    if mistakes:
        raise ConfigError(mistakes)
    return settings
