"""From one captured event and the policy to the rows that the audit database stores for it: no clock, no database."""
