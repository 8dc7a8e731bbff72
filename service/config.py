"""The API's settings, and those shared with the workers: read once, immutable, passed in."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from service.crypto import Sealer, Secret
from service.environment import Environment, split_words
from service.errors import ConfigurationError
from service.network.allowed_hosts import OwnHosts

CONNECTION_TESTS_PER_WORKER = 4
"""Trials that a worker does at once."""
LOG_LEVELS = ("debug", "info", "warning", "error")
OBSOLETE = ("API_THREADS",)
RENAMED = {"TRIAL_TIMEOUT_S": "CONNECTION_TEST_TIMEOUT_S"}
AUTH_MODES = ("auto", "required", "off")
_ORIGIN = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://([a-zA-Z0-9._-]+|\[[0-9a-fA-F:.]+\])(:[0-9]{1,5})?")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class DatabaseConfig:
    """How a process reaches PostgreSQL, and how long it waits for it."""

    url: str = field(repr=False)
    pool_min: int
    pool_max: int
    pool_timeout_s: float
    connect_timeout_s: float
    statement_timeout_s: float

    @property
    def password(self) -> str:
        """The password in the URL; empty if there is none."""
        return str(conninfo_to_dict(self.url).get("password") or "")

    @classmethod
    def read(cls, environment: Environment) -> "DatabaseConfig":
        """Raises ConfigurationError."""
        config = cls(
            url=_connection_url(
                environment.required_secret("DATABASE_URL"), environment.secret("DATABASE_PASSWORD")
            ),
            pool_min=environment.integer("DB_POOL_MIN", 1, minimum=0, maximum=100),
            pool_max=environment.integer("DB_POOL_MAX", 8, minimum=1, maximum=100),
            pool_timeout_s=environment.seconds("DB_POOL_TIMEOUT_S", 2),
            connect_timeout_s=environment.seconds("DB_CONNECT_TIMEOUT_S", 2, minimum=2),
            statement_timeout_s=environment.seconds("DB_STATEMENT_TIMEOUT_S", 4),
        )
        if config.pool_min > config.pool_max:
            raise ConfigurationError("DB_POOL_MIN must not be more than DB_POOL_MAX")
        return config


@dataclass(frozen=True, slots=True)
class ApiConfig:
    """The settings of an API process."""

    database: DatabaseConfig
    encryption_key: Secret
    old_encryption_keys: tuple[Secret, ...]
    host: str
    port: int
    processes: int
    keepalive_s: int
    max_waiting_requests: int
    connection_test_timeout_s: float
    requires_tokens: bool
    log_level: str
    own_hosts: OwnHosts
    """What is served without tokens, and redirected to HTTPS."""
    cors_origins: tuple[str, ...]
    force_https: bool
    trusted_proxies: int
    gateway_networks_allowed: tuple[Network, ...]
    obsolete: tuple[str, ...]
    """Settings that were given, and have no meaning any more."""
    renamed: Mapping[str, str]
    """Settings that were given under an older name: that name, and the one to use."""

    @property
    def serves_only_this_machine(self) -> bool:
        """Whether no tokens are required, because only this machine can reach the API."""
        return not self.requires_tokens and is_loopback(self.host) and self.trusted_proxies == 0

    @classmethod
    def read(cls, environment: Environment) -> "ApiConfig":
        """Raises ConfigurationError."""
        for old_name, name in RENAMED.items():
            environment.rename(old_name, name)
        host = environment.text("HOST", "127.0.0.1")
        return cls(
            database=DatabaseConfig.read(environment),
            encryption_key=Secret(environment.required_secret("ENCRYPTION_KEY")),
            old_encryption_keys=read_old_keys(environment),
            host=host,
            port=environment.integer("PORT", 3000, minimum=1, maximum=65535),
            processes=environment.integer("API_PROCESSES", 2, minimum=1, maximum=64),
            keepalive_s=environment.integer("KEEPALIVE_S", 75, minimum=1, maximum=3600),
            max_waiting_requests=environment.integer("MAX_WAITING_REQUESTS", 1000, minimum=1, maximum=10_000),
            connection_test_timeout_s=environment.seconds(
                "CONNECTION_TEST_TIMEOUT_S", 10, minimum=1, maximum=10
            ),
            requires_tokens=requires_tokens(environment.choice("AUTH", "auto", AUTH_MODES), host),
            log_level=environment.choice("LOG_LEVEL", "info", LOG_LEVELS),
            own_hosts=read_own_hosts(environment, host),
            cors_origins=_read_origins(environment),
            force_https=environment.flag("FORCE_HTTPS", default=False),
            trusted_proxies=environment.integer("TRUSTED_PROXIES", 0, minimum=0, maximum=10),
            gateway_networks_allowed=read_networks(environment, "GATEWAY_NETWORKS_ALLOWED"),
            obsolete=tuple(name for name in OBSOLETE if environment.is_set(name)),
            renamed=dict(environment.renamed),
        )


def read_old_keys(environment: Environment) -> tuple[Secret, ...]:
    """The keys that still open, as they are written."""
    return tuple(Secret(word) for word in split_words(environment.secret("ENCRYPTION_KEYS_OLD")))


def read_sealer(environment: Environment) -> Sealer:
    """All keys, and nothing else of the settings. Raises ConfigurationError."""
    return Sealer(Secret(environment.required_secret("ENCRYPTION_KEY")), read_old_keys(environment))


def read_networks(environment: Environment, name: str) -> tuple[Network, ...]:
    """Networks separated by commas. Raises ConfigurationError."""
    try:
        return tuple(ipaddress.ip_network(word) for word in environment.words(name))
    except ValueError as error:
        message = f"{name} must be networks separated by commas, such as 10.20.0.0/16: {error}"
        raise ConfigurationError(message) from None


def read_own_hosts(environment: Environment, listens_on: str) -> OwnHosts:
    """The hosts that a server answers for. Raises ConfigurationError."""
    try:
        return OwnHosts.of(listens_on, environment.words("ALLOWED_HOSTS"))
    except ValueError as error:
        raise ConfigurationError(
            f"ALLOWED_HOSTS must be host names, addresses and networks, without ports: {error}"
        ) from None


def requires_tokens(auth: str, host: str) -> bool:
    """Whether requests need a token: as AUTH says; with `auto` unless only this machine reaches the host."""
    return not is_loopback(host) if auth == "auto" else auth == "required"


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine reach a server that listens there."""
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def _read_origins(environment: Environment) -> tuple[str, ...]:
    origins = environment.words("CORS_ORIGINS")
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise ConfigurationError(
                f"CORS_ORIGINS must be origins such as https://plant.example.com: {origin} is none"
            )
    return origins


def _connection_url(text: str, password: str) -> str:
    """The URL; with the password, where it has none of its own. Raises ConfigurationError."""
    try:
        if password and not conninfo_to_dict(text).get("password"):
            return make_conninfo(text, password=password)
        conninfo_to_dict(text)
    except psycopg.ProgrammingError:
        raise ConfigurationError("DATABASE_URL is not a connection URL of PostgreSQL") from None
    return text
