"""The independent verifier: recomputes every hash of the audit trail from what is stored, with code of its own.

It imports nothing of the code that writes the trail, so a mistake there is not repeated here.
"""
