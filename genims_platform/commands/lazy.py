"""Commands whose modules are imported when they are called: Dagster takes seconds, and `--help` needs none of it."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group


class LazyCommand(TyperCommand):
    """Stands in the list of commands for `attribute` of a module of this package: a Typer application or a function."""

    def __init__(self, name: str, summary: str, module: str, attribute: str) -> None:
        super().__init__(name, help=summary, callback=None)
        self._module, self._attribute = module, attribute

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """The context of the command itself, which parses and runs what follows its name."""
        return self.load().make_context(info_name, args, parent, **extra)

    def load(self) -> Any:
        """The command itself."""
        found: typer.Typer | Callable[..., None] = getattr(
            import_module(f"{__package__}.{self._module}"), self._attribute
        )
        group = typer.Typer(add_completion=False, callback=lambda: None)
        if isinstance(found, typer.Typer):
            group.add_typer(found, name=self.name)
        else:
            group.command(self.name)(found)
        return get_group(group).commands[str(self.name)]


def lazy_group(commands: Mapping[str, tuple[str, str]]) -> type[TyperGroup]:
    """A group of these commands: name → `module:attribute` in this package and what the command does, in a sentence."""
    lazy = {
        name: LazyCommand(name, summary, *place.split(":", maxsplit=1)) for name, (place, summary) in commands.items()
    }

    class LazyGroup(TyperGroup):
        def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
            return list(lazy)

        def get_command(self, ctx: Any, cmd_name: str) -> LazyCommand | None:  # noqa: ARG002
            return lazy.get(cmd_name)

    return LazyGroup
