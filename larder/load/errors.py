"""What can go wrong with a load, told so that the reader knows what to do next."""


class LoadError(RuntimeError):
    """The load cannot begin, or cannot go on; the message says why and what to do."""
