"""Reading a gateway's metrics and processes."""

from __future__ import annotations

import math
import os
from pathlib import Path

import yaml

from gateway.bench.process import GatewayProcess, Metrics

EARLY = """
# TYPE roombridge_loop_lag_seconds histogram
roombridge_loop_lag_seconds_bucket{le="0.001",plane="media"} 100
roombridge_loop_lag_seconds_bucket{le="0.005",plane="media"} 100
roombridge_loop_lag_seconds_bucket{le="+Inf",plane="media"} 110
# TYPE roombridge_bad_input_total counter
roombridge_bad_input_total{where="sip",what="truncated"} 2
roombridge_bad_input_total{where="rtp",what="version"} 3
"""
LATE = """
# TYPE roombridge_loop_lag_seconds histogram
roombridge_loop_lag_seconds_bucket{le="0.001",plane="media"} 1080
roombridge_loop_lag_seconds_bucket{le="0.005",plane="media"} 1095
roombridge_loop_lag_seconds_bucket{le="+Inf",plane="media"} 1110
"""


def test_values_are_summed_over_what_their_labels_leave_open() -> None:
    metrics = Metrics.parse(EARLY)
    assert metrics.total("roombridge_bad_input_total") == 5
    assert metrics.total("roombridge_bad_input_total", where="rtp") == 3
    assert metrics.total("roombridge_bad_input_total", where="h323") == 0


def test_a_quantile_tells_of_what_came_since() -> None:
    early, late = Metrics.parse(EARLY), Metrics.parse(LATE)
    assert late.quantile("roombridge_loop_lag_seconds", 0.99, early, plane="media") == 0.005
    assert late.quantile("roombridge_loop_lag_seconds", 0.9, early, plane="media") == 0.001
    assert late.quantile("roombridge_loop_lag_seconds", 0.999, early, plane="media") == math.inf
    assert math.isnan(late.quantile("roombridge_loop_lag_seconds", 0.99, early, plane="signalling"))


def test_the_configuration_is_on_loopback_and_takes_changes(tmp_path: Path) -> None:
    gateway = GatewayProcess(tmp_path, {"media": {"srtp": "require"}})
    settings = yaml.safe_load(gateway.config.read_text())
    assert settings["media"]["srtp"] == "require"
    assert settings["media"]["address"] == settings["listen"]["address"] == "127.0.0.1"
    assert gateway.processes() == []
    assert not gateway.running


def test_the_use_of_a_process_and_its_children_is_read() -> None:
    class Here(GatewayProcess):
        def processes(self) -> list[int]:
            return [os.getpid()]

    usage = Here.usage(Here.__new__(Here))
    assert usage.seconds > 0.1
    assert 10 << 20 < usage.memory < 4 << 30
