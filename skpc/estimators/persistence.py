"""Fitted estimators as files: safetensors with a JSON header, no pickle, any device."""

from __future__ import annotations

import json
import os
import stat
import uuid
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from sklearn.base import BaseEstimator

from ..circuit import Parameters, Program, circuit_from_arrays, circuit_to_arrays
from ..solvers import SOLVERS
from ..structures import STRUCTURES
from .encoding import IdentityEncoder, TableEncoder

FORMAT_VERSION = 1
KEY = "skpc"


def save(estimator: Any, path: str | os.PathLike) -> None:
    """Write a fitted estimator; the file appears whole or not at all."""
    arrays: dict[str, np.ndarray] = {}
    header: dict[str, Any] = {"format": FORMAT_VERSION, "class": type(estimator).__name__}
    circuit_arrays, header["circuit"] = circuit_to_arrays(estimator.circuit_)
    arrays |= {f"circuit/{name}": a for name, a in circuit_arrays.items()}
    encoder_arrays, header["encoder"] = estimator.encoder_.to_arrays()
    header["identity"] = isinstance(estimator.encoder_, IdentityEncoder)
    arrays |= {f"encoder/{name}": a for name, a in encoder_arrays.items()}
    arrays["weights"] = estimator.parameters_.weights
    arrays |= {f"leaves/{i}": a for i, a in enumerate(estimator.parameters_.leaves)}
    header["fitted"] = estimator._fitted_header()
    header["params"] = {k: _pack(v) for k, v in estimator.get_params(deep=False).items()}
    arrays = {name: np.ascontiguousarray(a) for name, a in arrays.items()}
    target = Path(path)
    scratch = target.with_name(f"{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        scratch.touch(exist_ok=False)
        usual = stat.S_IMODE(scratch.stat().st_mode)
        save_file(arrays, scratch, metadata={KEY: json.dumps(header)})
        # What safetensors writes, nobody but its owner may read.
        scratch.chmod(usual)
        with open(scratch, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(scratch, target)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise


def load(path: str | os.PathLike) -> Any:
    """Read an estimator that ``save`` wrote.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    PCDensityEstimator

    Raises
    ------
    ValueError
        If the file was not written by skpc, is damaged, or is of a newer format.

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
    from .density import PCDensityEstimator

    try:
        with safe_open(os.fspath(path), framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{os.fspath(path)!r} is not a whole skpc model file: {error}") from error
    if KEY not in metadata:
        raise ValueError(f"{os.fspath(path)!r} is a safetensors file, but not a skpc model.")
    try:
        header = json.loads(metadata[KEY])
        version = int(header["format"])
        if version <= FORMAT_VERSION:
            return _rebuild(PCDensityEstimator, arrays, header)
    except (AttributeError, KeyError, IndexError, OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"{os.fspath(path)!r} is a damaged skpc model file: {error}") from error
    raise ValueError(
        f"{os.fspath(path)!r} has format {version}; this skpc reads up to {FORMAT_VERSION}. "
        "Install a newer skpc."
    )


def _rebuild(kind: type, arrays: dict[str, np.ndarray], header: dict[str, Any]) -> Any:
    circuit = circuit_from_arrays(_part(arrays, "circuit/"), header["circuit"])
    estimator = kind(**_unpack_all(header["params"], circuit))
    program = Program(circuit)
    leaves = [arrays[f"leaves/{i}"] for i in range(len(program.families))]
    # Kernels read these arrays without looking at their lengths.
    _check_array("weights", arrays["weights"], (program.n_weights,))
    for i, (family, units) in enumerate(zip(program.families, program.family_units, strict=True)):
        _check_array(f"leaves/{i}", leaves[i], (units, family.n_statistics))
    encoder = (IdentityEncoder if header["identity"] else TableEncoder).from_arrays(
        _part(arrays, "encoder/"), header["encoder"]
    )
    columns = circuit.n_variables
    for name in ("kinds", "shift", "scale"):
        _check_array(f"encoder/{name}", getattr(encoder, name), (columns,))
    estimator._restore(Parameters(program, arrays["weights"], leaves), encoder, header["fitted"])
    return estimator


def _check_array(name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    if array.shape != shape or not np.isfinite(array).all():
        raise ValueError(f"{name} has shape {array.shape}; {shape}, all finite, is needed.")


def _part(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {k[len(prefix) :]: v for k, v in arrays.items() if k.startswith(prefix)}


def _pack(value: Any) -> Any:
    """A constructor argument as JSON; what JSON cannot hold is named and left out."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray | list | tuple):
        return {"list": np.asarray(value).tolist()}
    if isinstance(value, BaseEstimator):
        params = {k: _pack(v) for k, v in value.get_params(deep=False).items()}
        return {"estimator": type(value).__name__, "params": params}
    return {"left_out": type(value).__name__}


def _unpack_all(params: dict[str, Any], circuit: Any) -> dict[str, Any]:
    """Constructor arguments; one that was left out takes its default."""
    out = {}
    for name, value in params.items():
        if not isinstance(value, dict):
            out[name] = value
        elif "list" in value:
            out[name] = value["list"]
        elif "estimator" in value:
            known: dict[str, Any] = {}
            known |= {c.__name__: c for c in STRUCTURES.values()}
            known |= {c.__name__: c for c in SOLVERS.values()}
            if value["estimator"] in known:
                out[name] = known[value["estimator"]](**_unpack_all(value["params"], circuit))
        elif value["left_out"] == "Circuit":
            out[name] = circuit
    return out
