"""Check of the arguments of public functions by their annotations."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from types import GenericAlias, SimpleNamespace, UnionType
from typing import Annotated, Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, Field, PlainValidator, StrictBool, TypeAdapter, ValidationError

from fctl_napari.api.forms import field_of
from fctl_napari.exceptions import InputError, needed_of, shown_value
from fctl_napari.windows import IntWindow, Window, require_window

AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])

AnyWindow = Annotated[Window | IntWindow, PlainValidator(require_window)]
"""A window (y0, x0, y1, x1) in whole px that holds some: anything with four such numbers."""

Count = Annotated[int, Field(ge=1)]
"""A whole number greater than 0."""


def checked(function: AnyFunction) -> AnyFunction:
    """Check the arguments of a function before it runs, and convert those that mean the same, such as a list of two.

    Parameters
    ----------
    function : callable
        Public function with annotations and a docstring.

    Returns
    -------
    callable
        The function. It raises an ``InputError`` for an argument of another type than it says, an empty text, one that
        it does not know, and one that is missing.
    """
    signature = inspect.signature(function)
    hints = {name: hint for name, hint in function.__annotations__.items() if name != "return"}
    types = get_type_hints(SimpleNamespace(__annotations__=hints), function.__globals__, include_extras=True)
    kinds = {name: parameter.kind for name, parameter in signature.parameters.items()}
    takes_any = inspect.Parameter.VAR_KEYWORD in kinds.values()
    several = inspect.Parameter.VAR_POSITIONAL
    adapters: dict[str, TypeAdapter[Any]] = {
        name: TypeAdapter(
            GenericAlias(tuple, (_strictly(kind), ...)) if kinds[name] is several else _strictly(kind),
            config=ConfigDict(arbitrary_types_allowed=True),
        )
        for name, kind in types.items()
        if kinds[name] is not inspect.Parameter.VAR_KEYWORD
    }

    @wraps(function)
    def call(*positional: Any, **named: Any) -> Any:
        known = ", ".join(name for name in signature.parameters if name != "self")
        unknown = None if takes_any else next((name for name in named if name not in kinds), None)
        if unknown is not None:
            raise InputError(f"{_name(function)}: {unknown}: there is no such setting; it takes {known}.")
        try:
            given = signature.bind(*positional, **named)
        except TypeError as error:
            raise InputError(f"{_name(function)}: {error}; it takes {known}.") from None
        for name in adapters.keys() & given.arguments.keys():
            if isinstance(given.arguments[name], str) and not given.arguments[name].strip():
                raise InputError(_sentence(function, name, given.arguments[name], None))
            try:
                given.arguments[name] = adapters[name].validate_python(given.arguments[name])
            except ValidationError as error:
                raise InputError(_sentence(function, name, given.arguments[name], error)) from None
        return function(*given.args, **given.kwargs)

    call.__signature__ = _readable(signature, function, types)  # type: ignore[attr-defined]
    return cast(AnyFunction, call)


def _readable(signature: inspect.Signature, function: Callable[..., Any], types: dict[str, Any]) -> inspect.Signature:
    """Return a signature with types in place of their names, of which nothing but the fields of forms is annotated."""
    hints = {name: kind for name, kind in function.__annotations__.items() if name in types}
    plain = get_type_hints(SimpleNamespace(__annotations__=hints), function.__globals__)
    parameters = []
    for name, parameter in signature.parameters.items():
        if name in types:
            field = field_of(types[name])
            kind = Annotated[plain[name], field] if field else plain[name]
            parameter = parameter.replace(annotation=kind)
        parameters.append(parameter)
    returned = signature.return_annotation
    with suppress(NameError):  # a class that is only imported for those who check types
        returned = get_type_hints(SimpleNamespace(__annotations__={"return": returned}), function.__globals__)["return"]
    return signature.replace(parameters=parameters, return_annotation=returned)


def _strictly(kind: Any) -> Any:
    """Return a kind of argument in which True and False are no texts or numbers that may mean them."""
    if kind is bool:
        return StrictBool
    if get_origin(kind) in (Union, UnionType):
        return Union[tuple(_strictly(part) for part in get_args(kind))]  # noqa: UP007 (made of what is known here only)
    return kind


def _sentence(function: Callable[..., Any], name: str, value: Any, error: ValidationError | None) -> str:
    """Return what an argument cannot be, and what it can be: by the docstring, or by the only kind that there is."""
    described = re.search(rf"^ *(?:\w+, )*{name}(?:, \w+)* : (.+?)(?:, optional)?$", function.__doc__ or "", re.M)
    faults = [] if error is None else error.errors()
    needed = needed_of(faults[0]) if len(faults) == 1 else ""
    reason = f" ({needed} is needed)" if needed else ""
    kinds = described[1] if described else function.__annotations__[name]
    return f"{_name(function)}: {name} cannot be {shown_value(value)}{reason}; give {kinds}."


def _name(function: Callable[..., Any]) -> str:
    """Return the name of a function, or of the class that it makes an object of."""
    return function.__qualname__.removesuffix(".__init__")
