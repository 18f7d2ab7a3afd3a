"""The fences of a database: triggers and procedures that refuse what an account's rights alone would allow.

They are read from `schema/mysql_<database>_fences.sql`, which the `mysql` client can execute as well.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from genims_platform.mysql.contract import ContractError, Kind
from genims_platform.settings import PROJECT_ROOT

_DELIMITER = "//"
_COMMENT_LINE = re.compile(r"^\s*--.*$", re.MULTILINE)
_TRIGGER = re.compile(
    r"CREATE TRIGGER (?P<name>\w+) (?P<timing>BEFORE|AFTER) (?P<event>INSERT|UPDATE|DELETE) ON (?P<table>\w+) "
    r"FOR EACH ROW\s+(?P<body>.*)",
    re.DOTALL,
)
_PROCEDURE = re.compile(
    r"CREATE PROCEDURE (?P<name>\w+)\((?P<parameters>.*?)\) SQL SECURITY DEFINER\s+(?P<body>BEGIN\b.*)", re.DOTALL
)


@dataclass(frozen=True)
class TriggerContract:
    """One row trigger; `body` has single spaces only."""

    name: str
    table: str
    timing: str
    event: str
    body: str
    statement: str


@dataclass(frozen=True)
class ProcedureContract:
    """One procedure that runs with the rights of the account that deployed it; `body` has single spaces only."""

    name: str
    parameters: str
    """Mode, name and type of each, in lower case, separated by commas."""

    body: str
    statement: str


@dataclass(frozen=True)
class Fences:
    """All triggers and procedures of a database, in file order."""

    triggers: tuple[TriggerContract, ...] = ()
    procedures: tuple[ProcedureContract, ...] = ()


@cache
def fences(database: Kind) -> Fences:
    """The fences of a database; none where it has no fences file."""
    file = PROJECT_ROOT / "schema" / f"mysql_{database}_fences.sql"
    return parse_fences(file.read_text("utf-8")) if file.exists() else Fences()


def parse_fences(sql: str) -> Fences:
    """Fences from CREATE TRIGGER and CREATE PROCEDURE statements between `DELIMITER //` and `DELIMITER ;`.

    Raises:
        ContractError: a statement of another kind.
    """
    triggers: list[TriggerContract] = []
    procedures: list[ProcedureContract] = []
    for statement in _statements(sql):
        if found := _TRIGGER.fullmatch(statement):
            triggers.append(
                TriggerContract(
                    found["name"],
                    found["table"],
                    found["timing"],
                    found["event"],
                    single_spaced(found["body"]),
                    statement,
                )
            )
        elif found := _PROCEDURE.fullmatch(statement):
            parameters = single_spaced(found["parameters"]).lower()
            procedures.append(ProcedureContract(found["name"], parameters, single_spaced(found["body"]), statement))
        else:
            raise ContractError(f"expected CREATE TRIGGER or CREATE PROCEDURE, found {statement[:60]!r}")
    return Fences(tuple(triggers), tuple(procedures))


def single_spaced(text: str) -> str:
    """`text` with every run of white space as one space, so that line breaks and indentation do not count."""
    return " ".join(text.split())


def _statements(sql: str) -> Iterator[str]:
    _, _, rest = _COMMENT_LINE.sub("", sql).partition(f"DELIMITER {_DELIMITER}\n")
    body, _, _ = rest.partition("DELIMITER ;")
    *statements, remainder = body.split(_DELIMITER)
    if remainder.strip() or not statements:
        raise ContractError(f"a statement of the fences does not end with {_DELIMITER}: {remainder.strip()[:60]!r}")
    yield from (statement.strip() for statement in statements)
