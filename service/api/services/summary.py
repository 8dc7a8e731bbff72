"""How many gateways are in each state: in all, and by factory."""

from collections import Counter
from collections.abc import Mapping, Sequence
from uuid import UUID

from service.api.schemas.pagination import Page
from service.api.schemas.status_summary import FactorySummary, StateCounts, SummaryQuery, SummaryResponse
from service.database.desired.factories import FactoryRepository
from service.database.engine.query import Executor
from service.database.rows import Factory
from service.database.views.summaries import StateCount, SummaryRepository


def summarize(database: Executor, query: SummaryQuery) -> SummaryResponse:
    """The counts of all gateways, and of a page of factories, by name. Raises DatabaseError."""
    factories = FactoryRepository(database)
    page = Page(query, factories.find_all(query.start, query.limit + 1), factories.count())
    summaries = SummaryRepository(database)
    counts = summaries.count_states([factory.id for factory in page.rows])
    by_factory = add_up(counts)
    in_all = sum(by_factory.values(), Counter[str]())
    return SummaryResponse(
        total=in_all.total(),
        states=StateCounts(**in_all),
        data=[summary_of(factory, by_factory) for factory in page.rows],
        pagination=page.pagination,
        as_of=summaries.now(),
    )


def add_up(counts: Sequence[StateCount]) -> dict[UUID | None, Counter[str]]:
    """By factory, then by state; None is all the factories that are not on the page."""
    by_factory: dict[UUID | None, Counter[str]] = {}
    for one in counts:
        by_factory.setdefault(one.factory_id, Counter())[one.state] += one.count
    return by_factory


def summary_of(factory: Factory, by_factory: Mapping[UUID | None, Counter[str]]) -> FactorySummary:
    """Of one factory, which may have no gateways."""
    states = by_factory.get(factory.id, Counter[str]())
    return FactorySummary(
        id=factory.id, name=factory.name, total=states.total(), states=StateCounts(**states)
    )
