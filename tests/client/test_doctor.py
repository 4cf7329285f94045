"""Diagnosis step by step."""

from __future__ import annotations

from tests.client.test_maskinporten import Behind
from varsel.client import Http, Maskinporten, SignerCallback, diagnose


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


def test_nobody_knows_the_organisation(memory, key):
    source = Maskinporten(memory.register(key, code=""), key, http=memory.http)
    found = steps(diagnose(source))["service owner"]
    assert not found.well
    assert "registered as one" in found.words


def test_a_certificate_is_named(memory, key):
    source = Maskinporten("x", SignerCallback(key.sign, certificates=(b"x",)), http=memory.http)
    assert steps(diagnose(source))["key"].words == "certificate (x5c)"
