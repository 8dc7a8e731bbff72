"""Repositories on a real database: what they write and find, and how they treat deleted rows."""

import inspect
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
import pytest

from service.database.desired.factories import FactoryRepository
from service.database.desired.factory_lists import FactoryFilter
from service.database.desired.gateway_lists import GatewayFilter
from service.database.desired.gateways import GatewayRepository
from service.database.desired.json_rows import JsonPage
from service.database.desired.restore import RestorationRepository
from service.database.desired.values import FactoryChanges, GatewayChanges, NewFactory, NewGateway
from service.database.engine.ids import new_id
from service.database.engine.paging import PageStart, Total
from service.database.engine.pool import ConnectionExecutor
from service.database.observed.active_gateways import ActiveGatewayRepository, Watermark
from service.database.rows import Factory, Gateway
from service.database.views.history import HistoryRepository
from service.database.views.statuses import StatusRepository
from service.database.views.summaries import SummaryRepository
from service.errors import (
    FactoryDeletedError,
    FactoryNotFoundError,
    FactoryUnknownError,
    GatewayIdConflictError,
    GatewayNotFoundError,
    MillgateError,
    OrganizationUnknownError,
)
from tests.support.waiting import wait_until

NOBODY = UUID("00000000-0000-7000-8000-00000000dead")
SEALED = b"x" * 40
FIRST_PAGE = PageStart()
LIMIT_S = 10.0


class World:
    """One database with its repositories on one connection, and helpers for what these cannot do."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection = connection
        executor = ConnectionExecutor(connection)
        self.factories = FactoryRepository(executor)
        self.gateways = GatewayRepository(executor)
        self.active = ActiveGatewayRepository(executor)
        self.statuses = StatusRepository(executor)

    def factory(self, name: str = "Mill") -> Factory:
        """Create a factory."""
        return self.factories.find_by_id(self.factories.create(NewFactory(name)).id)

    def gateway(self, factory_id: UUID, device: str, name: str = "Gateway") -> Gateway:
        """Create a gateway with desired state connected."""
        gateway = new_gateway(factory_id, device, name)
        return self.gateways.find_by_id(self.gateways.create(gateway).id)

    def update_factory(self, factory_id: UUID, changes: FactoryChanges) -> Factory:
        """Change a factory and return it."""
        return self.factories.find_by_id(self.factories.update(factory_id, changes).id)

    def update_gateway(self, gateway_id: UUID, changes: GatewayChanges) -> Gateway:
        """Change a gateway and return it."""
        return self.gateways.find_by_id(self.gateways.update(gateway_id, changes).id)

    def mark_here(self) -> Watermark:
        """Return the watermark after all writes so far, assuming no other transactions on the server."""
        row = self.connection.execute(
            "SELECT pg_current_xact_id()::text::bigint + 1, pg_postmaster_start_time()"
        ).fetchone()
        assert row is not None
        return Watermark(*row)

    def hold(self, *gateway_ids: UUID) -> UUID:
        """Create a worker that holds these gateways; return its id."""
        worker = self.connection.execute(
            "INSERT INTO workers (host, pid, version, session_pid, session_started_at, lease_duration,"
            " lease_expires_at) VALUES ('h', 1, '1', 1, now(), interval '9 s', now() + interval '9 s')"
            " RETURNING id, epoch"
        ).fetchone()
        assert worker is not None
        for gateway_id in gateway_ids:
            self.connection.execute(
                "INSERT INTO gateway_connections (gateway_id, worker_id, epoch, connects, messages_received)"
                " VALUES (%s, %s, %s, 3, 4)",
                [gateway_id, *worker],
            )
        return UUID(str(worker[0]))

    def delete_by_hand(self, table: str, row_id: UUID) -> None:
        """Soft-delete one row and nothing else."""
        statements = {
            "factories": "UPDATE factories SET deleted_at = now() WHERE id = %s",
            "gateways": "UPDATE gateways SET deleted_at = now() WHERE id = %s",
        }
        assert self.connection.execute(statements[table].encode(), [row_id]).rowcount == 1


def count_of(world: World, factory: Factory) -> int:
    """Return how many live gateways the factory has."""
    return world.gateways.count(GatewayFilter(factory_id=factory.id))


def new_gateway(factory_id: UUID, device: str, name: str = "Gateway") -> NewGateway:
    """Return a valid gateway to create."""
    return NewGateway(
        new_id(), factory_id, device, name, "wss://gateway.example.com", "someone@example.com", SEALED
    )


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    """Yield a migrated database without factories."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield World(connection)


