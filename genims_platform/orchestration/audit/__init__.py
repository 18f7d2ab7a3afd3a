"""The audit trail in Dagster: its 30 tables as assets, the runs that keep the relay alive, and checks of the trail."""
