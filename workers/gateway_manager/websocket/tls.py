"""TLS to gateways: whose certificates count, and what is wrong with one that does not."""

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
    """Trusts the authorities of this file (PEM), or with an empty name the system's.

    Raises OSError (ssl.SSLError) for a file that can not be read, or has no certificate in it. Takes 40 ms
    with the system's authorities: make one, for all.
    """
    context = ssl.create_default_context(cafile=ca_file or None)
    # The same on every Python from 3.11 on: a plant's own authority need not be written by the book, and one
    # that is named here is trusted even if another signed it.
    context.verify_flags &= ~ssl.VerifyFlags.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    return context


def certificate_problem(error: ssl.SSLCertVerificationError) -> str:
    """What is wrong with a certificate, for people."""
    return _PROBLEMS.get(error.verify_code) or error.verify_message.rstrip(".")