@pytest.mark.req("REPO-03")
def test_a_factory_is_created_found_changed_and_deleted(world: World) -> None:
    plain = world.factory("Plain")
    assert (plain.location, plain.timezone, plain.metadata, plain.deleted_at) == (None, "UTC", {}, None)
    values = NewFactory("Full", location="Hall", timezone="Europe/Berlin", metadata='{"a": [1]}')
    full = world.factories.find_by_id(world.factories.create(values).id)
    assert (full.location, full.timezone, full.metadata) == ("Hall", "Europe/Berlin", {"a": [1]})
    renamed = world.update_factory(full.id, FactoryChanges(name="New"))
    assert (renamed.name, renamed.location, renamed.metadata) == ("New", "Hall", {"a": [1]})
    assert renamed.updated_at > full.updated_at
    emptied = world.update_factory(full.id, FactoryChanges(set_location=True, timezone="UTC", metadata="{}"))
    assert (emptied.name, emptied.location, emptied.timezone, emptied.metadata) == ("New", None, "UTC", {})
    assert world.factories.count() == 2
    world.factories.soft_delete(full.id)
    assert world.factories.count() == 1
    assert world.factories.find_all(FIRST_PAGE, 10) == [plain]


@pytest.mark.req("REPO-03")
def test_a_factory_of_an_unknown_organization_is_rejected(world: World) -> None:
    factory = world.factory()
    with pytest.raises(OrganizationUnknownError):
        world.factories.create(NewFactory("Mill", NOBODY))
    with pytest.raises(OrganizationUnknownError):
        world.factories.update(factory.id, FactoryChanges(organization_id=NOBODY))


@pytest.mark.req("REPO-04")
def test_a_gateway_is_created_found_changed_and_deleted(world: World) -> None:
    factory, other = world.factory("One"), world.factory("Two")
    gateway = world.gateway(factory.id, "CTC-1")
    assert (gateway.desired_state, gateway.generation, gateway.model) == ("connected", 1, None)
    assert world.gateways.find_by_id(gateway.id) == gateway
    changed = world.update_gateway(
        gateway.id,
        GatewayChanges(
            set_model=True,
            model="M",
            set_firmware_version=True,
            firmware_version="1",
            metadata='{"a": 1}',
            name="New",
        ),
    )
    assert (changed.model, changed.firmware_version, changed.metadata) == ("M", "1", {"a": 1})
    assert (changed.name, changed.generation) == ("New", 1)
    moved = world.update_gateway(
        gateway.id,
        GatewayChanges(factory_id=other.id, set_model=True, device_id="CTC-2", url="ws://new"),
    )
    assert (moved.factory_id, moved.model, moved.firmware_version) == (other.id, None, "1")
    assert (moved.device_id, moved.url, moved.email, moved.generation) == (
        "CTC-2", "ws://new", gateway.email, 2,
    )  # fmt: skip
    assert (count_of(world, factory), count_of(world, other)) == (0, 1)
    world.gateways.update(gateway.id, GatewayChanges(sealed_password=b"y" * 40))
    assert world.gateways.find_by_id(gateway.id).generation == 3
    (login,) = world.active.find_logins([gateway.id])
    assert (login.sealed_password, login.email, login.url) == (b"y" * 40, moved.email, "ws://new")
    world.gateways.soft_delete(gateway.id)
    assert world.gateways.count() == 0


