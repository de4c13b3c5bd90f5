from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from personalization.clock import hour_of_week, rfc3339
from personalization.errors import MisconfiguredError
from personalization.lab.datasets import email_eu, enron, hillstrom, open_bandit

HEAD = "recency,history_segment,history,mens,womens,zip_code,newbie,channel,segment,visit,conversion,spend"


def written(folder: Path, *rows: str) -> Path:
    with gzip.open(folder / "hillstrom.csv.gz", "wt") as file:
        file.write("\n".join((HEAD, *rows)) + "\n")
    return folder


def test_a_missing_folder_is_named_with_the_way_to_another(tmp_path: Path) -> None:
    with pytest.raises(MisconfiguredError, match="PERSONALIZATION_DATA") as refusal:
        hillstrom(tmp_path / "nowhere")
    assert str(tmp_path / "nowhere") in str(refusal.value)


def test_a_customer_becomes_typed_traits_an_arm_and_a_reward(tmp_path: Path) -> None:
    log = hillstrom(written(tmp_path, "9,5) $500 - $750,675.83,1,0,Rural,1,Web,Womens E-Mail,1,0,0.0"))
    assert log.traits[0] == {
        "recency": 9,
        "history": 675.83,
        "mens": True,
        "womens": False,
        "zip_code": "Rural",
        "newbie": True,
        "channel": "Web",
    }
    assert (log.arms[log.given[0]], log.rewards[0]) == ("Womens E-Mail", 1.0)


def test_means_are_of_everybody_or_of_an_arm(tmp_path: Path) -> None:
    row = "9,1) $0 - $100,50.0,1,0,Rural,1,Web,{},{},0,0.0"
    log = hillstrom(written(tmp_path, row.format("Mens E-Mail", 1), row.format("No E-Mail", 0), row.format("No E-Mail", 1)))
    assert log.mean() == pytest.approx(2 / 3)
    assert (log.mean(0), log.mean(1), log.mean(2)) == (1.0, 0.0, 0.5)
    assert log.best_arm() == 0
    assert len(log.first(1)) == 1
    assert len(log.first(None)) == 3


def test_an_item_shown_has_its_position_propensity_and_click(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "obd_bts_men.csv.gz", "wt") as file:
        file.write("timestamp,item_id,position,click,propensity_score\nx,14,3,1,0.25\nx,0,1,0,0.5\n")
    log = open_bandit(tmp_path, "bts")
    assert (log.items, log.positions, log.propensities, log.clicks) == ([14, 0], [2, 0], [0.25, 0.5], [1.0, 0.0])
    with pytest.raises(MisconfiguredError, match="obd_random_men"):
        open_bandit(tmp_path, "random")


def test_mails_to_many_are_one_act_and_come_in_the_order_of_time(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "enron.csv.gz", "wt") as file:
        file.write("sender,recipient,Time\n7,2,2001-06-21 17:00:00\n7,3,2001-06-21 17:00:00\n4,2,2001-06-20 09:30:00\n")
    log = enron(tmp_path)
    assert log.people == [4, 7]
    assert [rfc3339(at) for at in log.at] == ["2001-06-20T09:30:00Z", "2001-06-21T17:00:00Z"]
    before, after = log.apart(0.5)
    assert (before.people, after.people) == ([4], [7])


def test_the_first_day_of_the_institution_is_a_monday(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "email_eu.csv.gz", "wt") as file:
        file.write("u,v,t\n1,2,0\n1,3,0\n1,2,3600\n2,1,608400\n")
    log = email_eu(tmp_path)
    assert (log.people, [hour_of_week(at, 0) for at in log.at]) == ([1, 1, 2], [0, 1, 1])
    with pytest.raises(MisconfiguredError, match="enron"):
        enron(tmp_path)
