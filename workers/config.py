"""The worker's settings: read once, frozen, passed in."""

import ipaddress
import ssl
from dataclasses import dataclass, field

from service.config import LOG_LEVELS, DatabaseConfig, read_networks, read_old_keys, read_own_hosts
from service.crypto import Secret
from service.environment import Environment
from service.errors import ConfigurationError
from service.network.allowed_hosts import OwnHosts
from workers.gateway_manager.connection.backoff import BackoffPolicy
from workers.gateway_manager.settings import LeaseSettings, SessionSettings
from workers.gateway_manager.websocket.address_policy import (
    NAT64_PREFIX_LENGTHS,
    Network,
    NetworkPolicy,
    unmap_network,
)
from workers.gateway_manager.websocket.tls import make_tls_context


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """All settings of a worker process."""

    database: DatabaseConfig
    encryption_key: Secret
    old_encryption_keys: tuple[Secret, ...]
    log_level: str
    lease: LeaseSettings
    session: SessionSettings
    networks: NetworkPolicy
    tls: ssl.SSLContext = field(repr=False)
    backoff: BackoffPolicy
    max_handshakes: int
    poll_interval_s: float
    drain_timeout_s: float
    report_interval_s: float
    freshness_s: float
    event_retention_days: int
    metrics_host: str
    metrics_port: int
    """0: no metrics."""
    metrics_hosts: OwnHosts

    @classmethod
    def read(cls, environment: Environment) -> "WorkerConfig":
        """Raises ConfigurationError."""
        metrics_host = environment.text("METRICS_HOST", "127.0.0.1")
        return cls(
            database=DatabaseConfig.read(environment),
            encryption_key=Secret(environment.required_secret("ENCRYPTION_KEY")),
            old_encryption_keys=read_old_keys(environment),
            log_level=environment.choice("LOG_LEVEL", "info", LOG_LEVELS),
            lease=_read_lease(environment),
            session=_read_session(environment),
            networks=_read_networks(environment),
            tls=_read_tls(environment),
            backoff=_read_backoff(environment),
            max_handshakes=environment.integer("MAX_HANDSHAKES", 50, minimum=1, maximum=1000),
            poll_interval_s=environment.seconds("POLL_INTERVAL_S", 2),
            drain_timeout_s=environment.seconds("DRAIN_TIMEOUT_S", 60, minimum=0, maximum=3600),
            report_interval_s=environment.seconds("REPORT_INTERVAL_S", 0.05),
            freshness_s=environment.seconds("FRESHNESS_S", 10, maximum=15),
            event_retention_days=environment.integer("EVENT_RETENTION_DAYS", 30, minimum=1, maximum=3650),
            metrics_host=metrics_host,
            metrics_port=environment.integer("METRICS_PORT", 0, minimum=0, maximum=65535),
            metrics_hosts=read_own_hosts(environment, metrics_host),
        )


def _read_lease(environment: Environment) -> LeaseSettings:
    lease = LeaseSettings(
        duration_s=environment.seconds("LEASE_S", 8, minimum=1, maximum=300),
        heartbeat_s=environment.seconds("HEARTBEAT_S", 2),
        margin_s=environment.seconds("LEASE_MARGIN_S", 1),
    )
    if lease.duration_s < 2 * lease.heartbeat_s + lease.margin_s:
        raise ConfigurationError("LEASE_S must be at least twice HEARTBEAT_S and LEASE_MARGIN_S on top")
    return lease


def _read_session(environment: Environment) -> SessionSettings:
    session = SessionSettings(
        tcp_timeout_s=environment.seconds("TCP_TIMEOUT_S", 10),
        upgrade_timeout_s=environment.seconds("UPGRADE_TIMEOUT_S", 10),
        login_timeout_s=environment.seconds("LOGIN_TIMEOUT_S", 10),
        close_timeout_s=environment.seconds("CLOSE_TIMEOUT_S", 3, maximum=4),
        subscribe_grace_s=environment.seconds("SUBSCRIBE_GRACE_S", 0.5),
        ping_interval_s=environment.seconds("PING_INTERVAL_S", 15),
        liveness_timeout_s=environment.seconds("LIVENESS_TIMEOUT_S", 25),
        max_message_bytes=environment.integer(
            "MAX_MESSAGE_BYTES", 4 * 1024 * 1024, minimum=1024, maximum=64 * 1024 * 1024
        ),
        max_messages_per_s=environment.integer("MAX_MESSAGES_PER_S", 500, minimum=1, maximum=100_000),
        max_bytes_per_s=environment.integer(
            "MAX_BYTES_PER_S", 1024 * 1024, minimum=1024, maximum=1024 * 1024 * 1024
        ),
    )
    if session.liveness_timeout_s <= session.ping_interval_s:
        raise ConfigurationError("LIVENESS_TIMEOUT_S must be longer than PING_INTERVAL_S")
    return session


def _read_networks(environment: Environment) -> NetworkPolicy:
    return NetworkPolicy(
        allowed=_read_network_list(environment, "GATEWAY_NETWORKS_ALLOWED"),
        denied=_read_network_list(environment, "GATEWAY_NETWORKS_DENIED"),
        nat64_prefixes=_read_nat64_prefixes(environment),
    )


def _read_network_list(environment: Environment, name: str) -> tuple[Network, ...]:
    return tuple(unmap_network(network) for network in read_networks(environment, name))


def _read_nat64_prefixes(environment: Environment) -> tuple[ipaddress.IPv6Network, ...]:
    name = "GATEWAY_NAT64_PREFIXES"
    try:
        prefixes = tuple(ipaddress.IPv6Network(word) for word in environment.words(name))
    except ValueError as error:
        raise ConfigurationError(f"{name} must be IPv6 prefixes separated by commas: {error}") from None
    for prefix in prefixes:
        if prefix.prefixlen not in NAT64_PREFIX_LENGTHS:
            raise ConfigurationError(f"{name}: the length of {prefix} is none of {NAT64_PREFIX_LENGTHS}")
    return prefixes


def _read_tls(environment: Environment) -> ssl.SSLContext:
    ca_file = environment.text("GATEWAY_CA_FILE", "")
    try:
        return make_tls_context(ca_file)
    except OSError as error:
        problem = "has no certificate in it" if isinstance(error, ssl.SSLError) else error.strerror
        raise ConfigurationError(f"GATEWAY_CA_FILE {ca_file} cannot be used: {problem}") from None


def _read_backoff(environment: Environment) -> BackoffPolicy:
    policy = BackoffPolicy(
        initial_s=environment.seconds("BACKOFF_INITIAL_S", 1),
        maximum_s=environment.seconds("BACKOFF_MAX_S", 45),
        good_after_s=environment.seconds("BACKOFF_GOOD_AFTER_S", 60),
        login_tries=environment.integer("LOGIN_TRIES", 3, minimum=1, maximum=100),
        login_retry_s=environment.seconds("LOGIN_RETRY_S", 5),
        login_quarantine_s=environment.seconds("LOGIN_QUARANTINE_S", 900),
    )
    if policy.initial_s > policy.maximum_s:
        raise ConfigurationError("BACKOFF_INITIAL_S must not be longer than BACKOFF_MAX_S")
    if policy.login_retry_s > policy.login_quarantine_s:
        raise ConfigurationError("LOGIN_RETRY_S must not be longer than LOGIN_QUARANTINE_S")
    return policy
