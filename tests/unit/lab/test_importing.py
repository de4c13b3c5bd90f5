from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from personalization.bootstrap import House, memory_house
from personalization.errors import MisconfiguredError
from personalization.lab.bookmark import Bookmark
from personalization.lab.importing import import_events, import_profiles
from personalization.service import PersonalizationService


@pytest.fixture
def house() -> Iterator[House]:
    house = memory_house()
    house.storage.tenants.create("t", house.clock.now())
    yield house
    house.close()


@pytest.fixture
def service(house: House) -> PersonalizationService:
    return house.service("t")


def quiet(done: int, total: int) -> None:
    assert done <= total


def file(folder: Path, name: str, *lines: str) -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_dotted_columns_become_sections_and_cells_get_their_type(tmp_path: Path, service: PersonalizationService) -> None:
    head = "user_id,language,attributes.phone,traits.age,traits.vip,channel_preferences.email,content_preferences.topics"
    hours = ",timing_preferences.quiet_hours.start,timing_preferences.quiet_hours.end,timing_preferences.preferred_hours"
    path = file(tmp_path, "p.csv", head + hours, "u1,de,007,36,true,0.9,art;music,22:00,07:00,9;18", "u2,,,,,,,,,")
    found = import_profiles(service, path, tmp_path / "r", quiet)
    profile = service.profile("u1")
    assert (found.accepted, found.rejected, (tmp_path / "r").exists()) == (2, 0, False)
    assert profile["attributes"] == {"phone": "007"}
    assert profile["traits"] == {"age": 36, "vip": True}
    assert profile["channel_preferences"] == {"email": 0.9}
    assert profile["content_preferences"]["topics"] == ["art", "music"]
    assert profile["timing_preferences"] == {"preferred_hours": [9, 18], "quiet_hours": {"start": "22:00", "end": "07:00"}}


def test_a_bad_row_goes_to_the_rejects_with_its_line_and_reason(tmp_path: Path, service: PersonalizationService) -> None:
    path = file(tmp_path, "p.jsonl", '{"user_id": "u1"}', "no json", '{"user_id": "u2", "colour": 1}')
    found = import_profiles(service, path, tmp_path / "r", quiet)
    rejects = [json.loads(line) for line in (tmp_path / "r").read_text().splitlines()]
    assert (found.accepted, found.rejected) == (1, 2)
    assert sorted(reject["line"] for reject in rejects) == [2, 3]
    assert {error["field"] for reject in rejects for error in reject["errors"]} >= {"colour"}


def test_events_of_any_age_are_taken_once(tmp_path: Path, service: PersonalizationService) -> None:
    event = '{"event_id": "e1", "type": "clicked", "user_id": "u1", "occurred_at": "2011-01-01T00:00:00Z"}'
    path = file(tmp_path, "e.jsonl", event, event, event.replace("clicked", "sneezed"))
    found = import_events(service, path, tmp_path / "r", quiet)
    assert (found.accepted, found.duplicates, found.rejected) == (1, 1, 1)


def test_events_come_from_csv_too(tmp_path: Path, service: PersonalizationService) -> None:
    head = "event_id,type,user_id,occurred_at,channel,value,currency,metadata.source"
    rows = ("e1,converted,u1,2020-01-01T00:00:00Z,email,12.5,EUR,shop", "e2,opened,1,2020-01-01T00:00:00Z,,,,")
    path = file(tmp_path, "e.csv", head, *rows)
    assert import_events(service, path, tmp_path / "r", quiet).accepted == 2


def test_a_file_of_another_format_is_refused_with_a_sentence(tmp_path: Path, service: PersonalizationService) -> None:
    with pytest.raises(MisconfiguredError, match=r"neither \.csv nor \.jsonl nor \.parquet"):
        import_profiles(service, file(tmp_path, "p.txt", "x"), tmp_path / "r", quiet)


def test_a_missing_file_is_refused_with_a_sentence(tmp_path: Path, service: PersonalizationService) -> None:
    with pytest.raises(MisconfiguredError, match="cannot be read"):
        import_profiles(service, tmp_path / "none.csv", tmp_path / "r", quiet)


def test_of_several_rows_of_one_person_the_last_holds(tmp_path: Path, service: PersonalizationService) -> None:
    rows = [json.dumps({"user_id": "u", "language": language}) for language in ("de", "fr", "es")]
    found = import_profiles(service, file(tmp_path, "p.jsonl", *rows), tmp_path / "r", quiet)
    assert (found.accepted, found.rejected) == (3, 0)
    assert service.profile("u")["language"] == "es"


