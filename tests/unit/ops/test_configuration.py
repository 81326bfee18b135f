"""Configuration: what is read from where, and what is said about what is wrong."""

from datetime import date
from pathlib import Path

import pytest

from broker.quota import Quota
from broker.topology import LANES
from canonical.errors import Misconfigured
from handlers import CATALOGUE
from ops.configuration import load, secret
from ops.queues import inlets_of, lineages_of, topology_of

ROOT = Path(__file__).parents[3]
URLS = {"LAYSHAFT_DATABASE_URL": "postgresql://db/x", "LAYSHAFT_AMQP_URL": "amqp://mq/x"}
MINIMAL = """
[settings]
sources = []
systems = []
[rules]
central_purchasing_org = "1000"
plants = []
distribution = []
routes = []
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "layshaft.toml"
    file.write_text(text)
    return file


def test_the_configuration_of_the_containers_is_complete() -> None:
    configuration = load(ROOT / "ops/docker/layshaft.toml", URLS)
    assert [s.name for s in configuration.settings.systems] == ["erp", "procurement"]
    assert configuration.settings.database_url == "postgresql://db/x"
    assert configuration.rules.plants_of("Gearboxes") == ("1010", "2010")


def test_every_queue_that_is_consumed_is_declared() -> None:
    settings = load(ROOT / "ops/docker/layshaft.toml", URLS).settings
    declared = {queue.name for queue in topology_of(settings, CATALOGUE.events).queues}
    inlets = [i for lane in LANES for i in inlets_of(settings, CATALOGUE.events, lane)]
    inlets += [found.current for lane in LANES for found in lineages_of(settings, lane)]
    consumed = {inlet.queue for inlet in inlets}
    assert consumed <= declared
    assert declared - consumed == {"out.plm"}


def test_the_environment_overrules_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, MINIMAL.replace("[settings]", '[settings]\ndatabase_url = "other"'))
    environ = {**URLS, "LAYSHAFT_LISTEN_PORT": "0"}
    configuration = load(file, environ)
    assert configuration.settings.database_url == "postgresql://db/x"
    assert configuration.listen_port == 0


def test_a_lane_of_a_kind_that_is_not_sent_is_refused_at_load(tmp_path: Path) -> None:
    source = """
[[settings.sources]]
name = "plm"
kinds = ["change"]
contracts = ["arena.change"]
lanes = {chnage = "critical"}
"""
    text = MINIMAL.replace("sources = []\n", "") + source
    with pytest.raises(Misconfigured) as refused:
        load(written(tmp_path, text), URLS)
    assert (refused.value.code, refused.value.where) == (
        "lane-of-nothing",
        "settings.sources.plm.lanes",
    )


@pytest.mark.parametrize(
    ("line", "code", "where"),
    [
        ('sunset = {"pdx.package" = 2027-01-31}', "sunset-of-nothing", "sunset"),
        ('reads_from = "erp"', "reads-from-nowhere", "reads_from"),
    ],
)
def test_a_source_that_contradicts_itself_is_refused_at_load(
    tmp_path: Path, line: str, code: str, where: str
) -> None:
    source = f"""
[[settings.sources]]
name = "plm"
kinds = ["change"]
contracts = ["arena.change"]
{line}
"""
    text = MINIMAL.replace("sources = []\n", "") + source
    with pytest.raises(Misconfigured) as refused:
        load(written(tmp_path, text), URLS)
    assert (refused.value.code, refused.value.where) == (code, f"settings.sources.plm.{where}")


def test_the_last_day_of_a_contract_is_read_with_its_owner(tmp_path: Path) -> None:
    source = """
[[settings.sources]]
name = "plm"
kinds = ["change"]
contracts = ["arena.change"]
owner = "PLM team"
sunset = {"arena.change" = 2027-01-31}
"""
    settings = load(
        written(tmp_path, MINIMAL.replace("sources = []\n", "") + source), URLS
    ).settings
    (ending,) = settings.endings.values()
    assert (ending.contract, ending.last_day, ending.owner) == (
        "arena.change",
        date(2027, 1, 31),
        "PLM team",
    )


def test_a_retention_that_contradicts_itself_is_refused_at_load(tmp_path: Path) -> None:
    file = written(tmp_path, MINIMAL + "[settings.retention]\nlog_days = 10\n")
    with pytest.raises(Misconfigured) as refused:
        load(file, URLS)
    assert refused.value.code == "retention-too-short"


def test_an_unknown_key_is_refused_with_the_nearest_known_one(tmp_path: Path) -> None:
    file = written(tmp_path, MINIMAL.replace("sources", "heartbeats = 3\nsources"))
    with pytest.raises(Misconfigured) as refused:
        load(file, URLS)
    assert refused.value.code == "configuration-invalid"
    assert "heartbeat_s" in refused.value.remedy


@pytest.mark.parametrize("zone", ["Europe/Regensburg", "", "../UTC"])
def test_a_plant_in_no_time_zone_is_refused_at_load(tmp_path: Path, zone: str) -> None:
    plant = f"""
