"""Settings: what the environment says, then the running stack, then defaults."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from shared.settings import PROCESSES, NotConfiguredError, Settings, settings_without_stack


@pytest.fixture
def stack_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home in which a stack says that it runs."""
    told = {"kafka": "stack:1", "database": "postgresql://{service}@stack/{service}", "order_port": 9001, "ready": True}
    (tmp_path / "stack.json").write_text(json.dumps(told))
    monkeypatch.setenv("LARDER_HOME", str(tmp_path))
    return tmp_path


def test_the_running_stack_overrides_defaults(stack_home: Path) -> None:
    """A command run beside a stack must find it without any setting but the home."""
    settings = Settings()
    assert settings.bootstrap() == "stack:1"
    assert settings.dsn("order") == "postgresql://order@stack/order"
    assert settings.port("order") == 9001
    assert settings.port("risk") == 8103


def test_the_environment_overrides_the_running_stack(stack_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the user says now must win over what a stack once wrote."""
    monkeypatch.setenv("LARDER_KAFKA", "named:2")
    monkeypatch.setenv("LARDER_PAYMENT_WINDOW_S", "8")
    assert Settings().bootstrap() == "named:2"
    assert Settings().payment_window_s == 8


def test_a_supervisor_does_not_believe_an_older_stack(stack_home: Path) -> None:
    """`larder up` must start its own broker, not use the address of one that ran here before."""
    assert settings_without_stack().kafka == ""
    assert settings_without_stack().home == stack_home


def test_the_six_services_have_the_promised_ports(tmp_path: Path) -> None:
    """Ports 8101 to 8106 are a promise, and 8100, where people go in."""
    assert [Settings(home=tmp_path).port(name) for name in PROCESSES] == [*range(8101, 8108), 8100]


def test_a_missing_broker_or_database_is_told_with_the_way_out(tmp_path: Path) -> None:
    """An error about a setting must name the setting and the command that helps."""
    settings = Settings(home=tmp_path)
    with pytest.raises(NotConfiguredError, match=r"larder up.*LARDER_KAFKA"):
        settings.bootstrap()
    with pytest.raises(NotConfiguredError, match=r"larder up.*LARDER_DATABASE"):
        settings.dsn("order")
    with pytest.raises(NotConfiguredError, match="LARDER_TOKEN_SECRET"):
        settings.secret()


def test_a_service_that_does_not_exist_is_refused(stack_home: Path) -> None:
    """A misspelt service must not become a DSN."""
    with pytest.raises(ValueError, match="no database 'orders'"):
        Settings().dsn("orders")
    with pytest.raises(ValueError, match="no service 'orders'"):
        Settings().port("orders")


@pytest.mark.parametrize("setting", ["LARDER_SHARDS=0", "LARDER_PAYMENT_WINDOW_S=-1", "LARDER_ORDER_PORT=many"])
def test_values_that_make_no_sense_are_refused(setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No process may start with a window below zero or without a shard."""
    monkeypatch.setenv(*setting.split("="))
    with pytest.raises(ValidationError):
        Settings()


def test_a_damaged_stack_file_is_told(stack_home: Path) -> None:
    """Half a stack.json must not quietly turn into defaults."""
    (stack_home / "stack.json").write_text("{")
    with pytest.raises(NotConfiguredError, match="damaged"):
        Settings()
