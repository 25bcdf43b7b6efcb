# SPDX-License-Identifier: Apache-2.0
# Run once for the process, with SOURCES, LOADER and NATIVE in its globals; leaves `guest` there.
import importlib.abc
import importlib.util
import json
import sys
import types

sources: dict = globals()["SOURCES"]


class _Kit(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the package `polyloop` in the loader itself: one installed beside the guest is of another version."""

    def find_spec(self, name, path=None, target=None):
        package, _, stem = name.partition(".")
        stem = stem or "__init__"
        if package != "polyloop" or stem not in sources:
            return None
        origin = f"<polyloop>/{stem}.py"
        return importlib.util.spec_from_loader(name, self, origin=origin, is_package=stem == "__init__")

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        source = self.get_source(module.__name__)
        exec(compile(source, module.__spec__.origin, "exec"), module.__dict__)

    def get_source(self, name):
        return sources[name.partition(".")[2] or "__init__"]


sys.meta_path.insert(0, _Kit())
_native = types.ModuleType("polyloop._native", "What the loader does in Rust.")
_native.__dict__.update(globals()["NATIVE"])
sys.modules["polyloop._native"] = _native

from polyloop import _guest as guest  # noqa: E402

guest.adopt(json.loads(globals()["LOADER"]))
