"""A model as bytes: arrays and JSON, and nothing else is taken for one."""

import io
import pickle

import numpy as np
import pytest

from personalization.errors import ArtifactRefused
from personalization.models.artifact import digest_of, read, written

PACKED = {"weights": np.arange(6.0).reshape(2, 3), "names": ["a", "ä"], "deep": {"n": 3, "none": None, "again": np.array([1, 2])}}


def test_a_model_comes_back_to_the_bit() -> None:
    found = read(written(PACKED, "engagement"), "engagement")
    assert found["names"] == ["a", "ä"]
    assert found["deep"]["n"] == 3
    assert found["deep"]["none"] is None
    assert found["weights"].dtype == np.float64
    assert found["weights"].tobytes() == PACKED["weights"].tobytes()
    assert found["deep"]["again"].tolist() == [1, 2]


def test_the_same_model_has_the_same_bytes() -> None:
    assert digest_of(written(PACKED, "engagement")) == digest_of(written(PACKED, "engagement"))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(share: float) -> None:
    body = written(PACKED, "engagement")
    with pytest.raises(ArtifactRefused):
        read(body[: int(share * len(body))], "engagement")


def test_every_altered_byte_is_found_by_its_digest() -> None:
    body = written(PACKED, "engagement")
    for at in range(0, len(body), 97):
        altered = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
        with pytest.raises(ArtifactRefused, match="sha256"):
            read(altered, "engagement", digest_of(body))


def test_a_pickled_file_is_refused_and_never_run() -> None:
    class Runs:
        def __reduce__(self) -> object:
            return (pytest.fail, ("a pickle was run",))

    objects = io.BytesIO()
    np.savez(objects, tree=np.array([{"a": 1}], dtype=object))
    single = io.BytesIO()
    np.save(single, np.zeros(3))
    for body in (pickle.dumps(Runs()), objects.getvalue(), single.getvalue(), b"", b"PK\x03\x04 nothing", b"{}"):
        with pytest.raises(ArtifactRefused):
            read(body, "engagement")


def test_another_familys_model_is_refused() -> None:
    with pytest.raises(ArtifactRefused, match="'value'"):
        read(written(PACKED, "value"), "engagement")


def test_objects_cannot_be_written() -> None:
    with pytest.raises(TypeError, match="objects"):
        written({"a": np.array([object()])}, "engagement")
