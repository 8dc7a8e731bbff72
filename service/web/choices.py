"""What people choose from."""

from service.api.services.context import services
from service.database.desired.factories import FactoryRepository
from service.database.engine.paging import PageStart

MOST_FACTORIES = 1000


def factory_choices() -> list[tuple[str, str]]:
    """The first MOST_FACTORIES factories by name, as a select has them. Raises DatabaseError."""
    found = FactoryRepository(services().database).find_all(PageStart(), MOST_FACTORIES)
    return [(str(factory.id), factory.name) for factory in found]
