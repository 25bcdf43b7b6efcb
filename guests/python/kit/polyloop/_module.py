# SPDX-License-Identifier: Apache-2.0
"""Loads the guest's module and finds the functions that the host may call."""

from __future__ import annotations

import functools
import importlib
import importlib.machinery
import importlib.util
import inspect
import os
import sys
from types import ModuleType
from typing import Any, Callable

from . import _errors, _siblings

#: What is known of guests that are files, by the names of their modules.
_loaded: dict[str, _siblings.Sibling] = {}


def load_module(name: str) -> ModuleType:
    """Imports a module by its name, as any import would: runtimes of one process share it."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        wanted = error.name is not None and (name == error.name or name.startswith(f"{error.name}."))
        _errors.note(error, "not-found" if wanted else None, _how_to_find(error.name or name, os.curdir))
        raise


class _Fresh(importlib.machinery.SourceFileLoader):
    """Compiles what the file holds now: cached bytecode tells its age by the second, and reloads come faster."""

    def get_code(self, fullname: str) -> Any:
        return self.source_to_code(self.get_data(self.path), self.path)


def load_file(path: str) -> ModuleType:
    """Executes a file as a module of its own, and lets it import what lies beside it."""
    if not os.path.isfile(path):
        kind = "is a folder, not a file" if os.path.isdir(path) else "does not exist"
        error = FileNotFoundError(f"{path} {kind}")
        _errors.note(error, "not-found", "name a .py file (relative paths start at the host's working directory)")
        raise error
    sibling = _siblings.enter(path)
    try:
        module = _execute(path)
    except BaseException:
        _siblings.leave(sibling)
        raise
    _loaded[module.__name__] = sibling
    return module


def _execute(path: str) -> ModuleType:
    name = _free_name(path)
    folder = os.path.dirname(path)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    loader = _Fresh(name, path)
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    if spec is None:
        raise ImportError(f"{path} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        loader.exec_module(module)
    except BaseException as error:
        _unregister(module)
        if isinstance(error, ModuleNotFoundError) and error.name:
            _errors.note(error, None, _how_to_find(error.name, os.curdir, os.path.dirname(folder)))
        elif isinstance(error, ImportError) and "no known parent package" in str(error):
            _errors.note(error, None, _how_to_import_from_a_package(path))
        raise
    return module


def forget(module: ModuleType) -> None:
    """Undoes what `load_file` did."""
    _unregister(module)
    sibling = _loaded.pop(module.__name__, None)
    if sibling is not None:
        _siblings.leave(sibling)


def _unregister(module: ModuleType) -> None:
    if sys.modules.get(module.__name__) is module:
        del sys.modules[module.__name__]


def _how_to_find(name: str, *folders: str) -> str:
    """What to do about a module that is not found. Never a name to install: on an index that may be anybody's."""
    parent, _, _ = name.rpartition(".")
    if parent in sys.modules:
        return f"correct the name, {parent} has no such module"
    top = name.partition(".")[0]
    for folder in folders:
        for own in (os.path.join(folder, top), os.path.join(folder, f"{top}.py")):
            if os.path.exists(own):
                own, folder = os.path.abspath(own), os.path.abspath(folder)
                return f"this Python does not look at {own}: add {folder} to PYTHONPATH, or name a file in the locator"
    return (
        "if it is your own, put it beside the guest's file or add its folder to PYTHONPATH; otherwise install the "
        f"package that has it where this Python finds it ({sys.executable} -m pip install ...)"
    )


def _how_to_import_from_a_package(path: str) -> str:
    folder, name = os.path.split(path)
    above, package = os.path.split(folder)
    stem = os.path.splitext(name)[0]
    return (
        "a file is loaded without its package: import what lies beside it by name, or add "
        f"{above} to PYTHONPATH and load 'python:{package}.{stem}'"
    )


def _free_name(path: str) -> str:
    """The file's own name if nothing else has it (then even pickles find it), else one made from it."""
    stem = os.path.splitext(os.path.basename(path))[0]
    name = "".join(letter if letter.isalnum() else "_" for letter in stem)
    if name == stem and name.isidentifier() and name not in sys.modules and not _is_another(name, path):
        return name
    number = 1
    while f"polyloop_{name}_{number}" in sys.modules:
        number += 1
    return f"polyloop_{name}_{number}"


def _is_another(name: str, path: str) -> bool:
    """Whether an import of that name would find something else than the file."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return False
    return spec is not None and (spec.origin is None or os.path.realpath(spec.origin) != os.path.realpath(path))


def functions(module: ModuleType) -> dict[str, Callable[..., Any]]:
    """The functions that the host may call, by name.

    With `__all__`: what it lists, if it can be called. Without: what does not start with an
    underscore and is defined in the module itself (`__module__` says so; partial objects, which
    cannot say, count as its own). Never classes, and never `init`.
    """
    listed = getattr(module, "__all__", None)
    if listed is not None:
        names = [name for name in listed if name != "init" and _is_function(getattr(module, name))]
    else:
        names = [name for name, value in vars(module).items() if _is_own(module, name, value)]
    return {name: getattr(module, name) for name in names}


def _is_function(value: object) -> bool:
    return callable(value) and not isinstance(value, type)


def _is_own(module: ModuleType, name: str, value: object) -> bool:
    if name.startswith("_") or name == "init" or not _is_function(value):
        return False
    return isinstance(value, functools.partial) or getattr(value, "__module__", None) == module.__name__


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling `function` makes a coroutine, or an async generator."""
    return _is(inspect.iscoroutinefunction, function) or _is(inspect.isasyncgenfunction, function)


def streams(function: Callable[..., Any]) -> bool:
    """Whether calling `function` makes a generator; other functions may return one all the same."""
    return _is(inspect.isgeneratorfunction, function) or _is(inspect.isasyncgenfunction, function)


def _is(test: Callable[[Any], bool], function: Callable[..., Any]) -> bool:
    """Whether `test` holds for it; callable objects may say so by their `__call__`."""
    return test(function) or (not inspect.isroutine(function) and test(type(function).__call__))


def parameters(function: Callable[..., Any]) -> list[str]:
    """Names of the positional parameters; `*rest` for those without end; empty if Python cannot tell."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return []
    names = []
    for parameter in signature.parameters.values():
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            names.append(parameter.name)
        elif parameter.kind is parameter.VAR_POSITIONAL:
            names.append(f"*{parameter.name}")
    return names
