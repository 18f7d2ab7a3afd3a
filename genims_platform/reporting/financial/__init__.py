"""Result, cost, budget, cash and assets: one model a file."""
