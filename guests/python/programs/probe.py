# SPDX-License-Identifier: Apache-2.0
"""Prints, as one line of JSON, what the Polyloop host must know of an interpreter to load it.

The host runs this file with the interpreter in a child process, so it also has to run under
interpreters that are too old to be loaded: it keeps to what Python 2.7 understands.
"""

import json
import os
import struct
import sys
import sysconfig


def loaded_libpython():
    """The libpython that this very process is linked to, if it is."""
    try:
        with open("/proc/self/maps") as maps:
            lines = maps.read().splitlines()
    except (IOError, OSError):
        return []
    paths = [line.split(None, 5)[-1] for line in lines if "/libpython" in line]
    return [path for path in paths if "/libpython3.so" not in path][:1]


def libpython_candidates():
    """Shared libpythons that exist, the likeliest first."""
    variables = sysconfig.get_config_vars()
    version = "%d.%d%s" % (sys.version_info[0], sys.version_info[1], getattr(sys, "abiflags", ""))
    names = [variables.get("INSTSONAME"), variables.get("LDLIBRARY")]
    names += ["libpython%s.so.1.0" % version, "libpython%s.so" % version, "libpython%s.dylib" % version]
    base = getattr(sys, "base_prefix", sys.prefix)
    beside = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(sys.executable))), "lib")
    folders = [os.path.join(base, "lib"), beside, variables.get("LIBDIR"), variables.get("LIBPL")]
    if variables.get("LIBDIR") and variables.get("MULTIARCH"):
        folders.append(os.path.join(variables["LIBDIR"], variables["MULTIARCH"]))
    found = loaded_libpython()
    for folder in folders:
        for name in names:
            path = os.path.join(folder, name) if folder and name else ""
            shared = ".so" in path or path.endswith(".dylib")
            if shared and os.path.exists(path) and os.path.realpath(path) not in map(os.path.realpath, found):
                found.append(path)
    return found


def search_path():
    """`sys.path` without the folder of this file, which Python put in front."""
    here = os.path.dirname(os.path.abspath(__file__))
    return [path for path in sys.path if path and os.path.abspath(path) != here]


def probe():
    implementation = getattr(sys, "implementation", None)
    return {
        "version": sys.version.split()[0],
        "version_info": list(sys.version_info[:3]),
        "implementation": implementation.name if implementation else "cpython",
        "executable": sys.executable or "",
        "prefix": sys.prefix,
        "base_prefix": getattr(sys, "base_prefix", sys.prefix),
        "path": search_path(),
        "libpython": libpython_candidates(),
        "shared": bool(sysconfig.get_config_var("Py_ENABLE_SHARED")),
        "gil": not sysconfig.get_config_var("Py_GIL_DISABLED"),
        "trace_refs": hasattr(sys, "getobjects"),
        "bits": struct.calcsize("P") * 8,
    }


if __name__ == "__main__":
    print(json.dumps(probe()))
