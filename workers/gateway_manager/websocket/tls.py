"""TLS to gateways: which certificates are accepted, and why one is not."""

import ssl

# X509_V_ERR_… in OpenSSL's x509_vfy.h.
_PROBLEMS = {
    9: "it, or one that it rests on, is not valid yet",
    10: "it, or one that it rests on, has expired",
    18: "it is self-signed, and not one that is trusted here",
    19: "it comes from an authority that is not known here (the last of its chain is self-signed)",
    20: "it comes from an authority that is not known here",
    21: "it comes from an authority that is not known here",
    62: "it is for another host",
    64: "it is for another host",
}


def make_tls_context(ca_file: str) -> ssl.SSLContext:
    """Trusts the authorities in this file (PEM), or the system's for an empty name.

    Raises OSError (ssl.SSLError) for a file that cannot be read or has no certificate. Takes 40 ms with the
    system's authorities: make one, and share it.
    """
    context = ssl.create_default_context(cafile=ca_file or None)
    # The same on every Python from 3.11 on: a plant's own authority need not be written by the book, and one
    # that is named here is trusted even if another signed it.
    context.verify_flags &= ~ssl.VerifyFlags.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    return context


def certificate_problem(error: ssl.SSLCertVerificationError) -> str:
    """A certificate's problem, in words."""
    return _PROBLEMS.get(error.verify_code) or error.verify_message.rstrip(".")
