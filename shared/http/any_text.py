"""A part of an address that may be any text: slashes, dots and line breaks belong to it like every other character.

`@router.get("/accounts/{account:any_text}")`. Starlette's own `path` stops at a line break.
"""

from __future__ import annotations

from starlette.convertors import Convertor, register_url_convertor


class AnyText(Convertor[str]):
    """All that is left of the address."""

    regex = "(?s:.*)"

    def convert(self, value: str) -> str:
        """As it is: what was percent-encoded is decoded already."""
        return value

    def to_string(self, value: str) -> str:
        """As it is."""
        return value


ANY_TEXT = "any_text"
register_url_convertor(ANY_TEXT, AnyText())
