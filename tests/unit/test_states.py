from __future__ import annotations

import pytest

from varsel.store.states import FINAL, NOT_IDENTIFIED, RANKS, RESERVED, is_final, lifecycle, v1


@pytest.mark.parametrize("channel", ["Email", "Sms"])
def test_delivery_2_4_no_two_reported_results_share_a_rank(channel: str) -> None:
    reported = {
        status: rank for status, rank in RANKS[channel].items() if status not in {RESERVED, NOT_IDENTIFIED}
    }
    assert len(set(reported.values())) == len(reported)


def test_ranks_rise_from_waiting_to_bounce() -> None:
    email = RANKS["Email"]
    assert (
        email["New"]
        < email["Sending"]
        < email["Succeeded"]
        < FINAL
        <= email["Failed_TTL"]
        < email["Delivered"]
        < email["Failed"]
    )
    assert (
        max(rank for status, rank in email.items() if status not in {RESERVED, NOT_IDENTIFIED})
        == email["Failed_Bounced"]
    )
    assert not is_final("Sms", "Accepted")
    assert is_final("Sms", "Failed_TTL")


def test_names_on_the_wire() -> None:
    assert lifecycle("Email", "Failed_InvalidEmailFormat") == "Email_Failed_InvalidFormat"
    assert lifecycle("Email", "Failed_SupressedRecipient") == "Email_Failed_SuppressedRecipient"
    assert lifecycle("Sms", "Delivered") == "SMS_Delivered"
    assert v1("Failed_TTL") == "Failed"
    assert v1("Failed_SupressedRecipient") == "Failed_SupressedRecipient"
