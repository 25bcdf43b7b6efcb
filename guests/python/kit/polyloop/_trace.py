# SPDX-License-Identifier: Apache-2.0
"""OpenTelemetry, if the guest has it: the caller's trace goes on in the guest."""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
import warnings
from typing import Any

from . import _native


def enter(token: Any) -> None:
    """Makes the trace and the baggage that came with a call current in the context that its function runs in.

    That context is the call's own, so nothing has to be undone. A guest that has not loaded OpenTelemetry is let be.
    """
    current = sys.modules.get("opentelemetry.context")
    if current is None:
        return
    text = _native.context(token)
    if not text:
        return
    try:
        propagate = importlib.import_module("opentelemetry.propagate")
        current.attach(propagate.extract(json.loads(text)))
    except Exception as error:
        # This costs the trace, and not the call, even if warnings are errors.
        with contextlib.suppress(Warning):
            warnings.warn(f"the caller's trace ends here: {error!r}", RuntimeWarning, stacklevel=1)
