"""What models of an event are judged by."""

from __future__ import annotations

import numpy as np

from personalization.learning.calibration import auc, brier, expected_calibration_error, log_loss
from personalization.learning.evaluation import Array

_MEASURES = {"auc": auc, "log_loss": log_loss, "brier": brier, "ece": expected_calibration_error}


def figures(name: str, y: Array, p: Array) -> dict[str, float]:
    """Of one outcome; none where there is no case."""
    if not len(y):
        return {}
    return {f"{name}_{measure}": one(y, p) for measure, one in _MEASURES.items()}


def losses_of(y: Array, p: Array) -> Array:
    """(n,) log-loss of each case, nats."""
    kept = np.clip(p, 1e-9, 1.0 - 1e-9)
    return np.asarray(-np.log(np.where(y == 1.0, kept, 1.0 - kept)), np.float64)