[[rules.plants]]
code = "1010"
name = "Regensburg"
zone = "{zone}"
sourcing = "local"
purchasing_org = "1010"
"""
    file = written(tmp_path, MINIMAL.replace("plants = []\n", "") + plant)
    with pytest.raises(Misconfigured) as refused:
        load(file, URLS)
    assert refused.value.code == "configuration-invalid"
    assert f"'{zone}' of plant 1010 is no time zone" in refused.value.what
    assert "rules.plants[0]" in refused.value.what


def test_a_settling_time_is_the_targets_and_refused_among_the_retries(tmp_path: Path) -> None:
    file = written(tmp_path, MINIMAL + "[settings.retry]\nsettle_s = 60\n")
    with pytest.raises(Misconfigured) as refused:
        load(file, URLS)
    assert refused.value.code == "configuration-invalid"
    assert "settle_s" in refused.value.what


@pytest.mark.parametrize("text", ["[settings", "\x00"])
def test_a_file_that_is_no_toml_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(Misconfigured, match="configuration-unreadable"):
        load(written(tmp_path, text), URLS)


def test_a_secret_is_read_at_each_use(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("old\n")
    read = secret(f"file:{file}", {})
    assert read() == "old"
    file.write_text("new\n")
    assert read() == "new"


@pytest.mark.parametrize("reference", ["env:NOT_SET", "file:/nowhere", "plain-text"])
def test_a_reference_that_leads_nowhere_is_refused(reference: str) -> None:
    with pytest.raises(Misconfigured, match="secret-missing"):
        secret(reference, {})


def test_a_secret_in_place_of_its_reference_is_not_repeated() -> None:
    with pytest.raises(Misconfigured) as refused:
        secret("hunter2", {})
    assert "hunter2" not in f"{refused.value} {refused.value.where} {refused.value.remedy}"


ROUTE = """
[[rules.routes]]
object_kind = "*"
plant = "*"
system = "erp"
from_day = 2026-01-01
"""


def test_a_route_with_its_company_and_its_last_day_is_read(tmp_path: Path) -> None:
    text = MINIMAL.replace("routes = []\n", "") + ROUTE
    file = written(tmp_path, text + 'company = "DE01"\nuntil_day = 2026-12-31\n')
    (route,) = load(file, URLS).rules.routes
    assert (route.company, route.from_day, route.until_day) == (
        "DE01",
        date(2026, 1, 1),
        date(2026, 12, 31),
    )
    (plain,) = load(written(tmp_path, text), URLS).rules.routes
    assert (plain.company, plain.until_day) == ("*", None)


def test_a_route_that_ends_before_it_begins_is_refused_at_load(tmp_path: Path) -> None:
    text = MINIMAL.replace("routes = []\n", "") + ROUTE
    with pytest.raises(Misconfigured) as refused:
        load(written(tmp_path, text + "until_day = 2025-12-31\n"), URLS)
    assert "rules.routes[0]" in refused.value.what
    assert "begins on 2026-01-01 and ends before that, on 2025-12-31" in refused.value.what


@pytest.mark.parametrize("role", ["viewer", "operator", "integrator", "admin"])
def test_a_question_to_those_who_run_it_is_refused_at_load(tmp_path: Path, role: str) -> None:
    text = MINIMAL + f'[rules.approvers]\nsupplier-qualification = "{role}"\n'
    with pytest.raises(Misconfigured) as refused:
        load(written(tmp_path, text), URLS)
    assert refused.value.code == "approver-not-business"
    assert refused.value.where == "rules.approvers.supplier-qualification"


def test_signatures_are_read_by_question_and_there_is_at_least_one(tmp_path: Path) -> None:
    text = MINIMAL + "[rules.signatures]\nsupplier-qualification = "
    read = load(written(tmp_path, f"{text}2\n"), URLS).rules
    assert read.signatures == {"supplier-qualification": 2}
    with pytest.raises(Misconfigured) as refused:
        load(written(tmp_path, f"{text}0\n"), URLS)
    assert refused.value.code == "configuration-invalid"
    assert "rules.signatures" in refused.value.what


QUOTAS = """
[[settings.systems]]
name = "erp"
driver = "s4"
base_url = "http://erp"
auth = "basic"
user = "u"
secret = "env:X"
quotas = [
    { limit = 25, per_s = 1 },
    { limit = 500, per_s = 60, api = "/api/contracts", reserve = 0.2 },
]
"""


def with_quotas(folder: Path, text: str) -> Path:
    return written(folder, MINIMAL.replace("systems = []\n", "") + text)


def test_quotas_are_read_as_the_guide_writes_them(tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "connectors.md").read_text()
    assert '{ limit = 500, per_s = 60, api = "/api/contracts", reserve = 0.2 },' in guide
    [system] = load(with_quotas(tmp_path, QUOTAS), URLS).settings.systems
    assert system.quotas == (
        Quota(limit=25, per_s=1),
        Quota(limit=500, per_s=60, api="/api/contracts", reserve=0.2),
    )


@pytest.mark.parametrize(
    ("before", "after", "code", "where"),
    [
        ('per_s = 60, api = "/api/contracts"', "per_s = 1", "quota-twice", "erp.quotas"),
        ("limit = 25", "limit = 0", "configuration-invalid", ""),
        ("reserve = 0.2", "reserve = 1", "configuration-invalid", ""),
        ("reserve = 0.2", "margin = 500", "configuration-invalid", ""),
    ],
)
def test_quotas_that_allow_nothing_or_contradict_are_refused(
    tmp_path: Path, before: str, after: str, code: str, where: str
) -> None:
    assert before in QUOTAS
    with pytest.raises(Misconfigured) as caught:
        load(with_quotas(tmp_path, QUOTAS.replace(before, after)), URLS)
    assert caught.value.code == code
    assert where in caught.value.where


OWNERS = """
[[settings.sources]]
name = "plm"
kinds = ["item"]
contracts = ["arena.item"]