@pytest.mark.req("REPO-04")
def test_an_invalid_gateway_is_rejected(world: World) -> None:
    factory = world.factory()
    first, second = world.gateway(factory.id, "CTC-1"), world.gateway(factory.id, "CTC-2")
    with pytest.raises(GatewayIdConflictError):
        world.gateway(factory.id, "CTC-1")
    with pytest.raises(GatewayIdConflictError):
        world.gateways.update(second.id, GatewayChanges(device_id=first.device_id))
    with pytest.raises(FactoryUnknownError):
        world.gateway(NOBODY, "CTC-3")
    with pytest.raises(FactoryUnknownError):
        world.gateways.update(first.id, GatewayChanges(factory_id=NOBODY))
    assert world.gateways.find_by_id(first.id) == first
    world.gateways.soft_delete(first.id)
    assert world.gateway(factory.id, "CTC-1").id != first.id


@pytest.mark.req("REPO-04")
def test_desired_state_changes_are_written(world: World) -> None:
    gateway = world.gateway(world.factory().id, "CTC-1")
    world.gateways.want_disconnected(gateway.id)
    unwanted = world.gateways.find_by_id(gateway.id)
    assert (unwanted.desired_state, unwanted.generation) == ("disconnected", 2)
    assert unwanted.connect_requested_at == gateway.connect_requested_at
    world.gateways.want_connected(gateway.id)
    wanted = world.gateways.find_by_id(gateway.id)
    assert (wanted.desired_state, wanted.generation) == ("connected", 3)
    assert wanted.connect_requested_at > gateway.connect_requested_at
    world.gateways.want_connected(gateway.id)
    again = world.gateways.find_by_id(gateway.id)
    assert again.generation == 3
    assert again.connect_requested_at > wanted.connect_requested_at


@pytest.mark.req("REPO-04")
def test_a_worker_finds_its_gateways_and_their_desired_states(world: World) -> None:
    mill, closed = world.factory("Mill"), world.factory("Closed")
    active = world.gateway(mill.id, "CTC-1")
    deleted = world.gateway(mill.id, "CTC-2")
    unwanted = world.gateway(mill.id, "CTC-3")
    orphan = world.gateway(closed.id, "CTC-4")
    elsewhere = world.gateway(mill.id, "CTC-5")
    world.gateway(mill.id, "CTC-6")
    worker = world.hold(active.id, deleted.id, unwanted.id, orphan.id)
    other_worker = world.hold(elsewhere.id)
    held = {active.id, deleted.id, unwanted.id, orphan.id}
    assert {one.id for one in world.active.find_active(worker) if one.is_wanted} == held
    world.gateways.soft_delete(deleted.id)
    world.gateways.want_disconnected(unwanted.id)
    world.delete_by_hand("factories", closed.id)
    assert {one.id for one in world.active.find_active(worker)} == held
    (found,) = [one for one in world.active.find_active(worker) if one.is_wanted]
    assert (found.id, found.generation, found.connect_requested_at) == (
        active.id, 1, active.connect_requested_at,
    )  # fmt: skip
    assert (found.connects, found.messages_received) == (3, 4)
    assert [gateway.id for gateway in world.active.find_active(other_worker)] == [elsewhere.id]
    assert world.active.find_active(NOBODY) == []


@pytest.mark.req("REPO-04")
def test_only_changed_gateways_are_read_again(world: World) -> None:
    factory = world.factory()
    first, second, free = (world.gateway(factory.id, f"CTC-{number}") for number in range(3))
    worker = world.hold(first.id, second.id)
    mark = world.mark_here()
    assert not world.active.find_watermark(mark).has_changed
    assert world.active.find_changed(worker, mark) == []
    world.gateways.want_connected(second.id)
    world.gateways.want_disconnected(free.id)
    assert world.active.find_watermark(mark).has_changed
    assert world.active.find_changed(worker, mark) == [second.id]
    assert [gateway.id for gateway in world.active.find_active(worker, [second.id, free.id])] == [second.id]


