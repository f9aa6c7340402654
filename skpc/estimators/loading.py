"""Estimators from files."""

from __future__ import annotations

import os

import numpy as np

from ..training import EpochRecord
from .density import PCDensityEstimator
from .frame_schema import FrameSchema
from .persistence import damage_named, read_file, rebuild_parts
from .thresholds import Threshold


def load(path: str | os.PathLike) -> PCDensityEstimator:
    """Read an estimator that ``save`` wrote.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    PCDensityEstimator
        It scores as the saved one, and ``partial_fit`` and ``warm_start`` go on from it.

    Raises
    ------
    ValueError
        If the file was not written by skpc, is damaged, or is of another format.

    Examples
    --------
    >>> import os, tempfile, skpc
    >>> from sklearn.datasets import load_iris
    >>> model = skpc.PCDensityEstimator(n_components=2, max_iter=2).fit(load_iris().data)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "iris.skpc")
    ...     model.save(path)
    ...     again = skpc.load(path)
    >>> bool((again.score_samples([[5, 3, 1, 0]]) == model.score_samples([[5, 3, 1, 0]])).all())
    True
    """
    arrays, header = read_file(path)
    with damage_named(path):
        model, stream, fitted, params = rebuild_parts(arrays, header)
        estimator = PCDensityEstimator(**params)
        estimator.n_features_in_ = int(fitted["n_features_in"])
        if fitted["feature_names_in"]:
            estimator.feature_names_in_ = np.array(fitted["feature_names_in"], dtype=object)
        schema = None
        if fitted["frame"] is not None:
            schema = FrameSchema.from_plain(fitted["frame"], estimator.n_features_in_)
        threshold = Threshold(fitted["contamination"], fitted["offset"])
        estimator._adopt(model, stream, threshold, schema)
        estimator.history_ = [EpochRecord(*record) for record in fitted["history"]]
        estimator.n_iter_ = int(fitted["n_iter"])
        estimator.converged_ = bool(fitted["converged"])
    return estimator
