# SPDX-License-Identifier: Apache-2.0
"""Guests that are files, in one interpreter: what one of them has beside it is not for the others.

All of them share `sys.modules`, so of two modules with one name only one can be imported. A guest
that would get another's, or give its own to another, is refused. For that its source is read, and
that of what it imports from its folder: late imports count, too. A finder then sees to it that each
import gets the file that is meant. A guest that is alone in its interpreter is not looked at.
"""

from __future__ import annotations

import ast
import importlib.machinery
import os
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from . import _threads

ADVICE = "guests on threads share one interpreter and its modules: load one of the two with placement: 'process'"

_ENDINGS = importlib.machinery.all_suffixes()
_STDLIB = os.path.dirname(os.path.realpath(os.__file__))
_IMPORTERS = ("import_module", "__import__")


class Sibling:
    """A guest that is a file, and what it imports from where."""

    def __init__(self, path: str) -> None:
        self.path = os.path.realpath(path)
        self.folder = os.path.dirname(self.path)
        #: The same as `sys.path` has it.
        self.entry = os.path.dirname(path)
        self._imports: set[str] | None = None

    def beside(self, name: str) -> str | None:
        """The file of a module, or the folder of a package, that lies beside the guest."""
        return _module_in(self.folder, name)

    def imports(self) -> set[str]:
        """Top-level names that the guest, or what it imports from its folder, imports now or later."""
        if self._imports is None:
            found: set[str] = set()
            waiting = [self.path]
            while waiting:
                for name in _imports_of(waiting.pop()) - found:
                    found.add(name)
                    waiting += _sources(self.beside(name))
            self._imports = found
        return self._imports


_living: list[Sibling] = []
#: Folders that guests have ever been loaded from, as Sibling has them.
_folders: dict[str, str] = {}
_lock = _threads.lock()


def enter(path: str) -> Sibling:
    """Makes a guest known; raises ImportError if it and another one would get each other's modules."""
    guest = Sibling(path)
    with _lock:
        for other in _others(guest.folder):
            _refuse_mixing(guest, other)
        if _folders.keys() - {guest.folder}:
            _refuse_loaded(guest)
        _folders[guest.folder] = guest.entry
        _living.append(guest)
    return guest


def leave(guest: Sibling) -> None:
    with _lock:
        _living.remove(guest)


def _others(folder: str) -> list[Sibling]:
    return [other for other in _living if other.folder != folder]


def _refuse_mixing(guest: Sibling, other: Sibling) -> None:
    for name in sorted(guest.imports() & other.imports()):
        mine, theirs = guest.beside(name), other.beside(name)
        if mine != theirs and not _is_stdlib(sys.modules.get(name)):
            ours = mine or f"the {name} of its environment"
            _refuse(f"{guest.path} imports {ours}, and {other.path}, which is loaded, {theirs or 'another'}")


def _refuse_loaded(guest: Sibling) -> None:
    for name in sorted(guest.imports()):
        module, mine = sys.modules.get(name), guest.beside(name)
        place = _place(module)
        if place is None or place == mine or _is_stdlib(module):
            continue
        folder = os.path.dirname(place)
        if folder in _folders and folder != guest.folder and all(folder != other.folder for other in _living):
            _drop(name)
        elif mine is not None or folder in _folders:
            ours = mine or f"the {name} of its environment"
            _refuse(f"{guest.path} imports {ours}, and {place} is imported under that name already")


def _refuse(what: str) -> None:
    raise ImportError(f"{what}: {ADVICE}")


def _drop(name: str) -> None:
    """Has a module imported anew whose guest is gone."""
    for loaded in [key for key in sys.modules if key == name or key.startswith(f"{name}.")]:
        del sys.modules[loaded]


class Finder:
    """Finds a top-level module beside the guest that means it, and not beside another."""

    @classmethod
    def find_spec(cls, name: str, path: Any = None, _target: Any = None) -> Any:
        guests = list(_living)
        if path is not None or len(_folders) < 2 or not guests:
            return None
        meant = {guest.beside(name) for guest in guests if name in guest.imports()}
        if not meant:
            # By a name that the source does not tell: who imports is known, and what others mean later is not.
            meant = {guest.beside(name) for guest in guests} - {None}
            importer = _importer(guests)
            if len(meant) == 1 and importer is not None:
                meant = {importer.beside(name)}
        if len(meant) > 1:
            _refuse(f"the import of {name} can mean {' or '.join(sorted(filter(None, meant)))}")
        place = next(iter(meant), None)
        if place is not None:
            return importlib.machinery.PathFinder.find_spec(name, [os.path.dirname(place)])
        return cls._find_elsewhere(name)

    @classmethod
    def _find_elsewhere(cls, name: str) -> Any:
        """Looks where any Python would; in no guest's folder."""
        if not any(_module_in(folder, name) for folder in _folders):
            return None
        for finder in sys.meta_path:
            if finder is importlib.machinery.PathFinder:
                spec = finder.find_spec(name, [entry for entry in sys.path if entry not in _folders.values()])
            else:
                spec = None if finder is cls else finder.find_spec(name, None)
            if spec is not None:
                return spec
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def install() -> None:
    """Has every import looked at, once."""
    sys.meta_path.insert(0, Finder)


def _importer(guests: list[Sibling]) -> Sibling | None:
    """The guest in whose folder the code lies that imports."""
    frame = sys._getframe(1)
    while frame is not None:
        folder = os.path.dirname(os.path.realpath(frame.f_code.co_filename))
        for guest in guests:
            if folder == guest.folder or folder.startswith(f"{guest.folder}{os.sep}"):
                return guest
        frame = frame.f_back  # type: ignore[assignment]
    return None


def _module_in(folder: str, name: str) -> str | None:
    package = os.path.join(folder, name)
    for ending in _ENDINGS:
        if os.path.isfile(os.path.join(package, f"__init__{ending}")):
            return os.path.realpath(package)
        if os.path.isfile(f"{package}{ending}"):
            return os.path.realpath(f"{package}{ending}")
    return None


def _sources(place: str | None) -> Iterator[str]:
    if place is not None and os.path.isdir(place):
        for folder, _, files in os.walk(place):
            yield from (os.path.join(folder, file) for file in files if file.endswith(".py"))
    elif place is not None and place.endswith(".py"):
        yield place


def _imports_of(path: str) -> set[str]:
    """Top-level names that a file imports, by statements or by a function that is given a text."""
    try:
        with open(path, "rb") as file:
            tree = ast.parse(file.read())
    except (OSError, SyntaxError, ValueError, RecursionError):
        # Who imports it is told.
        return set()
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.append(node.module or "")
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = getattr(node.func, "attr", getattr(node.func, "id", None))
            if called in _IMPORTERS and isinstance(node.args[0].value, str):
                names.append(node.args[0].value)
    return {name.partition(".")[0] for name in names} - {""}


def _place(module: ModuleType | None) -> str | None:
    """Where a module was loaded from, as `_module_in` tells it."""
    folders = list(getattr(module, "__path__", None) or ())
    place = folders[0] if folders else getattr(module, "__file__", None)
    return os.path.realpath(place) if isinstance(place, str) else None


def _is_stdlib(module: ModuleType | None) -> bool:
    """Whether it is a module of Python's own, which every guest gets that is loaded later."""
    place = _place(module)
    if place is None:
        return module is not None
    return os.path.dirname(place) in (_STDLIB, os.path.join(_STDLIB, "lib-dynload"))
