"""Metrics: every part counts plain numbers; here they get their Prometheus names, types and help."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from gateway.reasons import Refused
from transcode.interface import Sample

PREFIX = "roombridge_"

Source = Callable[[], Awaitable[Iterable[Sample]]]

HELP = {
    "codec_seconds_total": "Processor seconds spent in codecs, mixing and composing",
    "encoders_running": "Video encoders that run now",
    "pictures_shown": "Distinct pictures that are composed and shown now",
    "video_frames_total": "Video frames by step",
    "audio_encodes_total": "Audio packets encoded; listeners share them",
    "loop_lag_seconds": "How late an event loop came to its timers",
    "bad_input_total": "Input that was dropped or refused, by where and what",
    "forwarded_packets_total": "RTP packets that were sent on without being decoded, by kind",
    "packets_total": "RTP and RTCP packets by direction",
    "calls": "Calls now, by protocol",
    "calls_total": "Calls ended or refused, by protocol and reason",
    "calls_waiting": "Calls that wait before a room now: for a host (lobby), or knocking",
    "calls_outside": "Calls that are answered and in no room yet",
    "entry_faults_total": "Wrong PINs and room numbers, lock-outs, and what was turned away by them",
    "entry_faults_remembered": "Sources and rooms whose wrong answers are remembered",
    "rooms": "Rooms that are defined",
    "participants": "Participants in rooms now",
    "legs": "Media legs open now",
    "dialled": "Calls that were asked for and are being made, or wait for another try, by state",
    "sip_registrations": "Contacts that are registered over SIP now",
    "h323_registrations": "Endpoints that are registered with the gatekeeper now",
    "h323_registrations_refused_total": "Registrations that the gatekeeper refused, by reason",
    "h323_proofs_refused_total": "Proofs of a password that the gatekeeper did not take, by reason",
    "h323_admissions_total": "Calls that the gatekeeper admitted (granted) or refused, by result",
    "h323_admitted_calls": "Calls that the gatekeeper knows of now",
    "h323_admitted_bandwidth": "Bandwidth of these calls in bit/s",
    "h323_joined": "Whether we are registered with another gatekeeper",
    "h323_ras_messages_total": "RAS messages and events by kind",
    "trunk_up": "Whether a trunk answers, by trunk; left out while that is not known",
    "trunk_registered": "Whether we are registered with a trunk, by trunk",
    "trunk_calls": "Calls through a trunk now, by trunk",
    "sip_open": "SIP sessions, dialogs, transactions, subscriptions, open questions and timers there are now",
    "sip_messages_total": "SIP messages by direction and kind",
    "web_sockets": "WebSockets of browsers open now",
    "event_streams": "Event streams of the API open now",
    "records_waiting": "Call records that wait for the database",
    "records_lost_total": "Call records that the database did not take",
    "http_refused_total": "HTTP requests refused, by reason",
}


class Metrics:
    """Collects samples of all sources at each scrape."""

    def __init__(self) -> None:
        self._sources: list[Source] = []

    def add_source(self, source: Source) -> None:
        """Ask this source at each scrape; one that refuses is left out of that scrape."""
        self._sources.append(source)

    async def exposition(self) -> bytes:
        """Return everything in Prometheus's text format."""
        samples: list[Sample] = []
        for source in self._sources:
            try:
                samples += await source()
            except Refused:
                continue
        registry = CollectorRegistry()
        registry.register(_Snapshot(samples))
        return generate_latest(registry)


class _Snapshot:
    """A collector over samples that were taken already."""

    def __init__(self, samples: list[Sample]) -> None:
        self._samples = samples

    def collect(self) -> Iterator[Metric]:
        """Yield a metric family for each name."""
        groups: dict[str, list[Sample]] = {}
        for sample in self._samples:
            base = sample.name.removesuffix("_bucket").removesuffix("_sum")
            groups.setdefault(base, []).append(sample)
        for name, group in sorted(groups.items()):
            if any(sample.name.endswith("_bucket") for sample in group):
                yield _histogram(name, group)
            else:
                yield _plain(name, group)


def _plain(name: str, group: list[Sample]) -> Metric:
    labels = sorted({key for sample in group for key, _ in sample.labels})
    family = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
    metric = family(PREFIX + name.removesuffix("_total"), HELP.get(name, name), labels=labels)
    for sample in group:
        have = dict(sample.labels)
        metric.add_metric([have.get(label, "") for label in labels], sample.value)
    return metric


def _histogram(name: str, group: list[Sample]) -> Metric:
    """Build a histogram of samples whose label le is the bucket and whose others name the series."""
    series: dict[tuple[tuple[str, str], ...], list[tuple[str, float]]] = {}
    sums: dict[tuple[tuple[str, str], ...], float] = {}
    for sample in group:
        rest = tuple(sorted(pair for pair in sample.labels if pair[0] != "le"))
        if sample.name.endswith("_sum"):
            sums[rest] = sample.value
        else:
            series.setdefault(rest, []).append((dict(sample.labels)["le"], sample.value))
    labels = sorted({key for rest in series for key, _ in rest})
    metric = HistogramMetricFamily(PREFIX + name, HELP.get(name, name), labels=labels)
    for rest, buckets in series.items():
        have = dict(rest)
        metric.add_metric([have.get(label, "") for label in labels], buckets, sums.get(rest, 0.0))
    return metric
