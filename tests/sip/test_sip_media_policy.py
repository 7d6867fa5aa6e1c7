"""What media of SIP calls must be, by listener, trunk and configuration."""

from __future__ import annotations

import pytest

from sip.adapter_media import MediaPolicy
from sip.events import Transport
from transcode.media import SrtpPolicy, Wanted


def test_a_trunk_s_word_goes_before_its_listener_s_and_that_before_the_house_s() -> None:
    policy = MediaPolicy({Transport.TLS: SrtpPolicy.REQUIRE})
    assert policy.encryption(Transport.TLS) is SrtpPolicy.REQUIRE
    assert policy.encryption(Transport.UDP) is None
    assert policy.encryption(Transport.TLS, SrtpPolicy.OFF) is SrtpPolicy.OFF


@pytest.mark.parametrize("transport", [Transport.WS, Transport.WSS])
def test_pages_always_encrypt_and_are_offered_what_a_browser_takes(transport: Transport) -> None:
    policy = MediaPolicy()
    assert policy.encryption(transport, SrtpPolicy.OFF) is SrtpPolicy.REQUIRE
    assert policy.wanted(transport, Wanted(video=False)) == Wanted(
        video=False, encrypted=True, dtls=True, ice=True, bundle=True
    )


def test_others_are_offered_what_the_configuration_says() -> None:
    assert MediaPolicy().wanted(Transport.UDP, Wanted()) == Wanted()
    both = MediaPolicy(offer_dtls=True, offer_ice=True)
    assert both.wanted(Transport.TCP, Wanted(encrypted=True)) == Wanted(encrypted=True, dtls=True, ice=True)
