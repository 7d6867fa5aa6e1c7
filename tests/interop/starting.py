"""What the fixtures that start and lend gateways give, for the tests that use them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from gateway.bench.process import GatewayProcess

StartGateway = LendGateway = Callable[..., Awaitable[GatewayProcess]]
