"""A coherent factory group, generated into the 13 source databases."""
