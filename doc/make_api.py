"""Write doc/api.md from signatures and docstrings; with ``--check`` only say whether it is right.

Run it from anywhere: ``python doc/make_api.py``.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import re
import sys
from pathlib import Path

API = Path(__file__).with_name("api.md")

#: The public modules, those a user needs first at the top.
MODULES = (
    "skpc",
    "skpc.structures",
    "skpc.solvers",
    "skpc.distributions",
    "skpc.datasets",
    "skpc.circuit",
    "skpc.inference",
    "skpc.training",
    "skpc.backends",
    "skpc.backends.numba_cpu",
)

HEAD = """\
# Public names

Written by `python doc/make_api.py` from the docstrings, which say more: `help(skpc.load)`.
Whatever is not listed here may change without notice.
"""


def render():
    """Return the text of doc/api.md."""
    return "\n".join([HEAD, *(render_module(name) for name in MODULES)])


def render_module(name):
    """Return the section of a module: its purpose and its public names in their own order."""
    module = importlib.import_module(name)
    lines = [f"## `{name}`", "", first_paragraph(module), ""]
    for public in module.__all__:
        lines += render_name(public, getattr(module, public))
    return "\n".join(lines) + "\n"


def render_name(name, thing):
    """Return the lines of a class with its methods, of a function, or of a constant."""
    if inspect.isclass(thing):
        lines = [f"- `{name}{signature_of(thing)}`: {first_paragraph(thing)}"]
        return lines + [
            f"  - `.{method}{signature_of(function)}`: {first_paragraph(function, thing, method)}"
            for method, function in own_methods(thing)
        ]
    if callable(thing):
        return [f"- `{name}{signature_of(thing)}`: {first_paragraph(thing)}"]
    if isinstance(thing, str):
        return [f"- `{name}`: {thing!r}."]
    shown = ", ".join(f"`{entry}`" for entry in thing)
    return [f"- `{name}`, a {type(thing).__name__}: {shown}."]


def own_methods(cls):
    """Yield the public methods and properties that skpc adds; those of a public base only there."""
    inherited = {name for base in cls.__mro__[1:] if is_public(base) for name in vars(base)}
    for name in dict.fromkeys(name for base in cls.__mro__ for name in vars(base)):
        if name.startswith("_") or name in inherited:
            continue
        member = inspect.getattr_static(cls, name)
        function = getattr(member, "__func__", member)
        function = member.fget if isinstance(member, property) else inspect.unwrap(function)
        if inspect.isfunction(function) and function.__module__.startswith("skpc"):
            yield name, member if isinstance(member, property) else function


def is_public(cls):
    """Tell whether a class is listed on this page."""
    modules = map(importlib.import_module, MODULES)
    return any(vars(module).get(cls.__name__) is cls for module in modules)


def signature_of(thing):
    """Return the arguments with their defaults, without types and without ``self``."""
    if isinstance(thing, property):
        return ""
    try:
        signature = inspect.signature(thing)
    except ValueError:
        return "(...)"
    arguments = [
        argument.replace(annotation=inspect.Parameter.empty)
        for name, argument in signature.parameters.items()
        if name not in ("self", "cls")
    ]
    plain = signature.replace(parameters=arguments, return_annotation=inspect.Signature.empty)
    return str(plain)


def first_paragraph(thing, cls=None, name=None):
    """Return the first paragraph of a docstring as one line; a method may inherit its own."""
    text = inspect.getdoc(thing)
    if text is None and cls is not None:
        bases = [vars(base)[name] for base in cls.__mro__ if name in vars(base)]
        text = next(filter(None, map(inspect.getdoc, bases)), None)
    line = " ".join((text or "").split("\n\n")[0].split())
    # Sphinx's roles and footnotes mean nothing in Markdown.
    return re.sub(r" \[\d+\]_", "", re.sub(r":\w+:`", "`", line))


def main():
    """Write the page, or compare it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if it is stale")
    if parser.parse_args().check:
        if API.read_text(encoding="utf-8") != render():
            sys.exit("doc/api.md is not up to date; run `python doc/make_api.py`.")
    else:
        API.write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    main()
