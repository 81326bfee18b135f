"""Every Prometheus instrument of the runtime; label values come from configuration only."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

# Seconds, from one fast commit to a call that nearly reached its deadline.
_DURATIONS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60)


class Metrics:
    """The instruments of one process, on a registry of their own."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        r = self.registry
        self.received = Counter(
            "layshaft_messages_received", "Deliveries taken from queues", ["queue"], registry=r
        )
        self.partitions = Gauge(
            "layshaft_partitions", "Partitions that this process takes", ["lane"], registry=r
        )
        self.undecided_bytes = Gauge(
            "layshaft_undecided_bytes",
            "Bodies of deliveries whose fate is not committed",
            ["lane"],
            registry=r,
        )
        self.settled = Counter(
            "layshaft_messages_settled",
            "Messages whose fate is committed",
            ["handler", "disposition"],
            registry=r,
        )
        self.contract_messages = Counter(
            "layshaft_contract_messages",
            "Messages whose fate is committed, by what they were sent as; of events with version",
            ["source", "contract"],
            registry=r,
        )
        self.ignored = Counter(
            "layshaft_ignored_parts",
            "Parts of foreign messages that nobody reads, in words of their driver",
            ["handler", "what"],
            registry=r,
        )
        self.deviations = Counter(
            "layshaft_deviations",
            "Where foreign messages were not as their format wants them, and taken nevertheless",
            ["source", "handler"],
            registry=r,
        )
        self.duplicates = Counter(
            "layshaft_inbox_duplicates", "Repeats absorbed by the inbox", ["source"], registry=r
        )
        self.replayed = Counter(
            "layshaft_replay_messages",
            "Messages that replays looked at, and what they did about them",
            ["mode", "outcome"],
            registry=r,
        )
        self.batch_seconds = Histogram(
            "layshaft_batch_duration_seconds",
            "Decide and commit of one batch",
            ["lane"],
            buckets=_DURATIONS,
            registry=r,
        )
        self.published = Counter(
            "layshaft_events_published",
            "Events confirmed by the broker, from memory or swept from the outbox",
            ["lane", "path"],
            registry=r,
        )
        self.publish_failures = Counter(
            "layshaft_publish_failures",
            "Publishes that were not confirmed: nacked, returned, timeout, connection",
            ["reason"],
            registry=r,
        )
        self.returned = Counter(
            "layshaft_amqp_returned", "Events the broker could not route", registry=r
        )
        self.reconnects = Counter(
            "layshaft_amqp_reconnects", "Connections to RabbitMQ made anew", ["role"], registry=r
        )
        self.calls = Counter(
            "layshaft_connector_calls",
            "Call steps ended",
            ["system", "operation", "outcome"],
            registry=r,
        )
        self.call_seconds = Histogram(
            "layshaft_connector_call_duration_seconds",
            "Claim to result of one call step",
            ["system"],
            buckets=_DURATIONS,
            registry=r,
        )
        self.outbox_pending = Gauge(
            "layshaft_outbox_pending", "Events not yet confirmed", registry=r
        )
        self.outbox_oldest = Gauge(
            "layshaft_outbox_oldest_age_seconds", "Age of the oldest of them", registry=r
        )
        self.unfinished = Gauge(
            "layshaft_messages_unfinished", "Messages that wait in rows", ["state"], registry=r
        )
        self.stuck_keys = Gauge(
            "layshaft_stuck_keys",
            "Parked messages without a hold or a predecessor, and holds of nothing; must be 0",
            registry=r,
        )
        self.cases_open = Gauge(
            "layshaft_cases_open", "Open exception cases", ["error_class"], registry=r
        )
        self.steps = Gauge("layshaft_steps", "Steps of open ledgers", ["state"], registry=r)
        self.approvals_open = Gauge(
            "layshaft_approvals_open", "Decisions waited for", ["role", "question"], registry=r
        )
        self.approvals_overdue = Gauge(
            "layshaft_approvals_overdue",
            "Decisions waited for past their due time",
            ["role", "question"],
            registry=r,
        )
        self.outbound_holds = Gauge(
            "layshaft_outbound_holds",
            "Holds in force: outbound effects that people have stopped",
            ["kind"],
            registry=r,
        )
        self.inbox_expired = Counter(
            "layshaft_inbox_expired", "Dedupe rows forgotten after their time", registry=r
        )
        self.log_partitions = Gauge(
            "layshaft_log_partitions", "Days of the message log", ["state"], registry=r
        )
        self.log_kept = Gauge(
            "layshaft_log_kept_messages", "Unfinished messages that outlived their day", registry=r
        )
        self.housekeeping_success = Gauge(
            "layshaft_housekeeping_last_success_timestamp_seconds",
            "When housekeeping last went through without a failure",
            registry=r,
        )
        self.housekeeping_failures = Counter(
            "layshaft_housekeeping_failures", "Steps that failed", ["step"], registry=r
        )
        self.housekeeping_delays = Counter(
            "layshaft_housekeeping_delays", "Steps that gave way to others", ["step"], registry=r
        )
        self.ready = Gauge("layshaft_ready", "1 where this part can work", ["part"], registry=r)
        self.tasks = Gauge("layshaft_tasks", "asyncio tasks that have not ended", registry=r)

    def by_contract(self) -> dict[tuple[str, str], int]:
        """Messages so far, by (source, contract)."""
        (family,) = self.contract_messages.collect()
        return {
            (sample.labels["source"], sample.labels["contract"]): int(sample.value)
            for sample in family.samples
            if sample.name.endswith("_total")
        }
