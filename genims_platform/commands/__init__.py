"""The `genims` commands, one module a group: they parse, show progress, print, and leave the work to the packages."""
