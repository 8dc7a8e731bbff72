"""Whether a login that was stored again differs. Pure."""

from service.crypto import Sealer
from service.database.observed.active_gateways import SealedLogin
from service.errors import SealError


def is_same_login(one: SealedLogin, other: SealedLogin, sealer: Sealer) -> bool:
    """Whether both have the same address, user and password; an undecryptable one equals no other."""
    if (one.id, one.url, one.email) != (other.id, other.url, other.email):
        return False
    try:
        passwords = [sealer.open(login.sealed_password, login.id).reveal() for login in (one, other)]
    except SealError:
        return False
    return passwords[0] == passwords[1]
