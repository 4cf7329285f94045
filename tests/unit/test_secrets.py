"""The master key and what is sealed under it."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from varsel.store.secrets import MasterKey, MasterKeyError, SealError


def test_file_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "master.key"
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda _: MasterKey.load(path), range(8)))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["master.key"]
    assert {key.mac("p", b"x") for key in keys} == {MasterKey.load(path).mac("p", b"x")}


def test_sealed_values_open_only_unchanged_and_under_the_same_key() -> None:
    key, other = MasterKey(b"a" * 32), MasterKey(b"b" * 32)
    sealed = key.seal(b"secret")
    assert key.open(sealed) == b"secret" and key.seal(b"secret") != sealed
    for changed in (
        sealed[:-1],
        sealed[:-1] + bytes([sealed[-1] ^ 1]),
        b"\x02" + sealed[1:],
        b"",
        sealed[:10],
    ):
        with pytest.raises(SealError):
            key.open(changed)
    with pytest.raises(SealError, match="another master key"):
        other.open(sealed)


def test_digests_depend_on_purpose_and_key() -> None:
    key = MasterKey(b"a" * 32)
    assert len(key.mac("one", b"x")) == 32
    assert (
        len(
            {
                key.mac("one", b"x"),
                key.mac("two", b"x"),
                key.mac("one", b"y"),
                MasterKey(b"b" * 32).mac("one", b"x"),
            }
        )
        == 4
    )
    assert "a" * 8 not in repr(key)


@pytest.mark.parametrize(
    "content", ["", "rubbish", "varsel-master-key-1 AAAA", "varsel-master-key-9 " + "A" * 44, "\xff"]
)
def test_other_files_are_refused_in_one_sentence(tmp_path: Path, content: str) -> None:
    path = tmp_path / "master.key"
    path.write_text(content, "latin-1")
    with pytest.raises(MasterKeyError, match="not a master key file"):
        MasterKey.load(path)
    with pytest.raises(MasterKeyError, match="cannot be read"):
        MasterKey.load(tmp_path / "absent", create=False)
