"""Imports run one way, so that a model never depends on Dagster and a reader never on MySQL."""

import ast
from pathlib import Path

import pytest

import genims_platform

PACKAGE = Path(genims_platform.__file__).parent
FORBIDDEN = {
    "settings.py": {"audit", "sources", "mysql", "reporting", "local", "orchestration", "commands", "build"},
    "sources": {"audit", "mysql", "reporting", "local", "orchestration", "commands", "build"},
    "mysql": {"audit", "sources", "reporting", "local", "orchestration", "commands", "build"},
    "reporting": {"audit", "local", "orchestration", "commands", "build"},
    "audit": {"reporting", "local", "orchestration", "commands", "build"},
    "local": {"audit", "mysql", "reporting", "orchestration", "commands", "build"},
    "orchestration": {"local", "commands", "build"},
}


@pytest.mark.parametrize("layer", sorted(FORBIDDEN))
def test_a_layer_imports_only_what_lies_below_it(layer: str) -> None:
    path = PACKAGE / layer
    for file in [path] if path.is_file() else path.rglob("*.py"):
        for module in imported_modules(file):
            package, *rest = module.split(".")
            assert not (package == "genims_platform" and rest and rest[0] in FORBIDDEN[layer]), f"{file}: {module}"
            assert package != "dagster" or layer == "orchestration", f"{file}: {module}"


def test_the_verifier_shares_no_code_with_what_it_verifies() -> None:
    """Another mistake than the writer's is possible, the same one is not: only facts that both must know are shared."""
    allowed = {"audit.verify", "audit.policy", "audit.accounts", "mysql", "settings"}
    for file in (PACKAGE / "audit" / "verify").rglob("*.py"):
        for module in imported_modules(file):
            package, _, rest = module.partition(".")
            if package == "genims_platform":
                assert any(f"{rest}.".startswith(f"{name}.") for name in allowed), f"{file}: {module}"


def imported_modules(file: Path) -> set[str]:
    tree = ast.walk(ast.parse(file.read_text("utf-8")))
    found: set[str] = set()
    for node in tree:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found
