"""The auditor's table of who reads what, against what the services say of themselves."""

from importlib import import_module

from larder.audit.look import LISTENERS
from shared.contracts.topics import SERVICES, commands_of
from shared.runtime.decider import Decider


def test_listeners_are_those_of_the_deciders():
    """The auditor may not ask the deciders, so this does: a service that listens to one topic more, or one less, must
    be told to the auditor."""
    expected: dict[str, set[str]] = {topic: set() for topic in LISTENERS}
    for service in SERVICES:
        decider: Decider = import_module(f"services.{service}.decider").DECIDER
        for topic in {commands_of(service), *(message.TOPIC for message in decider.listens)}:
            expected.setdefault(topic, set()).add(service)
    assert {topic: set(services) for topic, services in LISTENERS.items()} == expected
