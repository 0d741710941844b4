"""Who sits at the command line: kept with what cannot be undone."""

import getpass
import os
import platform


def who() -> str:
    """The user of the operating system, and the machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user has no name
        user = str(os.getuid())
    return f"{user}@{platform.node()}"