[[settings.sources]]
name = "erp-events"
kinds = ["event"]
contracts = ["s4.event"]
reads_from = "erp"

[[settings.systems]]
name = "erp"
driver = "s4"
base_url = "http://127.0.0.1:8091"
auth = "s4"
user = "demo"
secret = "env:STAND_IN_PASSWORD"
token_path = "/token"
"""


def owned(folder: Path, row: str) -> Path:
    """A configuration with a PLM, an ERP that is read, and that row of ownership."""
    plain = MINIMAL.replace("sources = []\nsystems = []\n", "")
    return written(folder, f"{plain}{OWNERS}\n[[rules.ownership]]\n{row}\n")


@pytest.mark.parametrize(
    ("row", "code", "words"),
    [
        ('owner = "plmm"', "owner-unknown", "Did you mean 'plm'?"),
        ('owner = "plm"\nalso = ["pdm"]', "owner-unknown", "'pdm'"),
        ('owner = "erp-events"', "owner-unknown", "Name 'erp'"),
        ('owner = "plm"\ngroup = "weights"', "configuration-invalid", "field group of item"),
        ('owner = "plm"\ngruop = "measures"', "configuration-invalid", "Did you mean `group`?"),
        (
            'owner = "plm"\n[[rules.ownership]]\nentity = "item"\nowner = "erp"',
            "configuration-invalid",
            "Two rows say who owns all of item: plm and erp",
        ),
    ],
)
def test_an_owner_that_cannot_be_is_refused_at_load_with_what_was_meant(
    tmp_path: Path, row: str, code: str, words: str
) -> None:
    with pytest.raises(Misconfigured) as refused:
        load(owned(tmp_path, f'entity = "item"\n{row}'), URLS)
    assert refused.value.code == code
    assert words in f"{refused.value.what} {refused.value.remedy}"


def test_what_a_source_tells_of_a_system_is_that_systems(tmp_path: Path) -> None:
    file = owned(tmp_path, 'entity = "item-master"\nowner = "erp"')
    (row,) = load(file, URLS).rules.ownership
    assert (row.entity, row.group, row.state, row.owner) == ("item-master", "*", "*", "erp")
