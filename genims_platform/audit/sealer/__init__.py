"""Signed checkpoints of the audit trail, kept where nobody who can write to MySQL can change them."""
