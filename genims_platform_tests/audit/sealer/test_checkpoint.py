"""Checkpoints: the published example, their bytes, the keys, and places where they are written once."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from genims_platform.audit.sealer.checkpoint import Checkpoint, Statement
from genims_platform.audit.sealer.errors import (
    CheckpointDamagedError,
    CheckpointExistsError,
    CheckpointStoreUnavailableError,
    SigningKeyError,
)
from genims_platform.audit.sealer.signing import (
    PublicKey,
    SigningKey,
    add_public_key,
    new_signing_key,
    read_public_keys,
    read_signing_key,
    signing_key,
)
from genims_platform.audit.sealer.worm import CheckpointFolder, checkpoint_place
from genims_platform.settings import SettingsError, load_settings

KEY = SigningKey(bytes(range(32)))
INSTANCE = "3f2b8c1e-0000-4000-8000-000000000001"
FIRST = Statement(
    instance=INSTANCE,
    checkpoint_no=1,
    batch_no=7,
    last_sequence=42,
    batch_hash=bytes.fromhex("ceeb00e18090cc09dc5874e6e58be7a5c0a73f8e16280ac0aaf7d1a9ffb957c9"),
    recorded_at=datetime(2026, 12, 31, 23, 59, 59, 123456),
    issued_at=datetime(2027, 1, 1),
    cursors={"crm": (1, 17, 0), "audit": (1, 3, 0)},
    table_rows={"system_audit_log": 42, "data_change_audit": 61},
    prev_sha256=None,
)


def signed(number: int = 1, before: Checkpoint | None = None, **changes: object) -> Checkpoint:
    prev = before.sha256 if before else None
    said = replace(FIRST, checkpoint_no=number, prev_sha256=prev)
    return Checkpoint.sign(replace(said, **changes), KEY)  # pyright: ignore[reportArgumentType]


def test_the_published_example() -> None:
    body = (
        b'{"batch_hash":"ceeb00e18090cc09dc5874e6e58be7a5c0a73f8e16280ac0aaf7d1a9ffb957c9","batch_no":7,'
        b'"last_sequence":42,"v":1}'
    )
    expected = (
        "f8b051c05754b1885e516f437783ffd62810de1ee8c141a7176b5923aa2324601dc1278c937d1ff936a353f864f9a5c7122ac9a11d78"
        "1acc51530d4ce032bf0c"
    )
    assert KEY.sign(body).hex() == expected
    assert KEY.public.verifies(body, bytes.fromhex(expected))
    assert not KEY.public.verifies(body + b" ", bytes.fromhex(expected))


def test_a_body_is_canonical_json_of_integers_and_texts() -> None:
    checkpoint = signed()
    fields = json.loads(checkpoint.body)
    assert checkpoint.body == json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
    assert fields == {
        "v": 1,
        "origin": "genims-audit",
        "instance": INSTANCE,
        "checkpoint_no": 1,
        "batch_no": 7,
        "last_sequence": 42,
        "batch_hash": FIRST.batch_hash.hex(),
        "recorded_at": "2026-12-31T23:59:59.123456Z",
        "issued_at": "2027-01-01T00:00:00.000000Z",
        "cursors": {"crm": [1, 17, 0], "audit": [1, 3, 0]},
        "table_rows": {"system_audit_log": 42, "data_change_audit": 61},
        "prev_sha256": "",
        "key_id": KEY.public.key_id,
    }
    assert checkpoint.content == checkpoint.body + b"\n" + base64.b64encode(checkpoint.signature) + b"\n"
    assert checkpoint.name == f"checkpoints/{INSTANCE}/2027/01/01/cp-000000000001-b7.json"


@pytest.mark.parametrize("checkpoint", [signed(), signed(2, signed()), signed(new_key=KEY.public)])
def test_what_was_kept_is_read_back(checkpoint: Checkpoint) -> None:
    assert Checkpoint.parse(checkpoint.content, "x") == checkpoint


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}\n\n",
        signed().content[:-1],
        signed().content + b"\n",
        signed().content.replace(b'"v":1', b'"v": 1'),
        signed().content.replace(b'"v":1', b'"v":2'),
        signed().content.replace(b'"cursors":{"audit":[1,3,0]', b'"cursors":{"audit":[1]'),
    ],
)
def test_what_is_no_checkpoint_is_named(content: bytes) -> None:
    with pytest.raises(CheckpointDamagedError, match="place/cp-1"):
        Checkpoint.parse(content, "place/cp-1")


def test_a_rotation_hands_over_to_the_new_key() -> None:
    new = SigningKey(bytes(32))
    rotation = signed(new_key=new.public)
    assert rotation.key_id == KEY.public.key_id
    assert rotation.next_key_id == new.public.key_id
    assert json.loads(rotation.body)["new_public_key"] == new.public.text


def test_a_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    file, public = tmp_path / "keys" / "signing", tmp_path / "public"
    key = new_signing_key(file)

    assert file.stat().st_mode & 0o777 == 0o400
    assert read_signing_key(file).public == key.public
    assert signing_key(load_settings({"audit_signing_key_file": file})).public == key.public
    assert signing_key(load_settings({"audit_signing_key": file.read_text()})).public == key.public
    with pytest.raises(SigningKeyError, match="exists and is not overwritten"):
        new_signing_key(file)
    assert add_public_key(public, key.public)
    assert not add_public_key(public, key.public)
    assert add_public_key(public, KEY.public)
    assert read_public_keys(public) == [key.public, KEY.public]
    assert public.read_text().startswith(f"{key.public.key_id} {key.public.text}  # 20")
    assert file.read_text().strip() not in f"{key!r} {public.read_text()}"


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    new_signing_key(tmp_path / "key")
    (tmp_path / "key").chmod(0o440)
    with pytest.raises(SigningKeyError, match="others may read it; mend with: chmod 400"):
        read_signing_key(tmp_path / "key")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "AUDIT_SIGNING_KEY_FILE is not set, nor AUDIT_SIGNING_KEY"),
        ({"audit_signing_key": "hunter2"}, "AUDIT_SIGNING_KEY: holds no key"),
        ({"audit_signing_key_file": "/nowhere/key"}, "No such file or directory; `genims audit keys new` makes it"),
    ],
)
def test_a_key_that_cannot_be_used_is_named_and_not_shown(given: dict[str, object], message: str) -> None:
    with pytest.raises(SigningKeyError) as raised:
        signing_key(load_settings(given))
    assert message in str(raised.value)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("line", ["hunter2", f"0000000000000000 {KEY.public.text}", PublicKey(b"short").text])
def test_a_wrong_line_of_public_keys_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "keys").write_text(f"# pinned\n\n{KEY.public.text} # old\n{line}\n")
    with pytest.raises(SigningKeyError, match="line 4 is no public key"):
        read_public_keys(tmp_path / "keys")


def test_a_place_keeps_checkpoints_as_they_are(tmp_path: Path) -> None:
    place = CheckpointFolder(tmp_path)
    assert place.newest(INSTANCE) is None
    assert list(place.since(INSTANCE, 0)) == []
    first = signed()
    second = signed(2, first, issued_at=datetime(2027, 2, 3), batch_no=9)
    third = signed(3, second, issued_at=datetime(2027, 2, 3, 1), batch_no=10)
    for checkpoint in (first, second, third, third):
        place.write(checkpoint)

    assert place.newest(INSTANCE) == third
    assert list(place.since(INSTANCE, 0)) == [first, second, third]
    assert list(place.since(INSTANCE, 2)) == [third]
    assert list(place.since(INSTANCE, 3)) == []
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert [file.name for file in files] == [
        "cp-000000000001-b7.json",
        "cp-000000000002-b9.json",
        "cp-000000000003-b10.json",
    ]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o444}
    assert place.location(third) == files[2].as_uri()


@pytest.mark.parametrize(
    "other", [signed(last_sequence=43), signed(batch_no=8), signed(issued_at=datetime(2027, 1, 2))]
)
def test_a_number_is_never_given_twice(tmp_path: Path, other: Checkpoint) -> None:
    place = CheckpointFolder(tmp_path)
    place.write(signed())
    with pytest.raises(CheckpointExistsError, match="holds another checkpoint 1 already"):
        place.write(other)
    assert place.newest(INSTANCE) == signed()


def test_a_place_that_is_not_there_is_waited_for(tmp_path: Path) -> None:
    place = CheckpointFolder(tmp_path / "unmounted")
    attempts: list[Callable[[], object]] = [
        lambda: place.write(signed()),
        lambda: place.newest(INSTANCE),
        lambda: place.since(INSTANCE, 0),
    ]
    for attempt in attempts:
        with pytest.raises(CheckpointStoreUnavailableError, match="unmounted: no such folder; is its disk mounted"):
            attempt()


def test_what_was_put_among_checkpoints_is_named(tmp_path: Path) -> None:
    place = CheckpointFolder(tmp_path)
    place.write(signed())
    (original,) = tmp_path.rglob("cp-*")
    forged = original.with_name("cp-000000000009-b7.json")
    forged.write_bytes(original.read_bytes())
    with pytest.raises(CheckpointDamagedError, match=r"cp-000000000009-b7\.json holds .*cp-000000000001-b7\.json"):
        place.newest(INSTANCE)
    forged.write_bytes(b"")
    with pytest.raises(CheckpointDamagedError, match="is no checkpoint; find out who wrote it"):
        place.newest(INSTANCE)
    forged.rename(original.with_name("cp-x.json"))
    with pytest.raises(CheckpointDamagedError, match="is no checkpoint"):
        place.since(INSTANCE, 1)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("az://account/container/prefix", "Azure storage is not supported by this version"),
        ("/var/lib/genims", "expected is file:///folder"),
        ("file://host/folder", "expected is file:///folder"),
        ("file:///", "expected is file:///folder"),
    ],
)
def test_another_kind_of_place_is_refused(uri: str, message: str) -> None:
    with pytest.raises(SettingsError, match=f"AUDIT_WORM_URI='{uri}': {message}"):
        checkpoint_place("AUDIT_WORM_URI", uri)
    assert isinstance(checkpoint_place("AUDIT_WORM_URI", "file:///var/lib/genims%20x"), CheckpointFolder)
