"""Reads JSON that comes from outside, and refuses what would break something further in.

Not JSON at all: 400 `malformed_json` (also NaN, Infinity and bytes that are no UTF-8, RFC 8259). JSON, but with what
no database and no other reader takes: 422 `invalid_request` that names the place. That is NUL characters, lone
surrogates, numbers beyond 64 bits, a key given twice, nesting and numbers of values beyond the bounds below.
"""

from __future__ import annotations

import hashlib
import json
import re
from math import isfinite
from typing import Any, NoReturn

from shared.http.problems import Problem, invalid

DEPTH_MAX = 32
VALUES_MAX = 50_000
"""Most values in one body: far above 200 lines or a store's area, and cheap to walk."""
INT_BITS = 63
_INT_DIGITS = 19
_UNFIT = re.compile("[\x00\ud800-\udfff]")


class _Twice(dict[str, Any]):
    """An object with a key that stood there twice."""


class _TooLarge:
    """A number that does not fit."""


def _no_constant(name: str) -> NoReturn:
    raise Problem(400, "malformed_json", f"{name} is not a JSON number")


def _int(digits: str) -> int | _TooLarge:
    if len(digits.lstrip("-")) > _INT_DIGITS:
        return _TooLarge()
    number = int(digits)
    return number if -(2**INT_BITS) <= number < 2**INT_BITS else _TooLarge()


def _float(digits: str) -> float | _TooLarge:
    number = float(digits)
    return number if isfinite(number) else _TooLarge()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    return read if len(read) == len(pairs) else _Twice(read)


_decoder = json.JSONDecoder(parse_int=_int, parse_float=_float, parse_constant=_no_constant, object_pairs_hook=_object)


def read_json(body: bytes) -> Any:
    """The value in `body`; raises Problem (400 or 422)."""
    try:
        value = _decoder.decode(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise Problem(400, "malformed_json", f"the body is not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise Problem(400, "malformed_json", f"{error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise invalid("body", "", f"nested deeper than {DEPTH_MAX} levels") from None
    _check(value)
    return value


def _check(value: Any) -> None:
    """Walks the value without recursion, so that depth cannot hurt."""
    open_values: list[tuple[Any, tuple[Any, ...]]] = [(value, ())]
    seen = 0
    while open_values:
        value, path = open_values.pop()
        seen += 1
        if seen > VALUES_MAX:
            raise invalid("body", "", f"more than {VALUES_MAX} values")
        kind = type(value)
        if kind is str:
            if _UNFIT.search(value):
                raise invalid("body", _shown(path), "has a NUL character or half a surrogate pair")
        elif kind is dict or kind is list or kind is _Twice:
            if len(path) >= DEPTH_MAX:
                raise invalid("body", "", f"nested deeper than {DEPTH_MAX} levels")
            if kind is list:
                open_values.extend((child, (*path, place)) for place, child in enumerate(value))
                continue
            if kind is _Twice:
                raise invalid("body", _shown(path), "has the same key twice")
            if any(_UNFIT.search(key) for key in value):
                raise invalid("body", _shown(path), "has a key with a NUL character or half a surrogate pair")
            open_values.extend((child, (*path, key)) for key, child in value.items())
        elif kind is _TooLarge:
            raise invalid("body", _shown(path), "a number beyond 64 bits")


def _shown(path: tuple[Any, ...]) -> str:
    return ".".join(str(part)[:40] for part in path)


def fingerprint(value: Any) -> str:
    """A hash of a JSON value that does not depend on the order of keys or on white space."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]
