"""Errors of the development stack that its user sees."""


class StackError(Exception):
    """A problem that the user at the terminal can fix; the text is complete and holds no secret."""


class StopAskedError(Exception):
    """A stop was requested during a wait."""
