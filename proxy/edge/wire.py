"""Plain values of a frame -> nested frozen dataclasses, without what this worker does not know."""

import dataclasses
import types
from collections.abc import Mapping
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

Made = TypeVar("Made")


def decode(kind: type[Made], sent: object) -> Made:
    """`sent` is what JSON made of `dataclasses.asdict`: unknown fields are left out, missing ones keep their
    default, lists become tuples.

    Raises ValueError when an object should stand somewhere and does not, TypeError when a field without a
    default is missing. Values are not checked: who sends them has.
    """
    if not isinstance(sent, dict):
        raise ValueError(f"a {kind.__name__} is an object, not {type(sent).__name__}")
    hints = get_type_hints(kind)
    known = {name: _value(hints[name], value) for name, value in sent.items() if name in hints}
    return kind(**known)


def _value(hint: Any, sent: Any) -> Any:  # noqa: ANN401 - an annotation, and what JSON holds
    origin, arguments = get_origin(hint), get_args(hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return decode(hint, sent)
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(_value(arguments[0], item) for item in sent)
        return tuple(_value(each, item) for each, item in zip(arguments, sent, strict=True))
    if origin in (dict, Mapping):
        return {name: _value(arguments[1], item) for name, item in sent.items()}
    if origin in (Union, types.UnionType) and sent is not None:
        return _value(next(each for each in arguments if each is not type(None)), sent)
    return sent
