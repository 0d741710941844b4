"""The process behind `larder up --detach`: the supervisor, with its words going into logs/supervisor.log."""

import sys

from larder.errors import tell
from larder.stack.control import run_in_front
from larder.stack.home import Home
from shared.settings import settings_without_stack

if __name__ == "__main__":
    try:
        run_in_front(Home.at(settings_without_stack().home))
    except Exception as error:
        sys.exit(tell(error))
