"""Probabilities whose level moved after they were learned: a policy that learns earns more, a season ends.

All log-odds move by one figure d, the rest of what was learned stays. d is the mode of its posterior on the newest rows, of which

    log-odds of y = logit p + d,   d ~ N(0, DEVIATION^2)                                            (1)

so that few rows move little (King and Zeng 2001, "Logistic regression in rare events data", section 4.1, corrects an intercept
for another base rate that is known; here it is estimated).

y : (n,) 0 or 1    p : (n,) in [0, 1]
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit, logit

from personalization.learning.calibration import Calibration, Isotonic, Platt
from personalization.learning.evaluation import Array

#: By how much (log-odds) a level moves before any row says so.
DEVIATION = 0.25
_LEAST = 1e-9
_STEPS = 50


def shift(y: Array, p: Array) -> float:
    """d of (1), by Newton's method; 0 without rows."""
    z, d, held = _log_odds(p), 0.0, 1.0 / DEVIATION**2
    for _ in range(_STEPS):
        q = expit(z + d)
        step = float(((y - q).sum() - held * d) / ((q * (1.0 - q)).sum() + held))
        d += min(max(step, -1.0), 1.0)
        if abs(step) < 1e-10:
            break
    return d


def shifted(calibration: Calibration, d: float) -> Calibration:
    """What it gives, with log-odds moved by d."""
    if isinstance(calibration, Platt):
        return Platt(calibration.slope, calibration.intercept + d)
    return Isotonic(calibration.at, tuple(expit(_log_odds(np.array(calibration.values)) + d).tolist()))


def _log_odds(p: Array) -> Array:
    return np.asarray(logit(np.clip(p, _LEAST, 1.0 - _LEAST)), np.float64)
