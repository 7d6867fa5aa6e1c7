"""What the fixture that starts gateways gives, for the tests that use it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from gateway.bench.process import GatewayProcess

StartGateway = Callable[..., Awaitable[GatewayProcess]]
