"""What tests of several packages share: servers, workers, certificates, and waiting."""