@pytest.mark.req("REPO-04")
def test_a_change_that_commits_late_is_not_missed(world: World, database_url: str) -> None:
    """Its transaction began before the watermark was read and ended after it."""
    gateway = world.gateway(world.factory().id, "CTC-1")
    worker = world.hold(gateway.id)
    with psycopg.connect(database_url, autocommit=True) as late, late.transaction():
        GatewayRepository(ConnectionExecutor(late)).want_connected(gateway.id)
        world.gateway(world.factory().id, "CTC-2")
        mark = world.active.find_watermark(None)
    assert gateway.id in world.active.find_changed(worker, mark)


@pytest.mark.req("REPO-04")
def test_a_status_is_found(world: World) -> None:
    gateway = world.gateway(world.factory().id, "CTC-1")
    status = world.statuses.find_by_id(gateway.id)
    assert (status.state, status.desired_state, status.reason_code) == (
        "disconnected", "connected", "no_worker",
    )  # fmt: skip


@pytest.mark.req("REPO-03", "REPO-04")
def test_pages_by_offset_and_by_key_agree(world: World) -> None:
    names = ["b", "a", "B", "ä", "a", "b b", "", "a"]
    factories = [world.factory(f"x{name}") for name in names]
    for number, name in enumerate(names):
        world.gateway(factories[number % 2].id, f"CTC-{number}", f"x{name}")
    check_pages(world.factories.find_all, world.factories.count())
    check_pages(page_rows(world.factories.list_json), world.factories.count())
    check_pages(page_rows(world.gateways.list_json), world.gateways.count())
    for factory in factories[:2]:
        of_factory = GatewayFilter(factory_id=factory.id)
        assert world.gateways.count(of_factory) == 4
        check_pages(
            page_rows(lambda start, limit, which=of_factory: world.gateways.list_json(start, limit, which)),
            world.gateways.count(of_factory),
        )
    assert ids_of(world.gateways.list_json(FIRST_PAGE, 10, GatewayFilter(factory_id=factories[2].id))) == []


@dataclass(frozen=True)
class Listed:
    """A row of a page."""

    id: UUID
    name: str


def page_rows(find: Callable[..., JsonPage]) -> Callable[[PageStart, int], list[Listed]]:
    """Return a function that finds a page and returns its rows."""

    def rows(start: PageStart, limit: int) -> list[Listed]:
        found = [json.loads(body) for body in find(start, limit).bodies]
        return [Listed(UUID(row["id"]), row["name"]) for row in found]

    return rows


def check_pages(find: Callable[..., Any], count: int) -> None:
    """Walk a list in pages of three in both ways."""
    everything = list(find(FIRST_PAGE, 100))
    assert len({row.id for row in everything}) == len(everything) == count
    by_offset: list[Any] = []
    by_key: list[Any] = []
    start = FIRST_PAGE
    while page := find(start, 3):
        by_key += page
        start = PageStart(after=(page[-1].name, page[-1].id))
    while page := find(PageStart(rows_skipped=len(by_offset)), 3):
        by_offset += page
    assert by_key == by_offset == everything
    same_name = [(row.name, row.id) for row in everything if row.name == "xa"]
    assert same_name == sorted(same_name)


@dataclass(frozen=True)
class Deleted:
    """A database with a deleted factory and its gateway, and a deleted gateway of a live factory."""

    world: World
    live_factory: Factory
    live_gateway: Gateway
    factory: Factory
    factorys_gateway: Gateway
    gateway: Gateway
    worker: UUID

    @property
    def gateways(self) -> list[UUID]:
        """Return the deleted gateways."""
        return [self.gateway.id, self.factorys_gateway.id]


