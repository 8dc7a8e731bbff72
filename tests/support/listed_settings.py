"""The settings that .env.example lists."""

from devstack.project import PROJECT


def listed_settings() -> dict[str, str]:
    """Return names and values of .env.example; assert that each has an explanation above it."""
    listed: dict[str, str] = {}
    explained = False
    for line in (PROJECT / ".env.example").read_text().splitlines():
        name, is_setting, value = line.partition("=")
        if line.startswith("#") and not line.startswith("# ---"):
            explained = True
        elif is_setting:
            assert explained, f"{name} is not explained"
            listed[name] = value
        else:
            explained = False
    return listed
