"""What to do about the evidence: nothing, a new calibration, or a new model. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from feedback.drift.settings import RetrainSettings


class Action(StrEnum):
    REFIT = "refit"
    """Fit the calibration on the newest clicks: seconds."""
    RETRAIN = "retrain"


class Cause(StrEnum):
    AGE = "age"
    FEATURES = "features"
    CALIBRATION = "calibration"


@dataclass(frozen=True, slots=True)
class Response:
    action: Action
    cause: Cause
    reason: str


@dataclass(frozen=True, slots=True)
class State:
    """What is known of the model in production; times are wall ms."""

    trained_ms: int
    """When the last training ended, or began if it is under way: trainings are spaced by it."""
    data_ms: int
    """End of the data that the model has learnt from."""
    refit_ms: int = 0
    """The last calibration."""
    miscalibrated: bool = False
    """The calibration's alarm stands."""
    drifted: tuple[str, ...] = ()
    """Which of the top features' alarms stand."""


def retrain_decision(state: State, settings: RetrainSettings, now_ms: int) -> Response | None:
    """The one thing to do now, with its reason; None to go on.

    Age asks for a training by itself, drifted features do, and so does a calibration that drifts
    again soon after it was fitted; the first time it is only fitted. Trainings keep their distance
    whatever the evidence, so that a market in turmoil cannot make releases chase one another.
    """
    wanted = _training(state, settings, now_ms)
    if wanted and now_ms - state.trained_ms >= 1000 * settings.min_interval_s:
        return wanted
    if state.miscalibrated and now_ms - state.refit_ms >= 1000 * settings.min_refit_s:
        return Response(Action.REFIT, Cause.CALIBRATION, "clicks are not as predicted")
    return None


def _training(state: State, settings: RetrainSettings, now_ms: int) -> Response | None:
    """What asks for one, whether or not it has to wait."""
    age_s = (now_ms - state.data_ms) / 1000
    if age_s >= settings.max_age_s:
        reason = f"the newest training data is {age_s / 3600:.1f} h old"
        return Response(Action.RETRAIN, Cause.AGE, reason)
    if len(state.drifted) >= settings.features:
        reason = f"drifted: {', '.join(state.drifted)}"
        return Response(Action.RETRAIN, Cause.FEATURES, reason)
    since_refit_s = (now_ms - state.refit_ms) / 1000
    if state.miscalibrated and state.refit_ms and since_refit_s < settings.refit_holds_s:
        reason = f"clicks are not as predicted, {since_refit_s / 3600:.1f} h after a calibration"
        return Response(Action.RETRAIN, Cause.CALIBRATION, reason)
    return None
