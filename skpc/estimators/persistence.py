"""Fitted estimators as files: safetensors with a JSON header, no pickle, any device."""

from __future__ import annotations

import json
import os
import stat
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from sklearn.base import BaseEstimator

from ..circuit import Parameters, Program, Statistics, circuit_from_arrays, circuit_to_arrays
from ..distributions import Distribution, resolve_distribution
from ..solvers import SCHEDULES, SOLVERS, SolverState
from ..structures import STRUCTURES
from ..training import Learnt, OpenBatch
from .devices import make_backend
from .encoding import IdentityEncoder, TableEncoder
from .fitting import Model
from .row_memory import RowMemory
from .streaming import Stream

FORMAT_VERSION = 3
KEY = "skpc"


def write_model(
    path: str | os.PathLike,
    model: Model,
    stream: Stream | None,
    fitted: dict[str, Any],
    params: dict[str, Any],
) -> None:
    """Write the parts of a fitted estimator; the file appears whole or not at all.

    Warns of constructor arguments ``params`` that a file cannot hold.
    """
    target = Path(path)
    if target.is_dir():
        raise IsADirectoryError(f"{str(target)!r} is a folder; give the name of a file in it.")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"The folder {str(target.parent)!r} does not exist; make it first.")
    arrays: dict[str, np.ndarray] = {}
    header: dict[str, Any] = {"format": FORMAT_VERSION, "fitted": fitted}

    def add(prefix: str, part: dict[str, np.ndarray]) -> None:
        arrays.update({f"{prefix}/{name}": a for name, a in part.items()})

    circuit_arrays, header["circuit"] = circuit_to_arrays(model.circuit)
    add("circuit", circuit_arrays)
    encoder_arrays, header["encoder"] = model.encoder.to_arrays()
    header["identity"] = isinstance(model.encoder, IdentityEncoder)
    add("encoder", encoder_arrays)
    arrays["weights"] = model.parameters.weights
    add("leaves", {str(i): a for i, a in enumerate(model.parameters.leaves)})
    header["raw"] = model.learnt.raw is not model.parameters
    if header["raw"]:
        add("raw", {str(i): a for i, a in enumerate(model.learnt.raw.leaves)})
    add("priors", {str(i): a for i, a in enumerate(model.priors)})
    state = model.learnt.state
    add("state", state.arrays)
    header["state"] = {"step": state.step, "horizon": state.horizon, "owner": state.owner}
    if model.open_batch is not None:
        header["open_batch"] = _add_open_batch(model.open_batch, add)
    if stream is not None:
        memory_arrays, header["memory"] = stream.memory.to_arrays()
        add("memory", memory_arrays)
        names = ("kinds", "is_open", "refit_at", "seed")
        header["stream"] = {name: getattr(stream, name) for name in names}
    header["params"] = {k: _pack(v) for k, v in params.items()}
    lost = _left_out(header["params"])
    if lost:
        warnings.warn(
            f"The file cannot hold the constructor arguments {', '.join(lost)}; in the loaded "
            "model they have their default values. The fitted model itself is complete.",
            UserWarning,
            stacklevel=3,
        )
    arrays = {name: np.ascontiguousarray(a) for name, a in arrays.items()}
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


