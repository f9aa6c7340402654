"""Settings of objects inside an estimator, such as ``solver__step_size``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def refuse_settings_of_names(owner: Any, params: Mapping[str, Any], home: str) -> None:
    """ValueError where ``set_params`` should set a value of an object that is only named.

    Parameters
    ----------
    owner : object
        With the objects, or their names, as attributes.
    params : mapping
        Arguments of ``set_params``.
    home : str
        Module of the objects; ``{}`` stands for the name of the argument.
    """
    for key in params:
        name, _, inner = key.partition("__")
        value = params.get(name, getattr(owner, name, None))
        if inner and isinstance(value, str):
            way_out = f"{type(owner).__name__}({name}=...) or set_params({name}=..., {key}=...)"
            raise ValueError(
                f"{key} sets a value of an object, but {name}={value!r} is a name; give an "
                f"object of {home.format(name)} first: {way_out}."
            )
