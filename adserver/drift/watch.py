"""One look at the model in production: hours that closed since the last, a verdict, what to do.

`look` is what the running system does from time to time, `looked_at` the same of any span. Time
comes as an argument: simulated days are watched like real ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from adserver.drift.files import DriftFiles, Findings, Observed
from adserver.drift.models import Watched, watched
from adserver.features.log import segments
from adserver.releases.registry import Registry
from adserver.settings import Settings
from feedback.drift.hours import Hours, merged
from feedback.drift.observing import Log, closed_ms, learn, observe
from feedback.drift.reference import Reference
from feedback.drift.report import figures
from feedback.drift.retrain import State, retrain_decision
from feedback.drift.scales import judge_scales, of_days
from feedback.drift.settings import HOUR_MS

SEED = 7
"""Of the bootstrap of vectors."""
FIRST_MS = 48 * HOUR_MS
"""A model whose training data is not in this server's log is compared with its first two days."""


@dataclass(frozen=True, slots=True)
class Span:
    since_ms: int
    until_ms: int


def look(settings: Settings, now_ms: int, registry: Registry | None = None) -> Findings:
    """Findings of everything since the release, which are also kept; RegistryError.

    The warehouse must be up to date (`feedback.compaction.compact`).
    """
    model, files = _model(settings, registry), DriftFiles(settings.drift_folder)
    log, end_ms = log_of(settings, model), closed_ms(now_ms)
    known = _reference(files, log, model, settings, end_ms)
    if known is None:
        found = _nothing(model, now_ms, "there is no day of labelled impressions to compare with")
    else:
        reference, words = known
        model = _of_this_site(model, reference)
        begin_ms = _begin_ms(model, reference)
        hours = _caught_up(files, log, model, reference, Span(begin_ms, end_ms))
        found = concluded(settings, model, (reference, words), hours, now_ms)
    files.keep(found)
    return found


def looked_at(
    settings: Settings, reference: Span, span: Span, now_ms: int, registry: Registry | None = None
) -> Findings:
    """Findings of one span against another; nothing is kept."""
    model = _model(settings, registry)
    log = log_of(settings, model)
    learnt = learn(log, reference.since_ms, reference.until_ms)
    if learnt is None:
        return _nothing(model, now_ms, "the reference has no labelled impressions")
    hours = observe(
        log, learnt, model.version, span.since_ms, min(span.until_ms, closed_ms(now_ms))
    )
    return concluded(settings, model, (learnt, _counted("the span given", learnt)), hours, now_ms)


def log_of(settings: Settings, model: Watched) -> Log:
    return Log(settings.adserver_data / "warehouse", settings.features, model.vectors)


def concluded(
    settings: Settings,
    model: Watched,
    compared: tuple[Reference, str],
    seen: Hours | None,
    now_ms: int,
) -> Findings:
    """The verdict on hours, and the decision that follows from it."""
    reference, words = compared
    rules, rng = settings.drift_rules, np.random.default_rng(SEED)
    hours = reference.nothing if seen is None else seen
    scales = judge_scales(reference, hours, rules, rng)
    found = figures(scales.windows, reference, hours, rules)
    state = State(
        trained_ms=model.trained_ms,
        data_ms=_data_ms(model, reference),
        refit_ms=model.refit_ms,
        miscalibrated="calibration" in scales.alarms,
        drifted=scales.drifted,
    )
    due = retrain_decision(state, settings.retrain_rules, now_ms)
    return Findings(
        at_ms=now_ms,
        model=model.version,
        data_ms=state.data_ms,
        reference=words,
        note="" if found else f"no window since its release has {rules.fewest} requests",
        figures=found,
        days=figures(scales.days, reference, hours, of_days(rules)),
        alarms=scales.alarms,
        due=due,
    )


def _model(settings: Settings, registry: Registry | None) -> Watched:
    return watched(registry or Registry(settings.model_repository, settings.models_kept))


def _reference(
    files: DriftFiles, log: Log, model: Watched, settings: Settings, end_ms: int
) -> tuple[Reference, str] | None:
    """The kept one; else that of the training window, else of the model's first days."""
    kept = files.reference(model.family)
    if kept is not None:
        return kept, _words(model, kept)
    begin_ms = min((one.start_ms for one in segments(settings.features)), default=end_ms)
    first = _next_hour(max(begin_ms, model.released_ms))
    spans = [Span(*model.data)] if model.data[1] else []
    if first + FIRST_MS <= end_ms:
        spans.append(Span(first, first + FIRST_MS))
    for span in spans:
        learnt = learn(log, span.since_ms, span.until_ms)
        if learnt is not None:
            files.keep_reference(model.family, learnt)
            return learnt, _words(model, learnt)
    return None


def _words(model: Watched, reference: Reference) -> str:
    own = _trained_on(model, reference)
    return _counted("its training data" if own else "its first two days", reference)


def _counted(what: str, reference: Reference) -> str:
    hours = reference.hours
    return f"{what}, {int(hours.request.sum()):,} requests of {len(hours)} hours"


def _trained_on(model: Watched, reference: Reference) -> bool:
    """Whether the reference is of the model's own data window."""
    first_ms = int(reference.hours.hour[0]) * HOUR_MS
    return model.data[0] - HOUR_MS < first_ms < model.data[1]


def _of_this_site(model: Watched, reference: Reference) -> Watched:
    """A model that was trained elsewhere, as the shipped one, has no data whose age counts here."""
    return model if _trained_on(model, reference) else replace(model, data=(0, 0))


def _begin_ms(model: Watched, reference: Reference) -> int:
    """What came before the release, or is in the reference, says nothing of the model."""
    return _next_hour(max(model.released_ms, _data_ms(model, reference)))


def _data_ms(model: Watched, reference: Reference) -> int:
    """End of the training data; of data without dates, that of the reference."""
    return model.data[1] or (int(reference.hours.hour[-1]) + 1) * HOUR_MS


def _next_hour(moment_ms: int) -> int:
    return -(-moment_ms // HOUR_MS) * HOUR_MS


def _caught_up(
    files: DriftFiles, log: Log, model: Watched, reference: Reference, span: Span
) -> Hours | None:
    """All hours of the span, of which most are kept from the last time."""
    kept = files.observed(model.version)
    if kept is None or kept.against != reference.fingerprint:
        kept = Observed(None, span.since_ms, reference.fingerprint)
    if span.until_ms <= kept.until_ms:
        return kept.hours
    new = observe(log, reference, model.version, kept.until_ms, span.until_ms)
    parts = [one for one in (kept.hours, new) if one is not None]
    hours = merged(parts) if parts else None
    files.keep_observed(model.version, Observed(hours, span.until_ms, reference.fingerprint))
    return hours


def _nothing(model: Watched, now_ms: int, note: str) -> Findings:
    return Findings(now_ms, model.version, model.data[1], "", note, None, None, (), None)
