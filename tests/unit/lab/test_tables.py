"""Tables from files: typed by column, refused in a sentence where they are broken."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path

import pytest

from personalization.errors import MisconfiguredError
from personalization.lab.tables import table_of

ROWS = "plan,months,since\npro,3,2026-01-01\n,4.5,\nfree,,2026-02-01\n"
TABLE = {"plan": ["pro", None, "free"], "months": [3.0, 4.5, None], "since": ["2026-01-01", None, "2026-02-01"]}


def test_columns_of_numbers_and_of_text_with_gaps(tmp_path: Path) -> None:
    plain, packed = tmp_path / "t.csv", tmp_path / "t.csv.gz"
    plain.write_text("\ufeff" + ROWS)
    packed.write_bytes(gzip.compress(ROWS.encode()))
    assert table_of(plain) == table_of(packed) == TABLE


def test_parquet_files_and_folders_of_them(tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    when = datetime(2026, 1, 1, tzinfo=UTC)
    table = arrow.table({"plan": ["pro", None], "paid": [True, False], "at": [when, None], "n": [1, 2]})
    folder = tmp_path / "lake"
    for day in ("2026-01-01", "2026-01-02"):
        (folder / f"day={day}").mkdir(parents=True)
        parquet.write_table(table, folder / f"day={day}" / "part.parquet")
    parquet.write_table(table, tmp_path / "one.parquet")
    one = table_of(tmp_path / "one.parquet")
    assert one == {"plan": ["pro", None], "paid": [1.0, 0.0], "at": [when.isoformat(), None], "n": [1.0, 2.0]}
    every = table_of(folder)
    assert len(every["plan"]) == 4
    assert {str(day) for day in every["day"]} == {"2026-01-01", "2026-01-02"}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("t.csv", "a,b\n1,2\n3\n", "row 3: 1 cells where the header has 2"),
        ("t.csv", "a,a\n1,2\n", "two columns of one name"),
        ("t.csv", "a,b\n", "no rows"),
        ("t.csv", "", "no rows"),
        ("t.csv.gz", "a,b\n1,2\n", "cannot be read"),
        ("t.parquet", "nonsense", "cannot be read"),
        ("t.xlsx", "nonsense", "neither .csv nor .parquet"),
        ("t.csv", "a\n\ud800\n", "cannot be read"),
    ],
)
def test_a_broken_file_is_refused_in_a_sentence(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(MisconfiguredError, match=said):
        table_of(tmp_path / name)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MisconfiguredError, match=r"nowhere\.csv cannot be read"):
        table_of(tmp_path / "nowhere.csv")
