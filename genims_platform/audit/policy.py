"""The audit policy: which source tables are audited, how sensitive they are and which columns need special care.

`audit_policy.yaml` beside this module holds it; it is checked against the source catalogue whenever it is read.
"""

import hashlib
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from genims_platform.settings import SOURCE_NAMES
from genims_platform.sources.catalogue import Table, catalogue

FILE = "audit_policy.yaml"

TableClass = Literal[
    "customer", "financial", "personnel", "supplier", "master", "configuration", "permission", "operational"
]
PriceType = Literal[
    "SELLING",
    "PURCHASE",
    "STANDARD_COST",
    "MOVING_AVERAGE",
    "LIST",
    "DISCOUNT",
    "RATE",
    "FREIGHT",
    "SURCHARGE",
    "ESTIMATE",
    "QUOTE",
    "REFUND",
    "VALUATION",
    "EXCHANGE_RATE",
]
HeaderField = Literal["document_number", "transaction_type", "currency", "account", "effective"]
Catalogue = Mapping[str, Mapping[str, Table]]


class PolicyError(ValueError):
    """The policy contradicts itself or the source catalogue; the message has one line for each mistake."""


class _Rule(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Subject(_Rule):
    """The person a row is about: the type of the reference, and the columns of which the first with a value is it."""

    type: str
    columns: tuple[str, ...] = Field(min_length=1)

    def reference(self, row: Mapping[str, object]) -> str | None:
        """`type:id`, or None if the row names nobody."""
        return next((f"{self.type}:{row[column]}" for column in self.columns if row.get(column) is not None), None)


class AuditedTable(_Rule):
    """What the policy says about one audited table."""

    table_class: TableClass = Field(alias="class")
    key: str
    also: TableClass | None = None
    subject: Subject | None = None
    personal: tuple[str, ...] = ()
    secret: tuple[str, ...] = ()
    amounts: tuple[str, ...] = ()
    prices: Mapping[str, PriceType] = {}
    health: bool = False

    @property
    def classes(self) -> tuple[TableClass, ...]:
        """Its class, then the second one where it has one."""
        return (self.table_class,) if self.also is None else (self.table_class, self.also)

    def columns(self) -> Iterator[tuple[str, str]]:
        """Every column the policy names, with the name of the list that names it."""
        yield "key", self.key
        for name in self.subject.columns if self.subject else ():
            yield "subject", name
        for listed in ("personal", "secret", "amounts", "prices"):
            for name in getattr(self, listed):
                yield listed, name


class _Source(_Rule):
    audited: Mapping[str, AuditedTable]
    not_audited: tuple[str, ...]


class _Content(_Rule):
    version: int = Field(ge=1)
    header_columns: Mapping[HeaderField, tuple[str, ...]]
    sources: Mapping[str, _Source]


@dataclass(frozen=True)
class AuditPolicy:
    """A checked policy. `version` is its running number, `digest` the SHA-256 of `text`, the whole file, in hex.

    Tables are named as elsewhere: `crm.accounts` is the table `accounts` of the source `crm`.
    """

    version: int
    digest: str
    text: str
    _content: _Content

    def audited(self, source: str) -> Mapping[str, AuditedTable]:
        """Table name → rule, for the audited tables of one source."""
        return self._content.sources[source].audited

    def not_audited(self, source: str) -> tuple[str, ...]:
        """The tables of one source that are known and deliberately not audited."""
        return self._content.sources[source].not_audited

    def table(self, reference: str) -> AuditedTable | None:
        """The rule of an audited table, or None for any other."""
        source, _, name = reference.partition(".")
        known = self._content.sources.get(source)
        return known.audited.get(name) if known else None

    def table_class(self, reference: str) -> TableClass | None:
        """The sensitivity class of an audited table, or None for any other."""
        return found.table_class if (found := self.table(reference)) else None

    def amount_columns(self, reference: str) -> tuple[str, ...]:
        """Columns that hold amounts; none for a table that is not audited."""
        return found.amounts if (found := self.table(reference)) else ()

    def price_columns(self, reference: str) -> Mapping[str, PriceType]:
        """Price and cost columns with their kind of price; none for a table that is not audited."""
        return found.prices if (found := self.table(reference)) else {}

    def personal_columns(self, reference: str) -> tuple[str, ...]:
        """Columns to encrypt; none for a table that is not audited."""
        return found.personal if (found := self.table(reference)) else ()

    def secret_columns(self, reference: str) -> tuple[str, ...]:
        """Columns whose values never leave PostgreSQL; none for a table that is not audited."""
        return found.secret if (found := self.table(reference)) else ()

    def subject_reference(self, reference: str, row: Mapping[str, object]) -> str | None:
        """The person that a row (column → value) is about, such as `staff:EMP-000001`; None if it is about nobody."""
        found = self.table(reference)
        return found.subject.reference(row) if found and found.subject else None

    def header_column(self, reference: str, field: HeaderField) -> str | None:
        """The column of an audited table that holds a header field of its audit rows, or None."""
        source, _, name = reference.partition(".")
        if self.table(reference) is None:
            return None
        columns = catalogue()[source][name].polars_schema
        return next((column for column in self._content.header_columns.get(field, ()) if column in columns), None)


@cache
def audit_policy() -> AuditPolicy:
    """The policy of this version of the platform.

    Raises:
        PolicyError: it contradicts itself or the source catalogue.
    """
    text = resources.files("genims_platform.audit").joinpath(FILE).read_text("utf-8")
    return parse_policy(text, catalogue())


def parse_policy(text: str, tables: Catalogue) -> AuditPolicy:
    """Read a policy and check it against the tables of the 13 sources.

    Raises:
        PolicyError: one line for each mistake: where it is and what is expected there.
    """
    try:
        content = _Content.model_validate(yaml.load(text, Loader=_UniqueKeys))  # noqa: S506 (a SafeLoader)
    except yaml.YAMLError as error:
        raise PolicyError(f"{FILE} is not YAML: {error}") from None
    except ValidationError as error:
        lines = (f"{FILE}: {'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors())
        raise PolicyError("\n".join(lines)) from None
    if mistakes := list(_mistakes(content, tables)):
        raise PolicyError("\n".join(f"{FILE}: {mistake}" for mistake in mistakes))
    return AuditPolicy(content.version, hashlib.sha256(text.encode()).hexdigest(), text, content)


class _UniqueKeys(yaml.SafeLoader):
    """YAML lets a later key replace an earlier one silently; here it is a mistake."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if (name := str(key.value)) in seen:
                raise yaml.MarkedYAMLError(problem=f"{name!r} stands twice", problem_mark=key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


def _mistakes(content: _Content, tables: Catalogue) -> Iterator[str]:
    for field in get_args(HeaderField):
        if field not in content.header_columns:
            yield f"header_columns.{field} is missing"
    for name in content.sources.keys() - set(SOURCE_NAMES):
        yield f"{name} is no source; sources are {', '.join(SOURCE_NAMES)}"
    for name in SOURCE_NAMES:
        if (source := content.sources.get(name)) is None:
            yield f"source {name} is missing"
        else:
            yield from _source_mistakes(name, source, tables[name])


def _source_mistakes(name: str, source: _Source, tables: Mapping[str, Table]) -> Iterator[str]:
    for table in (*source.audited, *source.not_audited):
        if table not in tables:
            yield f"{name}.{table} is not in the source catalogue"
    for table in tables:
        listed = (table in source.audited) + source.not_audited.count(table)
        if listed == 0:
            yield f"{name}.{table} is in no list; name it under audited or not_audited"
        elif listed > 1:
            yield f"{name}.{table} is listed {listed} times"
    for table, rule in source.audited.items():
        if facts := tables.get(table):
            yield from _table_mistakes(f"{name}.{table}", rule, facts)


def _table_mistakes(name: str, rule: AuditedTable, facts: Table) -> Iterator[str]:
    if facts.primary_key != (rule.key,):
        yield f"{name}: key is {rule.key}, but the table's primary key is {', '.join(facts.primary_key) or 'missing'}"
    for listed, column in rule.columns():
        if column not in facts.polars_schema:
            yield f"{name}: {listed} names column {column}, which the table does not have"
    if rule.also == rule.table_class:
        yield f"{name}: class and also are both {rule.also}"
    for column in set(rule.secret) & {rule.key, *(rule.subject.columns if rule.subject else ())}:
        yield f"{name}: {column} is secret, so it can be neither key nor subject"
    if rule.personal and rule.subject is None:
        yield f"{name} has personal columns but no subject whose key would encrypt them"
