"""What browsers may do on behalf of a page."""

from flask import Flask

CONTENT_SECURITY_POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": ["'self'", "data:"],
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
    "require-trusted-types-for": "'script'",
    "trusted-types": "millgate",
}


def set_policies(app: Flask) -> None:
    """Has Talisman's headers on every page name this policy in place of the API's, which allows nothing."""
    for endpoint, view in app.view_functions.items():
        if endpoint.startswith("web."):
            setattr(view, "talisman_view_options", {"content_security_policy": CONTENT_SECURITY_POLICY})  # noqa: B010