@pytest.fixture
def deleted(world: World) -> Deleted:
    """Yield live and deleted rows, all gateways held by one worker."""
    live_factory, factory = world.factory("live"), world.factory("deleted")
    live_gateway = world.gateway(live_factory.id, "CTC-1", "live")
    gateway = world.gateway(live_factory.id, "CTC-2", "deleted")
    factorys_gateway = world.gateway(factory.id, "CTC-3", "of deleted")
    worker = world.hold(live_gateway.id, gateway.id, factorys_gateway.id)
    world.gateways.soft_delete(gateway.id)
    with world.connection.transaction():
        world.factories.soft_delete(factory.id)
    return Deleted(world, live_factory, live_gateway, factory, factorys_gateway, gateway, worker)


def refused_for_factory(call: Callable[[FactoryRepository, UUID], object]) -> Callable[[Deleted], None]:
    """Return a check that the call does not find the deleted factory and changes no row."""

    def check(deleted: Deleted) -> None:
        before = all_rows(deleted.world)
        with pytest.raises(FactoryNotFoundError):
            call(deleted.world.factories, deleted.factory.id)
        assert all_rows(deleted.world) == before
        call(deleted.world.factories, deleted.live_factory.id)

    return check


def refused_for_gateways(call: Callable[[World, UUID], object]) -> Callable[[Deleted], None]:
    """Return a check that the call finds neither deleted gateway and changes no row."""

    def check(deleted: Deleted) -> None:
        before = all_rows(deleted.world)
        for gateway_id in deleted.gateways:
            with pytest.raises(GatewayNotFoundError):
                call(deleted.world, gateway_id)
        assert all_rows(deleted.world) == before
        call(deleted.world, deleted.live_gateway.id)

    return check


def all_rows(world: World) -> list[Any]:
    """Return every factory and gateway, deleted or not."""
    return [
        *world.connection.execute("SELECT * FROM factories ORDER BY id"),
        *world.connection.execute("SELECT * FROM gateways ORDER BY id"),
    ]


def ids_of(page: JsonPage) -> list[UUID]:
    """Return the ids in a page; assert that its total matches them."""
    assert page.total == Total(len(page.bodies))
    return [UUID(json.loads(body)["id"]) for body in page.bodies]


def creates_no_gateway_in_it(deleted: Deleted) -> None:
    """Creates no gateway in the deleted factory; a deleted gateway's identifier is free."""
    world = deleted.world
    with pytest.raises(FactoryUnknownError):
        world.gateway(deleted.factory.id, "CTC-9")
    assert world.gateway(deleted.live_factory.id, deleted.gateway.device_id).id != deleted.gateway.id


def creates_a_factory_of_the_same_name(deleted: Deleted) -> None:
    """A deleted factory's name is free."""
    assert deleted.world.factory(deleted.factory.name).id != deleted.factory.id


def leaves_out_factories(deleted: Deleted) -> None:
    """No kind of page lists deleted factories."""
    factories, live = deleted.world.factories, deleted.live_factory
    assert factories.find_all(FIRST_PAGE, 10) == [live]
    assert factories.find_all(PageStart(after=("", NOBODY)), 10) == [live]
    (gone,) = factories.find_all(FIRST_PAGE, 10, FactoryFilter(is_deleted=True))
    assert gone.id == deleted.factory.id
    for start in (FIRST_PAGE, PageStart(after=("", NOBODY))):
        assert ids_of(factories.list_json(start, 10)) == [live.id]
    assert ids_of(factories.list_json(FIRST_PAGE, 10, FactoryFilter(is_deleted=True))) == [gone.id]


