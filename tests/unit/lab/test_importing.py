from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from personalization.bootstrap import House, memory_house
from personalization.errors import MisconfiguredError
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
    with pytest.raises(MisconfiguredError, match=r"neither \.csv nor \.jsonl"):
        import_profiles(service, file(tmp_path, "p.txt", "x"), tmp_path / "r", quiet)


def test_a_missing_file_is_refused_with_a_sentence(tmp_path: Path, service: PersonalizationService) -> None:
    with pytest.raises(MisconfiguredError, match="cannot be read"):
        import_profiles(service, tmp_path / "none.csv", tmp_path / "r", quiet)
