from __future__ import annotations

import numpy as np
import pytest

from personalization.rest.answering import encoded


def test_numbers_of_numpy_are_numbers() -> None:
    assert encoded({"a": np.float64(0.5), "b": np.int64(3), "c": np.bool_(True)}) == b'{"a":0.5,"b":3,"c":true}'


def test_what_json_cannot_say_becomes_null() -> None:
    assert encoded([float("nan"), float("inf")]) == b"[null,null]"


def test_what_has_no_json_form_is_a_mistake_of_ours() -> None:
    with pytest.raises(TypeError):
        encoded(object())
