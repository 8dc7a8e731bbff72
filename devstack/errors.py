"""Errors of the development stack that its user sees."""


class StackError(Exception):
    """A problem that the user at the terminal can fix; the text is complete and holds no secret."""


class NoDatabaseError(StackError):
    """No settings name a database, and `make run` does not run here."""


class StopAskedError(Exception):
    """A stop was requested during a wait."""