# -- rejects


def rejects_in(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_rejects_are_imported_again_once_they_are_mended(tmp_path: Path, service: PersonalizationService) -> None:
    path = file(tmp_path, "p.jsonl", '{"user_id": "u1", "colour": 1}', '{"user_id": "u2",', '{"user_id": "u3"}', '{"user_id": 4}')
    rejects, again = tmp_path / "p.rejects.jsonl", tmp_path / "again.jsonl"
    assert import_profiles(service, path, rejects, quiet).rejected == 3
    assert [(reject["line"], reject["row"]) for reject in rejects_in(rejects)] == [
        (1, {"user_id": "u1", "colour": 1}),
        (2, '{"user_id": "u2",'),
        (4, {"user_id": 4}),
    ]
    assert import_profiles(service, rejects, again, quiet).rejected == 3
    mended = rejects.read_text().replace(', "colour": 1', "").replace('u2\\",', 'u2\\"}').replace("4}", '"u4"}')
    rejects.write_text(mended)
    assert import_profiles(service, rejects, again, quiet).accepted == 3
    assert {service.profile(f"u{i}")["user_id"] for i in (1, 2, 3, 4)} == {"u1", "u2", "u3", "u4"}


def test_cells_that_no_body_may_hold_are_rejected_and_readable_again(tmp_path: Path, service: PersonalizationService) -> None:
    wide, nul, many = f"a,{10**30},", "b,1,x\0y", "c,1,x,y"
    path = file(tmp_path, "p.csv", "user_id,traits.age,traits.plan", wide, nul, many, "d,1,x")
    found = import_profiles(service, path, tmp_path / "r.jsonl", quiet)
    assert (found.accepted, found.rejected) == (1, 3)
    again = import_profiles(service, tmp_path / "r.jsonl", tmp_path / "again", quiet)
    assert (again.accepted, again.rejected) == (0, 3)
    mended = (tmp_path / "r.jsonl").read_text().replace(str(10**30), "1").replace("\\u0000", "").replace(', "": ["y"]', "")
    (tmp_path / "r.jsonl").write_text(mended)
    assert import_profiles(service, tmp_path / "r.jsonl", tmp_path / "again", quiet).accepted == 3


def test_columns_that_contradict_each_other_are_named(tmp_path: Path, service: PersonalizationService) -> None:
    path = file(tmp_path, "p.csv", "user_id,traits.age,traits", "u,36,x")
    import_profiles(service, path, tmp_path / "r", quiet)
    (reject,) = rejects_in(tmp_path / "r")
    assert [error["field"] for error in reject["errors"]] == ["traits"]
    assert reject["row"] == {"user_id": "u", "traits.age": 36, "traits": "x"}


def test_rejects_are_for_this_user_only_and_never_overwrite_the_file(tmp_path: Path, service: PersonalizationService) -> None:
    path = file(tmp_path, "p.jsonl", "no json")
    import_profiles(service, path, tmp_path / "r", quiet)
    assert (tmp_path / "r").stat().st_mode & 0o077 == 0
    with pytest.raises(MisconfiguredError, match="would be overwritten"):
        import_profiles(service, path, tmp_path / "." / "p.jsonl", quiet)
    assert path.read_text() == "no json\n"


# -- Parquet


def test_parquet_holds_dotted_columns_or_structs(tmp_path: Path, service: PersonalizationService) -> None:
    rows = {
        "user_id": pyarrow.array([7, 8]),
        "language": ["de", None],
        "traits.age": pyarrow.array([36, None]),
        "attributes": [{"first_name": "Ada", "phone": None}, {"first_name": None, "phone": "007"}],
        "channel_preferences": pyarrow.array([[("email", 0.5)], []], pyarrow.map_(pyarrow.string(), pyarrow.float64())),
        "content_preferences.topics": [["art", "music"], None],
    }
    parquet.write_table(pyarrow.table(rows), tmp_path / "p.parquet")
    found = import_profiles(service, tmp_path / "p.parquet", tmp_path / "r", quiet)
    assert (found.accepted, found.rejected) == (2, 0)
    first, second = service.profile("7"), service.profile("8")
    assert (first["language"], first["traits"], first["attributes"]) == ("de", {"age": 36}, {"first_name": "Ada"})
    assert first["channel_preferences"] == {"email": 0.5}
    assert first["content_preferences"]["topics"] == ["art", "music"]
    assert (second["traits"], second["attributes"]) == ({}, {"phone": "007"})


def test_parquet_events_have_instants_with_a_zone_and_exact_amounts(tmp_path: Path, service: PersonalizationService) -> None:
    at = datetime(2020, 1, 1, tzinfo=UTC)
    rows = {
        "event_id": ["e1", "e2", "e3", "e4"],
        "type": ["converted"] * 4,
        "user_id": ["u"] * 4,
        "occurred_at": pyarrow.array([at, at, None, at], pyarrow.timestamp("us", "UTC")),
        "value": pyarrow.array([Decimal("12.50"), Decimal("1.00"), None, None]),
        "metadata": [{"score": 1.0}, {"score": float("nan")}, None, None],
    }
    parquet.write_table(pyarrow.table(rows), tmp_path / "e.parquet", row_group_size=2)
    found = import_events(service, tmp_path / "e.parquet", tmp_path / "r", quiet)
    assert (found.accepted, found.rejected) == (2, 2)
    assert [(reject["line"], reject["row"]["event_id"]) for reject in rejects_in(tmp_path / "r")] == [(2, "e2"), (3, "e3")]


def test_parquet_without_pyarrow_says_what_to_install(
    tmp_path: Path, service: PersonalizationService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MisconfiguredError, match=r"pip install 'deep-personalization\[parquet\]'"):
        import_profiles(service, file(tmp_path, "p.parquet", "x"), tmp_path / "r", quiet)


def test_a_broken_parquet_file_is_refused_with_a_sentence(tmp_path: Path, service: PersonalizationService) -> None:
    with pytest.raises(MisconfiguredError, match="cannot be read"):
        import_profiles(service, file(tmp_path, "p.parquet", "PAR1"), tmp_path / "r", quiet)


# -- interrupted


def profiles_file(folder: Path, kind: str, rows: int) -> Path:
    """Every hundredth is refused."""
    path, documents = folder / f"p.{kind}", [{"user_id": f"u{i}", "traits": {"n": i}, "language": None} for i in range(rows)]
    documents[99::100] = [{**document, "language": "?"} for document in documents[99::100]]
    if kind == "parquet":
        parquet.write_table(pyarrow.Table.from_pylist(documents), path, row_group_size=700)
    elif kind == "csv":
        lines = [f"{d['user_id']},{d['traits']['n']},{d['language'] or ''}" for d in documents]
        path.write_text("\n".join(["user_id,traits.n,language", *lines]) + "\n")
    else:
        path.write_text("".join(json.dumps(document) + "\n" for document in documents))
    return path


def stopping_at(row: int) -> Callable[[int, int], None]:
    def step(done: int, total: int) -> None:
        if done >= row:
            raise KeyboardInterrupt

    return step


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_an_interrupted_import_goes_on_and_takes_every_row_once(kind: str, tmp_path: Path, service: PersonalizationService) -> None:
    path, rejects = profiles_file(tmp_path, kind, 2_500), tmp_path / "r"

    def bookmark() -> Bookmark:
        return Bookmark(tmp_path / "state", "profiles", b"s", path, rejects)

    with pytest.raises(KeyboardInterrupt):
        import_profiles(service, path, rejects, stopping_at(2_000), bookmark())
    seen: list[int] = []
    found = import_profiles(service, path, rejects, lambda done, _: seen.append(done), bookmark())
    assert (found.accepted, found.duplicates, found.rejected) == (2_475, 0, 25)
    assert found.continued_after in (1_000, 1_001)
    assert len(seen) == 2
    assert {service.profile(f"u{i}")["metadata"]["version"] for i in range(2_500) if i % 100 != 99} == {1}
    assert [reject["row"]["user_id"] for reject in rejects_in(rejects)] == [f"u{i}" for i in range(99, 2_500, 100)]
    assert list((tmp_path / "state").iterdir()) == []
    assert import_profiles(service, path, rejects, quiet, bookmark()).continued_after == 0


def test_an_altered_file_or_another_database_begins_at_the_first_row(tmp_path: Path, service: PersonalizationService) -> None:
    path, rejects = profiles_file(tmp_path, "jsonl", 2_000), tmp_path / "r"
    with pytest.raises(KeyboardInterrupt):
        import_profiles(service, path, rejects, stopping_at(2_000), Bookmark(tmp_path, "profiles", b"s", path, rejects))
    assert Bookmark(tmp_path, "profiles", b"s", path, rejects).read().done == 1_000
    assert Bookmark(tmp_path, "profiles", b"other", path, rejects).read().done == 0
    assert Bookmark(tmp_path, "events", b"s", path, rejects).read().done == 0
    path.write_text(path.read_text() + "\n")
    assert Bookmark(tmp_path, "profiles", b"s", path, rejects).read().done == 0
