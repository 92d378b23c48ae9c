# SPDX-License-Identifier: Apache-2.0
"""Waiting without guessing: ask again until it is so, or say what was missing."""

import time


def until(question, what, timeout_s=30, pause_s=0.05):
    """Asks question() until it answers something true and returns that answer.

    An exception of the question counts as "not yet". After timeout_s it fails with `what`.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        error = None
        try:
            answer = question()
            if answer:
                return answer
        except Exception as problem:  # pylint: disable=broad-except
            error = problem
        if time.monotonic() > deadline:
            raise AssertionError(f"after {timeout_s} s still not: {what}") from error
        time.sleep(pause_s)