def leaves_out_gateways(deleted: Deleted) -> None:
    """No kind of page lists deleted gateways, of all or of one factory."""
    gateways, live = deleted.world.gateways, deleted.live_gateway

    def found(start: PageStart, which: GatewayFilter) -> list[UUID]:
        return ids_of(gateways.list_json(start, 10, which))

    for start in (FIRST_PAGE, PageStart(after=("", NOBODY))):
        assert found(start, GatewayFilter()) == [live.id]
        assert found(start, GatewayFilter(factory_id=deleted.live_factory.id)) == [live.id]
        assert found(start, GatewayFilter(factory_id=deleted.factory.id)) == []
        assert set(found(start, GatewayFilter(is_deleted=True))) == set(deleted.gateways)


def counts_live_gateways(deleted: Deleted) -> None:
    """Counts live gateways, of all and of one factory."""
    world = deleted.world
    counts = world.gateways.count(), count_of(world, deleted.live_factory), count_of(world, deleted.factory)
    assert counts == (1, 1, 0)
    assert world.gateways.count(GatewayFilter(is_deleted=True)) == 2


def finds_live_factories(deleted: Deleted) -> None:
    """Check that of both ids the deleted factory's finds none."""
    found = deleted.world.factories.find_by_ids([deleted.live_factory.id, deleted.factory.id])
    assert found == {deleted.live_factory.id: deleted.live_factory}


def counts_live_factories(deleted: Deleted) -> None:
    """Counts the live one."""
    assert deleted.world.factories.count() == 1


def updates_no_gateway(deleted: Deleted) -> None:
    """Updates no deleted gateway, and moves no live one into a deleted factory."""
    changes = GatewayChanges(name="x", factory_id=deleted.live_factory.id, sealed_password=b"z" * 40)
    refused_for_gateways(lambda world, i: world.gateways.update(i, GatewayChanges(name="x")))(deleted)
    refused_for_gateways(lambda world, i: world.gateways.update(i, changes))(deleted)
    into_deleted, live_id = GatewayChanges(factory_id=deleted.factory.id), deleted.live_gateway.id
    with pytest.raises(FactoryUnknownError):
        deleted.world.gateways.update(live_id, into_deleted)


def finds_held_ones(deleted: Deleted) -> None:
    """Finds all three gateways that the worker holds."""
    held = deleted.world.active.find_active(deleted.worker)
    assert {gateway.id for gateway in held} == {deleted.live_gateway.id, *deleted.gateways}
    assert [gateway.id for gateway in held if gateway.is_wanted] == [deleted.live_gateway.id]


def counts_wanted_ones(deleted: Deleted) -> None:
    """Counts neither deleted gateways nor those of deleted factories."""
    assert deleted.world.active.count_wanted() == 1


def finds_logins(deleted: Deleted) -> None:
    """Returns no password of a deleted gateway."""
    asked = [deleted.live_gateway.id, *deleted.gateways]
    logins = deleted.world.active.find_logins(asked)
    assert [login.id for login in logins] == [deleted.live_gateway.id]


def finds_what_was_deleted_changed(deleted: Deleted) -> None:
    """Returns deletions, which workers have to see."""
    mark = deleted.world.mark_here()
    deleted.world.gateways.soft_delete(deleted.live_gateway.id)
    assert deleted.world.active.find_watermark(mark).has_changed
    assert deleted.world.active.find_changed(deleted.worker, mark) == [deleted.live_gateway.id]


def restores_a_factory(deleted: Deleted) -> None:
    """Restores the deleted factory with the gateway deleted with it, and no other."""
    with deleted.world.connection.transaction():
        assert restoration(deleted).restore_factory(deleted.factory.id)
        assert not restoration(deleted).restore_factory(deleted.live_factory.id)
    assert deleted.world.factories.find_by_id(deleted.factory.id).deleted_at is None
    assert deleted.world.factories.find_by_id(deleted.live_factory.id) == deleted.live_factory
    assert deleted.world.gateways.find_by_id(deleted.factorys_gateway.id).deleted_at is None
    with pytest.raises(GatewayNotFoundError):
        deleted.world.gateways.find_by_id(deleted.gateway.id)


