"""Facts that one process stores in Dagster's metadata and another reads back.

A facts class is a frozen dataclass. Its field names are the metadata keys, and `SCHEMA` is stored with
them, so that a reader knows the shape before it reads a value. Entries for people (tables, pictures,
links) are separate metadata entries next to the facts, and nothing reads them back.

Schema 1 is the shape before facts had classes: display text as keys, and no number. `Facts.FIRST_KEYS`
names its keys, so that materializations of that time stay readable.
"""

import functools
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, ClassVar, Self, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError

from ray_platform.text.errors import FactsError

SCHEMA = 2
#: The metadata key of the schema's number.
SCHEMA_KEY = "facts_schema"


class Facts:
    """Base of the facts classes, which are frozen dataclasses of scalars, tuples, mappings and dataclasses.

    A field whose type allows None is left out of the metadata when it is None. All other fields are
    always there.
    """

    #: What the facts are of, as error messages name it.
    SUBJECT: ClassVar[str]
    #: The keys of schema 1, by field. A field that schema 1 did not have is absent.
    FIRST_KEYS: ClassVar[Mapping[str, str]] = {}

    def to_metadata(self) -> dict[str, Any]:
        """The facts as values that Dagster takes as metadata: scalars, lists and dictionaries."""
        named = {name: _plain(getattr(self, name)) for name in _field_names(type(self))}
        kept = {name: value for name, value in named.items() if value is not None}
        return {SCHEMA_KEY: SCHEMA, **kept}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any], *, where: str) -> Self:
        """The facts that are stored in metadata, in this schema or in the first.

        Args:
            metadata: Plain values or Dagster's `MetadataValue` objects by key; other entries are ignored.
            where: What holds the metadata, for the error message: a run, a materialization.

        Raises:
            FactsError: the metadata has no facts, has those of a later schema, or lacks a field.
        """
        values = {key: getattr(value, "value", value) for key, value in metadata.items()}
        schema = values.get(SCHEMA_KEY)
        if schema is None:
            if not cls.are_in(metadata):
                raise FactsError(
                    f"the metadata holds no facts of {cls.SUBJECT}",
                    where=where,
                    fix="rerun the job that makes it: a person or another program reported this event",
                )
            values = cls.from_first(values)
        elif schema != SCHEMA:
            raise FactsError(
                f"the facts of {cls.SUBJECT} have schema {schema!r}; this version reads 1 and {SCHEMA}",
                where=where,
                fix="use the version of ray_platform that wrote them, or a later one",
            )
        hints = get_type_hints(cls)
        found = {
            name: values.get(name)
            for name in _field_names(cls)
            if name in values or type(None) in get_args(hints[name])
        }
        try:
            read: Self = _adapter(cls).validate_python(found)  # type: ignore[arg-type]
        except ValidationError as error:
            wrong = "; ".join(
                f"{'.'.join(map(str, item['loc'])) or cls.SUBJECT}: {item['msg'].lower()}"
                for item in error.errors(include_url=False, include_input=False)
            )
            raise FactsError(
                f"the facts of {cls.SUBJECT} cannot be read: {wrong}",
                where=where,
                fix="rerun the job that makes it; the event stays as it is in Dagster's storage",
            ) from None  # pydantic's own message quotes the values
        return read

    @classmethod
    def are_in(cls, metadata: Mapping[str, Any]) -> bool:
        """Whether metadata claims to hold these facts. An event that a person reports in the UI does not."""
        return SCHEMA_KEY in metadata or any(key in metadata for key in cls.FIRST_KEYS.values())

    @classmethod
    def from_first(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values of schema 1 by field. A class overrides it where more than a key has changed."""
        return {field: values[key] for field, key in cls.FIRST_KEYS.items() if key in values}


def _field_names(cls: type[Facts]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(cls))  # type: ignore[arg-type]


@functools.cache
def _adapter(cls: type[Facts]) -> TypeAdapter[Any]:
    return TypeAdapter(cls)


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
