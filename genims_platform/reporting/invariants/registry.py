"""All equations."""

from genims_platform.reporting.invariants.balances import BALANCES
from genims_platform.reporting.invariants.production import PRODUCTION
from genims_platform.reporting.invariants.results import RESULTS
from genims_platform.reporting.invariants.trade import TRADE

INVARIANTS = (*PRODUCTION, *RESULTS, *BALANCES, *TRADE)
