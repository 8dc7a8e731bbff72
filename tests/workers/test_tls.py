"""A site with TLS in front of its gateways."""

from pathlib import Path

import pytest

from simulator import Credentials, Site
from tests.certificates import make_certificate
from tests.workers.conftest import StartWorker
from tests.workers.plant import Plant
from tests.workers.settings import EMAIL, PASSWORD


@pytest.mark.req("LIFECYCLE-01", "ORCH-06")
@pytest.mark.parametrize("trusted", [True, False])
def test_a_certificate_counts_only_if_it_is_trusted(
    plant: Plant,
    start_worker: StartWorker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    trusted: bool,
) -> None:
    certificate = tmp_path / "gateway.pem"
    context = make_certificate(certificate)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with Site.start(["AP-1"], credentials=Credentials(EMAIL, PASSWORD), ssl_context=context) as site:
        start_worker()
        row_id = plant.add("AP-1", site.url("AP-1"))
        assert site.url("AP-1").startswith("wss://")
        if trusted:
            plant.wait_for_state(row_id, "connected")
            plant.delete(row_id)
            site.gateway("AP-1").wait(lambda gateway: bool(gateway.sessions_closed))
            [end] = site.gateway("AP-1").sessions_closed
            assert (end.code, end.unsubscribed) == (1000, True)
        else:
            status = plant.wait_for_state(row_id, "retrying")
            assert (status.reason_code, status.reason_retryable) == ("tls_failed", False)
            assert "self-signed" in (status.reason_message or "")
            assert site.gateway("AP-1").logins == 0
