"""The settings: known by name, checked at start, each with its meaning."""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import Any

import pytest

from tests.harness import ROOT
from wsflask import config
from wsflask.config import Settings
from wsflask.errors import ConfigError


def test_without_settings_the_limits_are_those_of_the_documentation() -> None:
    settings = Settings.from_config({})

    assert settings == Settings()
    assert (settings.max_message_bytes, settings.max_json_depth, settings.max_json_keys) == (65536, 32, 1000)
    assert (settings.max_json_string, settings.messages_per_second, settings.message_burst) == (32768, 20, 60)
    assert (settings.max_bad_messages, settings.connections_per_user, settings.inbound_queue) == (20, 20, 64)
    assert (settings.outbox_bytes, settings.outbox_seconds, settings.ping_timeout) == (1 << 20, 10, 10)
    assert (settings.ping_interval, settings.ping_timeout, settings.session_check_interval) == (25, 10, 30)


def test_a_setting_is_its_field_in_capitals() -> None:
    settings = Settings.from_config({"WSFLASK_PING_INTERVAL": 5, "WSFLASK_ORIGINS": ["https://a.b"], "DEBUG": True})

    assert settings.ping_interval == 5
    assert settings.origins == ("https://a.b",)


def test_settings_of_the_demo_are_its_own() -> None:
    assert Settings.from_config({"WSFLASK_DEMO_SPEED": 3}) == Settings()


def test_settings_do_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().feed = "mongo"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("WSFLASK_PING_INTERVALL", 5, "unknown setting WSFLASK_PING_INTERVALL"),
        ("WSFLASK_FEED", "kafka", "write 'auto', 'mongo', 'signals' or 'redis'"),
        ("WSFLASK_FEED", "redis", "with WSFLASK_REDIS_URL"),
        ("WSFLASK_REDIS_URL", "http://a:secret@b", "is no URL of Redis"),
        ("WSFLASK_TRANSPORT", "fast", "write 'auto', 'parked' or 'threaded'"),
        ("WSFLASK_ORIGINS", "https://a.b", "write a list"),
        ("WSFLASK_ORIGINS", ["*"], "write origins such as"),
        ("WSFLASK_ORIGINS", ["https://*.example.com"], "write origins such as"),
        ("WSFLASK_ORIGINS", ["https://a.b/"], "write origins such as"),
        ("WSFLASK_ORIGINS", ["a.b"], "write origins such as"),
        ("WSFLASK_ORIGINS", [None], "write origins such as"),
        ("WSFLASK_SERVICES", "package.module:Class", "write a list"),
        ("WSFLASK_PING_INTERVAL", 0, "a finite number above 0"),
        ("WSFLASK_PING_INTERVAL", -1, "a finite number above 0"),
        ("WSFLASK_PING_INTERVAL", "25", "a finite number above 0"),
        ("WSFLASK_PING_INTERVAL", None, "a finite number above 0"),
        ("WSFLASK_PING_INTERVAL", True, "a finite number above 0"),
        ("WSFLASK_PING_INTERVAL", float("nan"), "a finite number above 0"),
        ("WSFLASK_OUTBOX_BYTES", float("inf"), "a finite number above 0"),
        ("WSFLASK_NOTIFICATION_DEFAULT_CATEGORY", 11, "has no label"),
    ],
)
def test_a_wrong_setting_is_named_with_what_to_write_instead(key: str, value: Any, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence) as caught:
        Settings.from_config({key: value})

    assert key in str(caught.value)


def test_every_setting_says_what_it_means() -> None:
    lines = [line.strip() for line in inspect.getsource(config.Settings).splitlines()]
    names = [field.name for field in dataclasses.fields(Settings)]

    silent = [
        name
        for name in names
        for index, line in enumerate(lines)
        if line.startswith(f"{name}:") and not lines[index - 1].startswith("#:")
    ]
    assert silent == []


def test_every_default_passes_its_own_check() -> None:
    given = {f"WSFLASK_{field.name.upper()}": getattr(Settings(), field.name) for field in dataclasses.fields(Settings)}

    assert Settings.from_config(given) == Settings()


def test_the_documentation_lists_all_settings_with_their_defaults() -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    listed = dict(re.findall(r"^\| `WSFLASK_([A-Z_]+)` \| (.*?) \|", text, re.MULTILINE))

    assert listed == {each.name.upper(): _shown(each.name) for each in dataclasses.fields(Settings)}


def _shown(name: str) -> str:
    """Return a default as the documentation has it."""
    value = getattr(Settings(), name)
    if value is None or value == ():
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, dict):
        return ", ".join(f"{key} {label}" for key, label in value.items())
    for size, unit in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if ("bytes" in name or name == "max_json_string") and value % size == 0 and (value > size or unit == "MiB"):
            return f"{value // size} {unit}"
    return f"{value:,g}" if isinstance(value, float) else f"{value:,}"