def read_file(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and header of a file, as :func:`write_model` put them there.

    Raises
    ------
    ValueError
        If the file was not written by skpc, is damaged, or is of a newer format.
    """
    name = os.fspath(path)
    if os.path.isdir(path):
        raise ValueError(f"{name!r} is a folder; give the model file in it.")
    try:
        with safe_open(name, framework="numpy") as file:
            metadata = file.metadata() or {}
            # Tensors of others may be of types that numpy does not know.
            if KEY not in metadata:
                raise ValueError(f"{name!r} is a safetensors file, but not a skpc model.")
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{name!r} is not a whole skpc model file: {error}") from error
    with damage_named(path):
        header = json.loads(metadata[KEY])
        version = int(header["format"])
    if version != FORMAT_VERSION:
        way_out = "Install a newer skpc" if version > FORMAT_VERSION else "Fit and save it again"
        raise ValueError(
            f"{name!r} has format {version}; this skpc reads format {FORMAT_VERSION}. {way_out}."
        )
    return arrays, header


@contextmanager
def damage_named(path: str | os.PathLike) -> Iterator[None]:
    """Whatever fails on the contents of a file becomes a ValueError that names it."""
    try:
        yield
    except (AttributeError, KeyError, IndexError, OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"{os.fspath(path)!r} is a damaged skpc model file: {error}") from error


class ModelParts(NamedTuple):
    """What a file holds: the parts of a fitted estimator, and the arguments of its constructor."""

    model: Model
    stream: Stream | None
    fitted: dict[str, Any]
    params: dict[str, Any]


def rebuild_parts(arrays: dict[str, np.ndarray], header: dict[str, Any]) -> ModelParts:
    """Parts from arrays and header, every array checked."""
    circuit = circuit_from_arrays(_part(arrays, "circuit/"), header["circuit"])
    params = _unpack_all(header["params"], circuit)
    program = Program(circuit)
    leaves, priors = (_leaves(arrays, name, program) for name in ("leaves", "priors"))
    # Kernels read these arrays without looking at their lengths.
    _check_array("weights", arrays["weights"], (program.n_weights,))
    for name in ("kinds", "shift", "scale", "open_share", "width"):
        _check_array(f"encoder/{name}", arrays[f"encoder/{name}"], (circuit.n_variables,))
    encoder = (IdentityEncoder if header["identity"] else TableEncoder).from_arrays(
        _part(arrays, "encoder/"), header["encoder"]
    )
    fitted = header["fitted"]
    parameters = raw = Parameters(program, arrays["weights"], leaves)
    if header["raw"]:
        raw = Parameters(program, arrays["weights"], _leaves(arrays, "raw", program))
    model = Model(
        circuit,
        encoder,
        Learnt(parameters, raw, SolverState(**header["state"], arrays=_part(arrays, "state/"))),
        priors,
        # It moves to another device when it is used: a GPU may not be at hand here.
        make_backend(program, fitted["dtype"], params.get("n_jobs"), "cpu"),
    )
    if "open_batch" in header:
        model.open_batch = _open_batch(arrays, header["open_batch"], model)
    stream = None
    if "stream" in header:
        memory = RowMemory.from_arrays(_part(arrays, "memory/"), header["memory"])
        _check_array("memory/rows", memory.X, (memory.n, circuit.n_variables), missing=True)
        _check_array("memory/keys", arrays["memory/keys"], (memory.n,))
        _check_array("memory/weight", arrays["memory/weight"], (memory.n,))
        stream = Stream(memory, **header["stream"])
    return ModelParts(model, stream, fitted, params)


def _add_open_batch(batch: OpenBatch, add: Callable) -> dict[str, Any]:
    """Put the arrays of a batch aside with ``add``; the rest of it, for the header."""
    add("batch/leaves", {str(i): a for i, a in enumerate(batch.parameters.leaves)})
    add("batch/shown", {str(i): a for i, a in enumerate(batch.shown.leaves)})
    add("batch/state", batch.state.arrays)
    add("batch/leaf_flows", {str(i): a for i, a in enumerate(batch.statistics.leaves)})
    add("batch/extra", batch.statistics.extra)
    add("batch", {"weights": batch.parameters.weights, "flows": batch.statistics.flows})
    return {
        "step": batch.state.step,
        "owner": batch.state.owner,
        "weight": batch.statistics.weight,
        "log_likelihood": batch.statistics.log_likelihood,
    }


def _open_batch(arrays: dict[str, np.ndarray], header: dict[str, Any], model: Model) -> OpenBatch:
    """What :func:`_add_open_batch` put aside, every array checked."""
    program = model.program
    for name in ("batch/weights", "batch/flows"):
        _check_array(name, arrays[name], (program.n_weights,))
    weights, flows = arrays["batch/weights"], _leaves(arrays, "batch/leaf_flows", program, more=1)
    extra = _part(arrays, "batch/extra/")
    for name, array in extra.items():
        number = name.removeprefix("curvature_")
        like = flows[int(number)] if number.isdigit() else weights
        _check_array(f"batch/extra/{name}", array, like.shape)
    return OpenBatch(
        Parameters(program, weights, _leaves(arrays, "batch/shown", program)),
        Parameters(program, weights, _leaves(arrays, "batch/leaves", program)),
        SolverState(
            int(header["step"]), None, _part(arrays, "batch/state/"), owner=header["owner"]
        ),
        model.backend,
        Statistics(
            float(header["log_likelihood"]),
            float(header["weight"]),
            arrays["batch/flows"],
            flows,
            extra,
        ),
    )


def _leaves(arrays, prefix: str, program: Program, more: int = 0) -> list[np.ndarray]:
    """One array a leaf family, checked: of the statistics, and ``more`` columns."""
    leaves = []
    for i, (family, units) in enumerate(zip(program.families, program.family_units, strict=True)):
        leaves.append(arrays[f"{prefix}/{i}"])
        _check_array(f"{prefix}/{i}", leaves[-1], (units, more + family.n_statistics))
    return leaves


def _check_array(
    name: str, array: np.ndarray, shape: tuple[int, ...], missing: bool = False
) -> None:
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}; {shape} is needed.")
    if not (np.isfinite(array) | (missing & np.isnan(array))).all():
        raise ValueError(f"{name} holds NaN or infinite values; all must be finite.")


def _part(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {k[len(prefix) :]: v for k, v in arrays.items() if k.startswith(prefix)}


def _pack(value: Any) -> Any:
    """A constructor argument as JSON; what JSON cannot hold is named and left out."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        members = [_pack(member) for member in value]
        lost = [member for member in members if isinstance(member, dict) and "left_out" in member]
        return lost[0] if lost else {"list": members}
    if isinstance(value, Distribution):
        return {"distribution": value.to_config()}
    if isinstance(value, dict):
        return {"items": [[_pack(k), _pack(v)] for k, v in value.items()]}
    if isinstance(value, BaseEstimator) and type(value) in _known_classes().values():
        params = {k: _pack(v) for k, v in value.get_params(deep=False).items()}
        return {"estimator": type(value).__name__, "params": params}
    return {"left_out": type(value).__name__}


def _known_classes() -> dict[str, Any]:
    """Structures, solvers and schedules by the names of their classes; those of users cannot be
    loaded."""
    classes: list[type] = [*STRUCTURES.values(), *SOLVERS.values(), *SCHEDULES.values()]
    return {c.__name__: c for c in classes}


def _left_out(packed: dict[str, Any], prefix: str = "") -> list[str]:
    """Names of the arguments that are not stored, with their values' classes."""
    names = []
    for name, value in packed.items():
        if isinstance(value, dict) and "estimator" in value:
            names += _left_out(value["params"], f"{prefix}{name}__")
        elif isinstance(value, dict) and "list" in value:
            members = {str(i): member for i, member in enumerate(value["list"])}
            names += _left_out(members, f"{prefix}{name}__")
        elif isinstance(value, dict) and value.get("left_out", "Circuit") != "Circuit":
            names.append(f"{prefix}{name} ({value['left_out']})")
    return names


def _unpack_all(params: dict[str, Any], circuit: Any) -> dict[str, Any]:
    """Constructor arguments; one that was left out takes its default."""
    values = {name: _unpack(value, circuit) for name, value in params.items()}
    return {name: value for name, value in values.items() if value is not _LEFT_OUT}


_LEFT_OUT = object()


def _unpack(value: Any, circuit: Any) -> Any:
    """What :func:`_pack` packed."""
    if not isinstance(value, dict):
        return value
    if "list" in value:
        members = [_unpack(member, circuit) for member in value["list"]]
        return _LEFT_OUT if any(member is _LEFT_OUT for member in members) else members
    if "distribution" in value:
        return resolve_distribution(value["distribution"])
    if "items" in value:
        return {_unpack(k, circuit): _unpack(v, circuit) for k, v in value["items"]}
    if "estimator" in value:
        known = _known_classes().get(value["estimator"])
        return _LEFT_OUT if known is None else known(**_unpack_all(value["params"], circuit))
    return circuit if value["left_out"] == "Circuit" else _LEFT_OUT
