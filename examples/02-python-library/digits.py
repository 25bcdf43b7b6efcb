# SPDX-License-Identifier: Apache-2.0
"""Reads handwritten digits with scikit-learn. The model lives in this module: trained once, asked many times."""

from __future__ import annotations

from typing import Any

import numpy as np
import sklearn
from polyloop import Error
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_score, train_test_split

# 1,797 real digits, 8 by 8 pixels of 0 to 16, that come with scikit-learn. A quarter is kept from the model.
_digits = load_digits()
_known, _unseen, _known_labels, _unseen_labels = train_test_split(
    _digits.data, _digits.target, test_size=0.25, random_state=0, stratify=_digits.target
)
_model = RandomForestClassifier(n_estimators=100, random_state=0)


def init(config: Any) -> None:
    """Runs before the first call: `load` resolves when the model is trained."""
    _model.fit(_known, _known_labels)


def about() -> dict[str, Any]:
    return {
        "library": f"scikit-learn {sklearn.__version__}",
        "trained_on": len(_known),
        "unseen": len(_unseen),
        "accuracy": _model.score(_unseen, _unseen_labels),
    }


def sample(number: int) -> dict[str, Any]:
    """One of the digits that the model has not seen, with what it is."""
    if not 0 <= number < len(_unseen):
        raise Error(f"there are samples 0 to {len(_unseen) - 1}", code="no-sample", rc=404)
    return {"digit": int(_unseen_labels[number]), "pixels": _unseen[number].reshape(8, 8).tolist()}


def predict(image: dict[str, Any]) -> dict[str, Any]:
    """Says what digit an image shows, and how probable each of the ten is."""
    try:
        pixels = np.asarray(image["pixels"], dtype=float).reshape(1, 64)
    except (KeyError, TypeError, ValueError) as error:
        raise Error("an image is {pixels: 8 rows of 8 numbers}", code="bad-image", rc=400) from error
    probabilities = _model.predict_proba(pixels)[0]
    return {"digit": int(probabilities.argmax()), "probabilities": probabilities.tolist()}


def cross_validate(folds: int) -> dict[str, Any]:
    """Trains and tests as many models as there are folds: seconds of work."""
    model = RandomForestClassifier(n_estimators=100, random_state=0)
    scores = cross_val_score(model, _digits.data, _digits.target, cv=folds)
    return {"folds": folds, "accuracy": scores.mean()}
