"""What the development stack tells a person when it cannot go on."""


class StackError(Exception):
    """Something that the person at the terminal can put right; the text is complete and holds no secret."""
