"""CRM accounts: the customer behind an account, and the sales representative of a customer or an opportunity."""

import polars as pl

from genims_platform.reporting import kpi


def customers_of_accounts(accounts: pl.LazyFrame) -> pl.LazyFrame:
    """`customer_id` by `account_id`; accounts that belong to no customer, such as prospects, are left out."""
    return _of_customers(accounts).select("account_id", "customer_id")


def account_of_customer(accounts: pl.LazyFrame) -> pl.LazyFrame:
    """`account_id`, `account_tier` and `sales_rep_id` (the account's owner) by `customer_id`.

    Where several accounts belong to a customer, the one with the smallest id counts. No owner is NULL.
    """
    first = _of_customers(accounts).group_by("customer_id").agg(pl.all().sort_by("account_id").first())
    return first.select("customer_id", "account_id", "account_tier", sales_rep_id=kpi.present(pl.col("account_owner")))


def with_sales_rep(opportunities: pl.LazyFrame, accounts: pl.LazyFrame) -> pl.LazyFrame:
    """Opportunities with `sales_rep_id`: their own owner, else that of their account, else `UNKNOWN`."""
    owners = accounts.select("account_id", account_owner=kpi.present(pl.col("account_owner")))
    return (
        opportunities.join(owners.unique("account_id", keep="first"), on="account_id", how="left")
        .with_columns(
            sales_rep_id=kpi.key(pl.coalesce(kpi.present(pl.col("opportunity_owner")), pl.col("account_owner")))
        )
        .drop("account_owner")
    )


def _of_customers(accounts: pl.LazyFrame) -> pl.LazyFrame:
    return accounts.filter(kpi.present(pl.col("customer_id")).is_not_null())
