"""What a verification finds, and what it could not look at."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Code = Literal[
    "V1",
    "V2",
    "V3",
    "V4",
    "V5",
    "V6",
    "V7",
    "V8",
    "V9",
    "V10",
    "V11",
    "V12",
    "V13",
    "V14",
    "V15",
    "V16",
    "V19",
    "V20",
    "V21",
    "V22",
    "V23",
]

MANIPULATIONS: Mapping[Code, str] = {
    "V1": "row of the spine edited",
    "V2": "rows of the spine deleted, inserted or reordered",
    "V3": "numbers of events leave a gap or overlap",
    "V4": "events of a source left out: a range does not continue the one before, or lacks a part",
    "V5": "stored row edited",
    "V6": "stored row deleted",
    "V7": "row inserted into an old batch, or outside every batch",
    "V8": "row moved to another year, batch or table",
    "V9": "partition emptied, dropped or exchanged",
    "V10": "newest batches cut off",
    "V11": "chain recomputed and rewritten",
    "V12": "checkpoint missing, changed or skipped; copy in MySQL differs from the original",
    "V13": "checkpoint with a wrong signature or an unknown key",
    "V14": "no checkpoint where the verifier looks, though the trail grew",
    "V15": "schema differs from the published one",
    "V16": "account with other rights than published",
    "V19": "numbers declared void without a record of it, or with rows",
    "V20": "event twice in the ledger, or a number without an event",
    "V21": "rows of an event do not go with its ledger row",
    "V22": "personal value stored in clear",
    "V23": "time runs backwards, or ahead of the checkpoint that covers it",
}
"""What each code stands for."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One break of the trail. `sequence` is the first number that can no longer be relied on.

    Hashes cover batches, so a row that was edited is placed at the first number of its batch, unless what it says about
    itself gives it away.
    """

    code: Code
    batch_no: int | None
    sequence: int | None
    table: str | None
    sentence: str
    evidence: str = ""
    """Names the state of what lies outside MySQL, or the checkpoints that a chain contradicts."""
