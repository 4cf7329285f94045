"""Diagnosis step by step."""

from __future__ import annotations

import httpx2

from tests.client.test_maskinporten import Behind
from varsel.client import Http, Maskinporten, SignerCallback, _doctor, diagnose


def steps(findings):
    return {one.step: one for one in findings}


def test_all_is_well(memory):
    found = steps(diagnose(memory.maskinporten()))
    assert list(found) == [
        "key",
        "environment",
        "scope altinn:serviceowner/notifications.create",
        "clock",
        "exchange",
        "service owner",
    ]
    assert all(one.well for one in found.values())
    assert found["service owner"].words == "ttd"
    assert "eyJ" not in repr(found)


def test_each_scope_is_tried_alone(memory, key):
    source = Maskinporten(memory.register(key, scopes=["a:b"]), key, scope="a:b c:d", http=memory.http)
    found = steps(diagnose(source))
    assert found["scope a:b"].well
    assert not found["scope c:d"].well
    assert "MP-200" in found["scope c:d"].words
    assert not found["exchange"].well


def test_no_scope_at_all(memory, key):
    source = Maskinporten(memory.register(key, scopes=[]), key, http=memory.http)
    assert list(steps(diagnose(source)))[-1] == "clock"
    assert len(steps(diagnose(memory.maskinporten(), exchange=False))) == 4


def test_a_clock_that_is_off(memory):
    memory.clock.set_wall(1784102400)
    for seconds, words in ((3600, "3600 s behind"), (-90, "90 s ahead")):
        source = memory.maskinporten(http=Http(transport=memory, clock=Behind(memory.clock, seconds)))
        found = steps(diagnose(source))
        assert not found["clock"].well
        assert words in found["clock"].words
    source = memory.maskinporten(
        http=Http(transport=memory, clock=Behind(memory.clock, 60)), repair_clock=False
    )
    assert list(steps(diagnose(source)))[-1] == "clock"


def test_a_clock_that_is_off_is_seen_by_the_date_of_the_answer(memory, monkeypatch):
    memory.clock.set_wall(1784102400)
    source = memory.maskinporten(http=Http(transport=memory, clock=Behind(memory.clock, 8)))
    assert source.clock_difference is None
    assert steps(diagnose(source))["clock"].words == "right"
    assert (source.clock_offset, source.clock_difference) == (0.0, 8.0)
    # An issuer that overlooks more than this machine should rely on.
    monkeypatch.setattr(_doctor, "TOLERANCE", 5.0)
    assert steps(diagnose(source))["clock"].words == "This machine is 8 s behind; set it right."


def test_nothing_is_said_of_the_clock_when_nobody_answers(memory, key):
    memory.fail("/token", error=httpx2.ConnectError("refused"), times=9)
    found = steps(diagnose(memory.maskinporten()))
    assert "clock" not in found
    assert "could not be reached" in found["scope altinn:serviceowner/notifications.create"].words


def test_nobody_knows_the_organisation(memory, key):
    source = Maskinporten(memory.register(key, code=""), key, http=memory.http)
    found = steps(diagnose(source))["service owner"]
    assert not found.well
    assert "registered as one" in found.words


def test_a_certificate_is_named(memory, key):
    source = Maskinporten("x", SignerCallback(key.sign, certificates=(b"x",)), http=memory.http)
    assert steps(diagnose(source))["key"].words == "certificate (x5c)"
