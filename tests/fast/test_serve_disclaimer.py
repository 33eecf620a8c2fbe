"""Consent: remembered per version, where XDG says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from xinglin.serve import disclaimer


def test_consent_is_remembered_below_xdg_config_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert not disclaimer.has_consent()
    disclaimer.remember_consent()
    assert disclaimer.has_consent()
    record = json.loads((tmp_path / "xinglin" / "consent.json").read_text(encoding="utf-8"))
    assert record["version"] == disclaimer.VERSION
    assert record["time"].endswith("+00:00")


def test_without_xdg_the_folder_is_dot_config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert disclaimer.consent_path() == tmp_path / ".config" / "xinglin" / "consent.json"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": 0}', '{"version": "1"}'])
def test_an_old_or_broken_record_is_no_consent(tmp_path: Path, content: str) -> None:
    path = tmp_path / "consent.json"
    path.write_text(content, encoding="utf-8")
    assert not disclaimer.has_consent(path)


def test_both_languages_say_research_only_ai_and_emergency_number() -> None:
    assert len(disclaimer.ZH.terms) == len(disclaimer.EN.terms)
    assert all(word in disclaimer.ZH.text for word in ("研究", "AI", "120", "12356", "不构成诊断"))
    assert all(word in disclaimer.EN.text for word in ("research", "AI", "120", "12356", "no diagnosis"))
