# SPDX-License-Identifier: Apache-2.0
"""A guest that nobody would write on purpose."""

import re
import time

_pattern = re.compile("(a+)+$")


def backtrack(seconds: float) -> float:
    """Matches ever longer texts, until one takes that long: one call of C code, which keeps the GIL all the while."""
    took, letters = 0.0, 16
    while took < seconds:
        letters += 1
        start = time.perf_counter()
        _pattern.match("a" * letters + "!")
        took = time.perf_counter() - start
    return took
