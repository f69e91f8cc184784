"""Estimation: a law and what the runs say, to parameters with their uncertainty. Importing this imports no numba.

Beside ``fit``: the envelope of curves and the minima of isoFLOP profiles (approaches 1 and 2 of Hoffmann 2022),
Kaplan's procedures, learning curves, and power laws by regression.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from isoflop.exports import export

if TYPE_CHECKING:
    from isoflop.fitting.batch_scan import CriticalBatch, critical_batch
    from isoflop.fitting.batches import Batches
    from isoflop.fitting.compare import Comparison, compare
    from isoflop.fitting.curves import Curve, CurveFit, fit_curves
    from isoflop.fitting.data import FitData
    from isoflop.fitting.envelope import Envelope, envelope
    from isoflop.fitting.extrapolate import Extrapolation, extrapolate
    from isoflop.fitting.files import read_file
    from isoflop.fitting.final_loss import FinalLoss, predict_final
    from isoflop.fitting.fit import fit
    from isoflop.fitting.fitted import Fit
    from isoflop.fitting.holdout import Holdout
    from isoflop.fitting.identifiability import Doubt
    from isoflop.fitting.information import Likelihood, huber_log_likelihood, likelihood
    from isoflop.fitting.kaplan import (
        StepsFit,
        early_stopped,
        efficient_frontier,
        fit_overfitting,
        fit_steps,
        minimum_compute,
        minimum_steps,
    )
    from isoflop.fitting.nesting import LikelihoodRatio, likelihood_ratio
    from isoflop.fitting.noise import Noise, estimate_noise
    from isoflop.fitting.objective import LAD, Huber, LeastSquares, Quantile
    from isoflop.fitting.prediction import Prediction
    from isoflop.fitting.profile import Profile
    from isoflop.fitting.profile_bias import ProfileBias, profile_bias
    from isoflop.fitting.profiles import IsoflopMinima, isoflop_minima
    from isoflop.fitting.published import PublishedTest, test_published
    from isoflop.fitting.regression import PowerFit, fit_power
    from isoflop.fitting.rollout import LeaveOneOut, Rollout
    from isoflop.fitting.shape_scan import ShapeScan, shape_scan
    from isoflop.fitting.targets import Fits, fit_all
    from isoflop.fitting.uncertainty import Bootstrap, Derived

__all__ = [
    "LAD",
    "Batches",
    "Bootstrap",
    "Comparison",
    "CriticalBatch",
    "Curve",
    "CurveFit",
    "Derived",
    "Doubt",
    "Envelope",
    "Extrapolation",
    "FinalLoss",
    "Fit",
    "FitData",
    "Fits",
    "Holdout",
    "Huber",
    "IsoflopMinima",
    "LeastSquares",
    "LeaveOneOut",
    "Likelihood",
    "LikelihoodRatio",
    "Noise",
    "PowerFit",
    "Prediction",
    "Profile",
    "ProfileBias",
    "PublishedTest",
    "Quantile",
    "Rollout",
    "ShapeScan",
    "StepsFit",
    "compare",
    "critical_batch",
    "early_stopped",
    "efficient_frontier",
    "envelope",
    "estimate_noise",
    "extrapolate",
    "fit",
    "fit_all",
    "fit_curves",
    "fit_overfitting",
    "fit_power",
    "fit_steps",
    "huber_log_likelihood",
    "isoflop_minima",
    "likelihood",
    "likelihood_ratio",
    "minimum_compute",
    "minimum_steps",
    "predict_final",
    "profile_bias",
    "read_file",
    "shape_scan",
    "test_published",
]

export(
    __name__,
    {
        "batch_scan": ("CriticalBatch", "critical_batch"),
        "batches": ("Batches",),
        "compare": ("Comparison", "compare"),
        "curves": ("Curve", "CurveFit", "fit_curves"),
        "data": ("FitData",),
        "envelope": ("Envelope", "envelope"),
        "extrapolate": ("Extrapolation", "extrapolate"),
        "files": ("read_file",),
        "final_loss": ("FinalLoss", "predict_final"),
        "fit": ("fit",),
        "fitted": ("Fit",),
        "holdout": ("Holdout",),
        "identifiability": ("Doubt",),
        "information": ("Likelihood", "huber_log_likelihood", "likelihood"),
        "kaplan": (
            "StepsFit",
            "early_stopped",
            "efficient_frontier",
            "fit_overfitting",
            "fit_steps",
            "minimum_compute",
            "minimum_steps",
        ),
        "nesting": ("LikelihoodRatio", "likelihood_ratio"),
        "noise": ("Noise", "estimate_noise"),
        "objective": ("LAD", "Huber", "LeastSquares", "Quantile"),
        "prediction": ("Prediction",),
        "profile": ("Profile",),
        "profile_bias": ("ProfileBias", "profile_bias"),
        "profiles": ("IsoflopMinima", "isoflop_minima"),
        "published": ("PublishedTest", "test_published"),
        "regression": ("PowerFit", "fit_power"),
        "rollout": ("LeaveOneOut", "Rollout"),
        "shape_scan": ("ShapeScan", "shape_scan"),
        "targets": ("Fits", "fit_all"),
        "uncertainty": ("Bootstrap", "Derived"),
    },
)
