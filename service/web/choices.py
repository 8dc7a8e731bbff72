"""What people choose from."""

from uuid import UUID

from service.api.services.context import services
from service.database.desired.factories import FactoryRepository
from service.database.engine.paging import MOST_ROWS, PageStart

MOST_FACTORIES = 1000


def factory_choices(chosen: UUID | None = None) -> list[tuple[str, str]]:
    """The first MOST_FACTORIES factories by name, and the chosen one, as a select has them.

    Without the chosen one a form would silently send the first of them. Raises DatabaseError.
    """
    repository = FactoryRepository(services().database)
    choices: dict[str, str] = {}
    start = PageStart()
    while len(choices) < MOST_FACTORIES:
        found = repository.find_all(start, MOST_ROWS)
        choices.update((str(factory.id), factory.name) for factory in found)
        if len(found) < MOST_ROWS:
            return list(choices.items())
        start = PageStart(after=(found[-1].name, found[-1].id))
    if chosen is not None and str(chosen) not in choices:
        choices |= {str(factory.id): factory.name for factory in repository.find_by_ids({chosen}).values()}
    return list(choices.items())
