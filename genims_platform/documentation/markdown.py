"""Markdown of generated pages."""

from collections.abc import Iterable, Sequence


def markdown_table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table; bars and line ends inside cells are escaped."""
    return [
        _row(heading),
        _row(["---"] * len(heading)),
        *(_row([cell.replace("|", r"\|").replace("\n", " ") for cell in row]) for row in rows),
    ]


def code(*names: str) -> str:
    """Names in code style, separated by commas."""
    return ", ".join(f"`{name}`" for name in names)


def page(*sections: Iterable[str]) -> str:
    """Sections, each a block of lines, separated by empty lines; empty ones are left out."""
    blocks = ["\n".join(section) for section in sections]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
