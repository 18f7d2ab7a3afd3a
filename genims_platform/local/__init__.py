"""Private database servers and a synthetic factory group for a laptop or CI. Nothing here runs in production."""
