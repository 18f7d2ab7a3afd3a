"""Exchange rates and the chart of accounts."""

import numpy as np
import polars as pl

from genims_platform.local.generate.plan import Plan, identifiers

_RUPEES = {"USD": 83.2, "EUR": 90.5, "GBP": 105.8}
"""Mean price of one unit of each currency, INR."""

_ACCOUNTS = {
    "asset": {
        "1000": "Assets",
        "1110": "Cash",
        "1120": "Bank",
        "1210": "Trade receivables",
        "1310": "Raw material stock",
        "1320": "Work in process",
        "1330": "Finished goods stock",
        "1500": "Plant and machinery",
        "1590": "Accumulated depreciation",
    },
    "liability": {
        "2000": "Liabilities",
        "2110": "Trade payables",
        "2120": "Goods received, not invoiced",
        "2130": "Accrued expenses",
        "2140": "Tax payable",
        "2210": "Long-term loans",
    },
    "equity": {"3000": "Equity", "3110": "Share capital", "3120": "Retained earnings"},
    "revenue": {"4000": "Revenue", "4100": "Product sales", "4110": "Service revenue", "4200": "Other income"},
    "expense": {
        "5000": "Expenses",
        "5110": "Cost of goods sold",
        "5120": "Purchase price variance",
        "5130": "Scrap",
        "5210": "Salaries and wages",
        "5220": "Rent",
        "5230": "Utilities",
        "5240": "Maintenance",
        "5250": "Freight out",
        "5260": "Marketing",
        "5270": "Depreciation",
        "5310": "Interest",
        "5320": "Income tax",
    },
}


def exchange_rates(plan: Plan) -> pl.DataFrame:
    """Weekly spot rates, quoted as the sources do: foreign units per 1 INR, and `inverse_rate` the other way."""
    days = pl.date_range(plan.start.date(), plan.end.date(), "1w", eager=True)
    pairs: list[pl.DataFrame] = []
    for currency, mean in _RUPEES.items():
        walk = plan.rng(f"exchange_rates.{currency}").normal(0, 0.003, len(days)).cumsum().clip(-0.08, 0.08)
        rupees = mean * (1 + walk)
        for inward, spread in ((True, 0.998), (False, 1.002)):
            price = rupees * spread
            rate, inverse = 1 / price, price
            pairs.append(
                pl.DataFrame(
                    {
                        "from_currency": [currency if inward else "INR"] * len(days),
                        "to_currency": ["INR" if inward else currency] * len(days),
                        "effective_date": days,
                        "exchange_rate": rate.round(6),
                        "inverse_rate": inverse.round(6),
                        "rate_type": ["spot"] * len(days),
                    }
                )
            )
    frame = pl.concat(pairs)
    return frame.insert_column(0, identifiers("financial.exchange_rates", len(frame)))


def chart_of_accounts() -> pl.DataFrame:
    """35 accounts; 1110 to 1120 cash and bank, 1210 receivables, 4xxx revenue, 52xx operating expense."""
    rows = [(code, name, kind) for kind, group in _ACCOUNTS.items() for code, name in group.items()]
    codes, names, kinds = zip(*rows, strict=True)
    level = np.array([1 if code.endswith("000") else 2 if code.endswith("00") else 3 for code in codes])
    ids = identifiers("financial.chart_of_accounts", len(rows))
    roots = dict(
        zip(
            (code[0] for code, lvl in zip(codes, level, strict=True) if lvl == 1),
            ids.gather(np.flatnonzero(level == 1)),
            strict=True,
        )
    )
    return pl.DataFrame(
        {
            "account_id": ids,
            "account_code": codes,
            "account_name": names,
            "account_type": kinds,
            "account_level": level,
            "parent_account_id": [None if lvl == 1 else roots[code[0]] for code, lvl in zip(codes, level, strict=True)],
        }
    )
