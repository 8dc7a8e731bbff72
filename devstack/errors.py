"""What the development stack tells a person when it cannot go on."""


class StackError(Exception):
    """Something that the person at the terminal can put right; the text is complete and holds no secret."""


class StopAskedError(Exception):
    """Somebody asked us to stop while we were waiting for something."""
