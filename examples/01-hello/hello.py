# SPDX-License-Identifier: Apache-2.0
"""Every public function of the module is one that the host can call."""

import platform


def greet(name: str) -> str:
    return f"Hello, {name}, from Python {platform.python_version()}!"
