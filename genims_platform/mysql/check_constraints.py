"""CHECK constraints, spelt alike whether a schema file, MySQL or MariaDB writes them."""

import re
from dataclasses import dataclass

import sqlglot
from sqlglot import exp

# MySQL writes 'A' as _utf8mb4\'A\'.
_CHARACTER_SET = re.compile(r"\b_utf8(?:mb[34])?(?=')")


@dataclass(frozen=True)
class CheckContract:
    """One CHECK constraint; `name` is None where the server chooses it."""

    name: str | None
    condition: str
    """As `canonical_condition` spells it."""

    definition: str
    """As it is written in CREATE TABLE."""


@dataclass(frozen=True)
class LiveCheck:
    """One CHECK constraint as the server describes it; one that is not enforced refuses nothing."""

    name: str
    condition: str
    enforced: bool


def canonical_condition(condition: str) -> str:
    """The condition as a tree in text: alike however quotes, character sets and needless parentheses are written."""
    # The root is a parenthesis of its own, so that one around the whole condition is like any other.
    root = exp.Paren(this=sqlglot.parse_one(_CHARACTER_SET.sub("", condition.replace("\\'", "'")), read="mysql"))
    for parenthesis in list(root.this.find_all(exp.Paren)):
        parenthesis.replace(parenthesis.this)
    for name in root.find_all(exp.Identifier):
        name.set("quoted", False)
    return repr(root.this)
