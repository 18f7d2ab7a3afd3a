"""The only code that inserts into the audit database: byte layout, hashes, batches and how they are appended."""
