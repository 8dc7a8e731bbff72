"""Whether a login that was stored once more is another one. Pure."""

from service.crypto import Sealer
from service.database.observed.active_gateways import SealedLogin
from service.errors import SealError


def is_same_login(one: SealedLogin, other: SealedLogin, sealer: Sealer) -> bool:
    """Whether both log in to the same place as the same user; what does not open is the same as nothing."""
    if (one.id, one.url, one.email) != (other.id, other.url, other.email):
        return False
    try:
        passwords = [sealer.open(login.sealed_password, login.id).reveal() for login in (one, other)]
    except SealError:
        return False
    return passwords[0] == passwords[1]
