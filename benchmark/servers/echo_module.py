# SPDX-License-Identifier: Apache-2.0
"""What node-calls-python imports: an echo that gives its bytes back."""


def echo(payload):
    return payload
