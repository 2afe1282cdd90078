"""What Prometheus is told of drift: the findings as they lie in the data folder.

One worker tells them for all; the gauges of a worker that died are forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prometheus_client import Gauge

from adserver.drift.files import DriftFiles, Findings
from adserver.metrics import REGISTRY
from feedback.drift.report import Figures
from feedback.drift.retrain import Action, Cause, Response


def _gauge(name: str, told: str, *labels: str) -> Gauge:
    return Gauge(name, told, labels, registry=REGISTRY, multiprocess_mode="livemax")


CHECKED = _gauge("adserver_drift_checked_seconds", "Wall time of the last look for drift")
DATA = _gauge("adserver_model_data_seconds", "Wall time at which the model's training data ends")
WINDOWS = _gauge("adserver_drift_windows", "Windows judged since the model was released")
PSI = _gauge("adserver_drift_psi", "Population stability index of the newest window", "feature")
PSI_CRITICAL = _gauge("adserver_drift_psi_critical", "What it may be", "feature")
KS = _gauge("adserver_drift_ks", "Kolmogorov-Smirnov distance of the same", "feature")
KS_CRITICAL = _gauge("adserver_drift_ks_critical", "What it may be", "feature")
ALARM = _gauge("adserver_drift_alarm", "1 while a feature, calibration or vectors drift", "of")
VECTORS = _gauge("adserver_drift_vectors", "Distance of the request vectors")
VECTORS_CRITICAL = _gauge("adserver_drift_vectors_critical", "What it may be")
COPC = _gauge("adserver_drift_copc", "Clicks over predicted clicks of the newest window")
CUSUM = _gauge("adserver_drift_cusum", "Sums of what clicks were off", "side")
DUE = _gauge("adserver_retrain_due", "1 while this is to be done", "action", "cause")


class DriftGauges:
    """Follows the findings of one data folder."""

    def __init__(self, folder: Path) -> None:
        self._files = DriftFiles(folder)
        self._stamp = (0, 0)

    async def tell_drift(self) -> None:
        """Tell them if they have changed; cheap enough for twice a second."""
        stamp = self._files.stamp()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        found = self._files.findings()
        if found is not None:
            tell(found)


def tell(found: Findings) -> None:
    """Set every gauge; what is not known is NaN, and raises no alert."""
    CHECKED.set(found.at_ms / 1000)
    DATA.set(found.data_ms / 1000)
    _tell_due(found.due)
    for name in ("calibration", "vectors"):
        ALARM.labels(name).set(name in found.alarms)
    if found.figures is None:
        WINDOWS.set(0)
        return
    WINDOWS.set(found.figures.windows)
    _tell_features(found.figures, found.alarms)
    vectors, calibration = found.figures.vectors, found.figures.calibration
    VECTORS.set(_number(vectors.distance))
    VECTORS_CRITICAL.set(_number(vectors.critical))
    COPC.set(_number(calibration.copc))
    CUSUM.labels("above").set(calibration.above)
    CUSUM.labels("below").set(calibration.below)


def _tell_features(figures: Figures, alarms: Sequence[str]) -> None:
    for one in figures.features:
        PSI.labels(one.name).set(_number(one.psi))
        PSI_CRITICAL.labels(one.name).set(_number(one.psi_critical))
        ALARM.labels(one.name).set(one.name in alarms)
        if one.ks is not None:
            KS.labels(one.name).set(one.ks)
            KS_CRITICAL.labels(one.name).set(_number(one.ks_critical))


def _tell_due(due: Response | None) -> None:
    for action in Action:
        for cause in Cause:
            is_due = due is not None and (due.action, due.cause) == (action, cause)
            DUE.labels(action, cause).set(is_due)


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
