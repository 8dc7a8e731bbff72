"""A real Prometheus on loopback with the rules of deploy/monitoring, without their waiting times."""

import json
import subprocess
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode
from urllib.request import urlopen

from devstack.postgres.server import free_port
from tests.monitoring.files import RULES, load_yaml
from tests.support.waiting import wait_until

LIMIT_S = 30.0
# Without a database the API answers after its own timeout.
INTERVALS = {"millgate-api": "3s", "millgate-worker": "500ms"}
EVALUATED = "Evaluated"


class Prometheus:
    """Scrapes an API and workers at short intervals."""

    def __init__(self, directory: Path, api_port: int, worker_ports: list[int]) -> None:
        self._directory = directory
        self._ports = {"millgate-api": [api_port], "millgate-worker": worker_ports}
        self._port = free_port()

    def __enter__(self) -> Self:
        self._directory.mkdir()
        self._write("rules.yml", impatient_rules())
        self._write(
            "prometheus.yml",
            {
                "global": {"evaluation_interval": "500ms"},
                "rule_files": ["rules.yml"],
                "scrape_configs": [
                    {
                        "job_name": job,
                        "scrape_interval": INTERVALS[job],
                        "scrape_timeout": INTERVALS[job],
                        "static_configs": [{"targets": [f"127.0.0.1:{port}" for port in ports]}],
                    }
                    for job, ports in self._ports.items()
                ],
            },
        )
        with (self._directory / "prometheus.log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={self._directory / 'prometheus.yml'}",
                    f"--storage.tsdb.path={self._directory / 'data'}",
                    f"--web.listen-address=127.0.0.1:{self._port}",
                ],
                stdout=log,
                stderr=log,
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(LIMIT_S)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return an expression's current series; none before Prometheus is ready."""
        result: list[dict[str, Any]] = self._get("query", query=expression).get("result", [])
        return result

    def value(self, expression: str) -> float | None:
        """Return the value of the only series; None without one."""
        result = self.query(expression)
        return float(result[0]["value"][1]) if result else None

    def firing(self) -> set[str]:
        """Return the firing alerts."""
        return {
            alert["labels"]["alertname"]
            for alert in self._get("alerts").get("alerts", [])
            if alert["state"] == "firing" and alert["labels"]["alertname"] != EVALUATED
        }

    def wait_until_evaluated(self) -> None:
        """Wait until every rule has been evaluated over some scrapes and could have fired."""
        query = f'ALERTS{{alertname="{EVALUATED}", alertstate="firing"}}'
        wait_until(lambda: self.query(query), LIMIT_S, "the rules to be evaluated")

    def wait_until_firing(self, *names: str) -> None:
        """Wait until all these alerts fire."""
        wait_until(lambda: set(names) <= self.firing(), LIMIT_S, f"{names} to fire")

    def _get(self, path: str, **parameters: str) -> dict[str, Any]:
        assert self._process.poll() is None, (self._directory / "prometheus.log").read_text()
        url = f"http://127.0.0.1:{self._port}/api/v1/{path}?{urlencode(parameters)}"
        try:
            with urlopen(url, timeout=LIMIT_S) as response:
                data: dict[str, Any] = json.load(response)["data"]
        except OSError:
            return {}
        return data

    def _write(self, name: str, document: object) -> None:
        # JSON is YAML.
        (self._directory / name).write_text(json.dumps(document))


def impatient_rules() -> dict[str, Any]:
    """Return the rules without their `for` durations."""
    rules = load_yaml(RULES)
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule["for"] = "500ms"
    scraped = 'min(count_over_time(up{job="millgate-api"}[5m])) >= 2'
    rules["groups"].append({"name": "tests", "rules": [{"alert": EVALUATED, "expr": scraped, "for": "2s"}]})
    return rules
