"""Which address we say is ours."""

from __future__ import annotations

import pytest

from sip.adapter import SipConfig
from sip.adapter_names import Names
from sip.config import StackConfig
from sip.events import Flow, Transport
from sip.routing import own_address


@pytest.mark.parametrize("public", ["2001:db8::9", "203.0.113.99"])
def test_a_public_address_of_one_family_is_told_to_peers_of_that_family_alone(public: str) -> None:
    config = StackConfig(public, {Transport.UDP: 5060})
    for own, peer in (("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2")):
        told = public if (":" in own) == (":" in public) else own
        flow = Flow(Transport.UDP, own, 5060, peer, 5060)
        assert own_address(config, flow, "") == (told, 5060)
        names = Names(SipConfig("::", public_address=public), None)  # type: ignore[arg-type]
        assert names.advertised(flow) == told
