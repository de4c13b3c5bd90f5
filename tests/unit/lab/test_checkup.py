from __future__ import annotations

from pathlib import Path

from personalization.errors import MisconfiguredError
from personalization.lab.checkup import Check, examine
from personalization.settings import DEVELOPMENT, PRODUCTION, Settings


def by_name(found: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in found}


def settings(folder: Path, app_env: str) -> Settings:
    return Settings(app_env=app_env, state_dir=folder, database_url=f"sqlite:///{folder}/p.db")


def test_a_fresh_development_machine_is_in_order_and_stays_untouched(tmp_path: Path) -> None:
    found = examine(lambda: settings(tmp_path, DEVELOPMENT))
    assert all(check.ok for check in found), found
    assert list(tmp_path.iterdir()) == []


def test_weak_secrets_in_production_are_a_problem_with_a_mend(tmp_path: Path) -> None:
    weak = [check for check in examine(lambda: settings(tmp_path, PRODUCTION)) if not check.ok]
    assert [check.name for check in weak] == ["secrets", "secrets"]
    assert all("openssl" in check.mend for check in weak)


def test_settings_that_cannot_be_read_are_said_first() -> None:
    def broken() -> Settings:
        raise MisconfiguredError("PORT='x' is not a port number")

    assert examine(broken)[0] == Check("settings", False, "PORT='x' is not a port number", "Correct the variable and try again.")


def test_a_redis_that_does_not_answer_is_a_problem(tmp_path: Path) -> None:
    away = Settings(
        app_env=DEVELOPMENT, state_dir=tmp_path, database_url=f"sqlite:///{tmp_path}/p.db", redis_url="redis://127.0.0.1:9/0"
    )
    assert not by_name(examine(lambda: away))["redis"].ok


def test_no_password_is_shown(tmp_path: Path) -> None:
    away = Settings(app_env=DEVELOPMENT, state_dir=tmp_path, database_url="postgresql+psycopg2://me:hidden@127.0.0.1:9/p")
    found = by_name(examine(lambda: away))
    assert not found["database"].ok
    assert "hidden" not in "".join(check.finding for check in found.values())
