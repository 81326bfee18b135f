"""How long things are remembered, and settings that contradict each other."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import msgspec
import pytest

from broker.housekeeper import CLOCKS_DIFFER, horizon
from broker.policy import RetryPolicy
from broker.settings import Deadlines, Retention, Settings, Source, refuse_contradictions
from canonical.errors import Misconfigured


def settings(**changed: object) -> Settings:
    plain = Settings(database_url="", amqp_url="", sources=(), systems=())
    return msgspec.structs.replace(plain, **changed)


def test_the_defaults_fit_each_other() -> None:
    refuse_contradictions(settings())
    refuse_contradictions(settings(retention=Retention(dedupe_days=90, log_days=90)))


@pytest.mark.parametrize(
    ("retention", "where", "remedy"),
    [
        (Retention(dedupe_days=30, log_days=29), "log_days", "Set log_days = 30 or more"),
        # The critical lane tries for 72 hours.
        (Retention(dedupe_days=2), "dedupe_days", "Set dedupe_days = 3 or more"),
        (Retention(dedupe_days=-1), "dedupe_days", "Set dedupe_days = 3 or more"),
    ],
)
def test_a_memory_shorter_than_what_relies_on_it_is_refused(
    retention: Retention, where: str, remedy: str
) -> None:
    with pytest.raises(Misconfigured) as refused:
        refuse_contradictions(settings(retention=retention))
    assert refused.value.code == "retention-too-short"
    assert refused.value.where == f"settings.retention.{where}"
    assert refused.value.remedy == remedy


def test_repeats_are_known_for_as_long_as_a_retry_may_last() -> None:
    patient = RetryPolicy(life_s=40 * 86_400.0 + 1)
    with pytest.raises(Misconfigured):
        refuse_contradictions(settings(retry=patient, retention=Retention(dedupe_days=40)))
    refuse_contradictions(settings(retry=patient, retention=Retention(dedupe_days=41)))


def test_a_lease_that_does_not_hold_a_look_and_a_write_is_refused() -> None:
    refuse_contradictions(settings(deadlines=Deadlines(http_total_s=45)))
    with pytest.raises(Misconfigured) as refused:
        refuse_contradictions(settings(deadlines=Deadlines(http_total_s=45.5)))
    assert refused.value.code == "lease-too-short"
    assert refused.value.where == "settings.deadlines.lease_s"
    assert refused.value.remedy == "Set lease_s = 91 or more"


@pytest.mark.parametrize("share", [0.09, 1.01, -1.0])
def test_a_share_that_starves_a_lane_is_refused(share: float) -> None:
    refuse_contradictions(settings(yield_share=0.1))
    with pytest.raises(Misconfigured) as refused:
        refuse_contradictions(settings(yield_share=share))
    assert refused.value.code == "share-out-of-bounds"


def test_only_sources_configured_so_are_believed_about_time() -> None:
    sources = (Source("plm", (), (), trusted_time=True), Source("erp", (), ()))
    memory = settings(sources=sources, retention=Retention(dedupe_days=40)).memory
    assert memory.trusted == {"plm"}
    assert memory.window == timedelta(days=40)


def test_days_are_days_of_utc_and_rows_stay_a_little_longer_than_messages_are_taken() -> None:
    in_berlin = datetime(2026, 4, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    found = horizon(Retention(dedupe_days=30, log_days=30), in_berlin)
    assert found.today == date(2026, 3, 31)
    assert found.first_day == date(2026, 3, 1)
    assert found.forget_before == in_berlin - timedelta(days=30) - CLOCKS_DIFFER
