"""`genims audit keys`: the key that signs checkpoints, and the store of the keys of persons."""

from contextlib import closing
from dataclasses import asdict

import typer
from rich.markup import escape

from genims_platform.audit.encryption.errors import KeyStoreCorruptError
from genims_platform.audit.encryption.keystore import ensure_key_store
from genims_platform.audit.sealer.errors import SigningKeyError
from genims_platform.audit.sealer.signing import (
    add_public_key,
    new_signing_key,
    read_public_keys,
    signing_key,
)
from genims_platform.commands.audit_seal import rotate
from genims_platform.commands.console import (
    Exit,
    Json,
    console,
    current_settings,
    errors,
    friendly_errors,
    print_json,
)

app = typer.Typer(
    help="Keys of the audit trail: the one that signs checkpoints, and those of persons.", no_args_is_help=True
)
app.command("rotate")(rotate)


@app.callback()
def _group() -> None: ...


@app.command()
def new(as_json: Json = False) -> None:
    """Make the key that signs checkpoints (AUDIT_SIGNING_KEY_FILE) and add its public part to AUDIT_PUBLIC_KEYS_FILE.

    An existing key is never overwritten. Nothing secret is printed. Give the file of public keys to whoever verifies.

    Example: genims audit keys new
    """
    with friendly_errors():
        settings = current_settings()
        if settings.audit_signing_key_file is None:
            raise SigningKeyError("AUDIT_SIGNING_KEY_FILE is not set; it names the file that the key is written to")
        if settings.audit_public_keys_file is None:
            raise SigningKeyError(
                "AUDIT_PUBLIC_KEYS_FILE is not set; it names the file that the public key is added to"
            )
        if settings.audit_public_keys_file.exists():
            read_public_keys(settings.audit_public_keys_file)
        key = new_signing_key(settings.audit_signing_key_file)
        add_public_key(settings.audit_public_keys_file, key.public)
    if as_json:
        print_json({"key_id": key.public.key_id, "public_key": key.public.text})
    else:
        console.print(
            f"key {key.public.key_id} made: {settings.audit_signing_key_file}", highlight=False, soft_wrap=True
        )
        console.print(f"public key added to {settings.audit_public_keys_file}", highlight=False, soft_wrap=True)


@app.command("list")
def list_keys(as_json: Json = False) -> None:
    """Show the public keys that checkpoints are verified with, and which of them signs; exit code 1 if it is not there.

    Example: genims audit keys list --json
    """
    with friendly_errors():
        settings = current_settings()
        if settings.audit_public_keys_file is None:
            raise SigningKeyError("AUDIT_PUBLIC_KEYS_FILE is not set; it names the file of public keys")
        known = read_public_keys(settings.audit_public_keys_file)
        # Whoever verifies has no signing key.
        has_key = settings.audit_signing_key is not None or settings.audit_signing_key_file is not None
        signs = signing_key(settings).public if has_key else None
    if as_json:
        print_json({"keys": [{"key_id": k.key_id, "public_key": k.text, "signs": k == signs} for k in known]})
    else:
        for key in known:
            console.print(
                f"{key.key_id} {key.text}{'  signs' if key == signs else ''}", highlight=False, soft_wrap=True
            )
    if signs is not None and signs not in known:
        errors.print(
            f"[red]missing:[/] {settings.audit_public_keys_file} does not have the key that signs, {signs.key_id}",
            highlight=False,
            soft_wrap=True,
        )
        raise typer.Exit(Exit.FINDINGS)


@app.command()
def store(as_json: Json = False) -> None:
    """Make the store of persons' keys at AUDIT_KEYSTORE_URI unless it exists, and count the keys in it.

    Nothing else makes one: a store that has gone is put back from its backup. Exit code 5 if it is damaged.

    Example: genims audit keys store
    """
    with friendly_errors():
        try:
            opened, made = ensure_key_store(current_settings())
            with closing(opened):
                health = opened.health()
        except KeyStoreCorruptError as error:
            errors.print(f"[red]damaged:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
            raise typer.Exit(Exit.HALTED) from None
    if as_json:
        print_json({"made": made, **asdict(health)})
    else:
        console.print(
            f"{health.location}: {'made, ' if made else ''}{health.living} keys, {health.destroyed} destroyed",
            highlight=False,
            soft_wrap=True,
        )
