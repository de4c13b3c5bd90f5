from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

from personalization.lab.datasets import TransactionLog, online_retail
from personalization.lab.purchases import judged, retail_purchases


def test_what_comes_after_does_not_teach_and_only_known_customers_judge() -> None:
    log = TransactionLog(
        customers=np.array([1, 1, 2, 1, 1, 2, 3]),
        days=np.array([0, 14, 7, 30, 30, 90, 30]),
        amounts=np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]),
    )
    found = judged(log, until=28, weeks=4.0)
    assert found.past.customers.tolist() == [1, 2]
    assert found.bought.tolist() == [1.0, 0.0]
    assert found.spent.tolist() == [9.0, 0.0]


def test_a_shop_s_returns_and_unknown_customers_are_left_out_and_its_figures_only_reported(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    days = [np.datetime64("2010-01-01") + int(day) for day in rng.integers(0, 200, 400)]
    rows = [f"{day} 10:00:00,{rng.integers(1, 60)}.0,2,{rng.uniform(1, 9):.2f}" for day in days]
    with gzip.open(tmp_path / "online_retail_2010.csv.gz", "wt") as file:
        file.write(
            "\n".join(["InvoiceDate,Customer ID,Quantity,Price", *rows, "2010-01-05 10:00:00,,1,2.0", f"{days[0]} 1,5.0,-1,2"])
        )
    assert len(online_retail(tmp_path).days) == 400
    scores = retail_purchases(tmp_path, lambda done, total: None)
    assert all(score.must is None for score in scores)
