"""Points in time as they are typed; what comes of them is naive UTC."""

from datetime import UTC, datetime

import typer


def instant(text: str) -> datetime:
    """The start of a day or hour; a time without a zone is UTC already."""
    given = _parsed(text, "neither a day (2026-11-22) nor an hour (2026-11-22T13:00)")
    utc = _utc(given)
    if utc != utc.replace(minute=0, second=0, microsecond=0):
        also = f", that is {utc:%H:%M} UTC," if given.tzinfo else ""
        raise typer.BadParameter(f"{text!r}{also} is not the start of an hour; hours are UTC and start at minute 0")
    return utc


def moment(text: str) -> datetime:
    """Any day or time; one without a zone is UTC already."""
    return _utc(_parsed(text, "neither a day (2026-11-22) nor a time (2026-11-22T13:05:30)"))


def _parsed(text: str, otherwise: str) -> datetime:
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        raise typer.BadParameter(f"{text!r} is {otherwise}") from None


def _utc(given: datetime) -> datetime:
    return given.astimezone(UTC).replace(tzinfo=None) if given.tzinfo else given