def restores_a_gateway(deleted: Deleted) -> None:
    """Restores no gateway whose factory is deleted."""
    assert restoration(deleted).restore_gateway(deleted.gateway.id)
    assert deleted.world.gateways.find_by_id(deleted.gateway.id).deleted_at is None
    assert not restoration(deleted).restore_gateway(deleted.live_gateway.id)
    assert deleted.world.gateways.find_by_id(deleted.live_gateway.id) == deleted.live_gateway
    with pytest.raises(FactoryDeletedError):
        restoration(deleted).restore_gateway(deleted.factorys_gateway.id)


def finds_history_of_live_ones(deleted: Deleted) -> None:
    """A deleted gateway has no present state, without which no history is returned."""
    refused_for_gateways(lambda world, i: history(world).find_present(i))(deleted)


def counts_states_of_live_ones(deleted: Deleted) -> None:
    """Counts the live one."""
    executor = ConnectionExecutor(deleted.world.connection)
    counts = SummaryRepository(executor).count_states([deleted.live_factory.id, deleted.factory.id])
    assert [(one.factory_id, one.count) for one in counts] == [(deleted.live_factory.id, 1)]


def restoration(deleted: Deleted) -> RestorationRepository:
    """Return the repository on the database's connection."""
    return RestorationRepository(ConnectionExecutor(deleted.world.connection))


def history(world: World) -> HistoryRepository:
    """Return the repository on the database's connection."""
    return HistoryRepository(ConnectionExecutor(world.connection))


CHECKS: dict[str, Callable[[Deleted], None]] = {
    "FactoryRepository.create": creates_a_factory_of_the_same_name,
    "FactoryRepository.find_json": refused_for_factory(FactoryRepository.find_json),
    "FactoryRepository.list_json": leaves_out_factories,
    "FactoryRepository.find_by_id": refused_for_factory(FactoryRepository.find_by_id),
    "FactoryRepository.find_by_ids": finds_live_factories,
    "FactoryRepository.find_all": leaves_out_factories,
    "FactoryRepository.count": counts_live_factories,
    "FactoryRepository.update": refused_for_factory(
        lambda factories, i: factories.update(i, FactoryChanges(name="x"))
    ),
    "FactoryRepository.soft_delete": refused_for_factory(FactoryRepository.soft_delete),
    "RestorationRepository.restore_factory": restores_a_factory,
    "HistoryRepository.find_present": finds_history_of_live_ones,
    # Called with the id of a gateway found by find_present or GatewayRepository.find_by_id.
    "HistoryRepository.find_events": finds_history_of_live_ones,
    "HistoryRepository.find_steps": finds_history_of_live_ones,
    "HistoryRepository.find_desired_state_changes": finds_history_of_live_ones,
    "SummaryRepository.count_states": counts_states_of_live_ones,
    "SummaryRepository.now": counts_states_of_live_ones,
    "RestorationRepository.restore_gateway": restores_a_gateway,
    "GatewayRepository.create": creates_no_gateway_in_it,
    "GatewayRepository.find_by_id": refused_for_gateways(lambda world, i: world.gateways.find_by_id(i)),
    "GatewayRepository.find_json": refused_for_gateways(lambda world, i: world.gateways.find_json(i)),
    "GatewayRepository.list_json": leaves_out_gateways,
    "GatewayRepository.count": counts_live_gateways,
    "GatewayRepository.update": updates_no_gateway,
    "GatewayRepository.soft_delete": refused_for_gateways(lambda world, i: world.gateways.soft_delete(i)),
    "GatewayRepository.want_connected": refused_for_gateways(
        lambda world, i: world.gateways.want_connected(i)
    ),
    "GatewayRepository.want_disconnected": refused_for_gateways(
        lambda world, i: world.gateways.want_disconnected(i)
    ),
    "ActiveGatewayRepository.find_active": finds_held_ones,
    "ActiveGatewayRepository.find_watermark": finds_what_was_deleted_changed,
    "ActiveGatewayRepository.find_changed": finds_what_was_deleted_changed,
    "ActiveGatewayRepository.count_wanted": counts_wanted_ones,
    "ActiveGatewayRepository.find_logins": finds_logins,
    "StatusRepository.find_by_id": refused_for_gateways(lambda world, i: world.statuses.find_by_id(i)),
}
REPOSITORIES = (
    FactoryRepository, GatewayRepository, ActiveGatewayRepository, StatusRepository, HistoryRepository,
    SummaryRepository, RestorationRepository,
)  # fmt: skip
METHODS = [
    f"{repository.__name__}.{name}"
    for repository in REPOSITORIES
    for name, _ in inspect.getmembers(repository, inspect.isfunction)
    if not name.startswith("_")
]


@pytest.mark.req("REPO-05", "FACTORY-06")
@pytest.mark.parametrize("method", METHODS)
def test_a_method_ignores_deleted_rows(deleted: Deleted, method: str) -> None:
    """A new method needs an entry in CHECKS."""
    CHECKS[method](deleted)


@pytest.mark.req("REPO-05")
def test_a_deleted_gateway_keeps_its_row(deleted: Deleted) -> None:
    assert len(all_rows(deleted.world)) == 5


def creates(world: World, factory_id: UUID, _: UUID) -> None:
    """Create a gateway in the factory."""
    world.gateway(factory_id, "CTC-new")


def moves(world: World, factory_id: UUID, gateway_id: UUID) -> None:
    """Move a gateway into the factory."""
    with world.connection.transaction():
        world.gateways.update(gateway_id, GatewayChanges(factory_id=factory_id))


def deletes(world: World, factory_id: UUID, _: UUID) -> None:
    """Deletes the factory."""
    with world.connection.transaction():
        world.factories.soft_delete(factory_id)


@pytest.mark.req("FACTORY-06", "REPO-05")
@pytest.mark.parametrize(
    ("first", "second", "outcome"),
    [
        (creates, deletes, None),
        (moves, deletes, None),
        (deletes, creates, FactoryUnknownError),
        (deletes, moves, FactoryUnknownError),
    ],
)
def test_a_deleted_factory_keeps_no_live_gateway_with_two_concurrent_writers(
    world: World,
    database_url: str,
    first: Callable[[World, UUID, UUID], None],
    second: Callable[[World, UUID, UUID], None],
    outcome: type[MillgateError] | None,
) -> None:
    """The second writer waits for the first, whose transaction is still open."""
    factory_id = world.factory().id
    gateway_id = world.gateway(world.factory("Other").id, "CTC-1").id
    errors: list[type[Exception] | None] = []
    with psycopg.connect(database_url, autocommit=True) as connection:
        other = World(connection)

        def write_second() -> None:
            try:
                second(other, factory_id, gateway_id)
            except MillgateError as error:
                errors.append(type(error))
            else:
                errors.append(None)

        thread = threading.Thread(target=write_second, name="second-writer")
        with world.connection.transaction():
            first(world, factory_id, gateway_id)
            thread.start()
            wait_until(lambda: is_blocked(world, other), LIMIT_S, "the second to wait for the first")
        thread.join(LIMIT_S)
        assert not thread.is_alive()
    assert errors == [outcome]
    living = "SELECT count(*) FROM gateways WHERE factory_id = %s AND deleted_at IS NULL"
    assert world.connection.execute(living, [factory_id]).fetchone() == (0,)
    with pytest.raises(FactoryNotFoundError):
        world.factories.find_by_id(factory_id)


def is_blocked(world: World, other: World) -> bool:
    """Whether the other session waits for a lock."""
    pids = [other.connection.info.backend_pid]
    return world.connection.execute("SELECT cardinality(pg_blocking_pids(%s)) > 0", pids).fetchone() == (
        True,
    )
