"""The cipher: its published example, what comes back, and that nothing else is accepted."""

import base64
import pickle
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genims_platform.audit.encryption.cipher import (
    DataKey,
    DecryptionError,
    Place,
    Side,
    SubjectCipher,
    ValueKind,
    decrypt,
    encrypt,
    stored_key_id,
)

SUBJECT = "employee:EMP-000001"
KEY = DataKey("k1", bytes(range(32)))
PLACE = Place("hcm", 1, 99, "annual_salary", "n")
EXAMPLE = "v1.k1.DrpfkeSF_f6umkIt2yTEDkgHm9F3x4dWdkiabX3frdOMjM2knSAKR2pYkiKjp0njrLRFIpXO7_2Aj580"

# The first text that is drawn costs seconds on a busy machine, and no test here is about time.
LENIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
KEYS = st.builds(DataKey, st.from_regex(r"[0-9a-f]{16}\.[1-9]", fullmatch=True), st.binary(min_size=32, max_size=32))
SIDES: st.SearchStrategy[Side] = st.sampled_from(("o", "n"))
KINDS: st.SearchStrategy[ValueKind] = st.sampled_from(("s", "n", "b", "j"))
PLACES = st.builds(Place, TEXTS, st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1), TEXTS, SIDES)


def test_the_published_example() -> None:
    cipher = SubjectCipher({SUBJECT: KEY})
    assert cipher.encrypt(SUBJECT, "hcm", 1, 99, "annual_salary", "n", "n", "1250000.00") == EXAMPLE
    assert cipher.key_id(SUBJECT) == "k1"
    assert decrypt(KEY, SUBJECT, PLACE, EXAMPLE) == ("n", "1250000.00")


@LENIENT
@given(KEYS, TEXTS, PLACES, KINDS, TEXTS)
def test_what_was_encrypted_comes_back(key: DataKey, subject: str, place: Place, kind: ValueKind, text: str) -> None:
    stored = encrypt(key, subject, place, kind, text)

    assert stored == encrypt(key, subject, place, kind, text)
    assert stored_key_id(stored) == key.key_id
    assert decrypt(key, subject, place, stored) == (kind, text)


@LENIENT
@given(KEYS, PLACES, st.data())
def test_a_changed_bit_is_refused(key: DataKey, place: Place, data: st.DataObject) -> None:
    head, _, encoded = encrypt(key, SUBJECT, place, "s", "Müller").rpartition(".")
    sealed = bytearray(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    bit = data.draw(st.integers(0, 8 * len(sealed) - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    changed = f"{head}.{base64.urlsafe_b64encode(sealed).rstrip(b'=').decode()}"
    with pytest.raises(DecryptionError):
        decrypt(key, SUBJECT, place, changed)


@pytest.mark.parametrize(
    "place",
    [
        replace(PLACE, source="mes"),
        replace(PLACE, incarnation=2),
        replace(PLACE, event_id=98),
        replace(PLACE, column="annual_salar"),
        replace(PLACE, side="o"),
    ],
)
def test_a_value_moved_to_another_place_is_refused(place: Place) -> None:
    with pytest.raises(DecryptionError, match="or changed since"):
        decrypt(KEY, SUBJECT, place, EXAMPLE)


def test_another_person_or_key_is_refused() -> None:
    with pytest.raises(DecryptionError):
        decrypt(KEY, "staff:EMP-000001", PLACE, EXAMPLE)
    with pytest.raises(DecryptionError, match="encrypted under key k1, not under k2"):
        decrypt(DataKey("k2", KEY.dek), SUBJECT, PLACE, EXAMPLE)
    with pytest.raises(DecryptionError):
        decrypt(DataKey("k1", bytes(32)), SUBJECT, PLACE, EXAMPLE)


@pytest.mark.parametrize(
    "stored",
    ["", "v1", "v1..", "1250000.00", "v2" + EXAMPLE[2:], EXAMPLE[:-20], EXAMPLE + "=", EXAMPLE + "\n", "v1.k1.ü"],
)
def test_a_text_that_is_no_ciphertext_is_refused(stored: str) -> None:
    with pytest.raises(DecryptionError):
        decrypt(KEY, SUBJECT, PLACE, stored)


def test_lengths_are_hidden_up_to_32_bytes() -> None:
    lengths = {len(encrypt(KEY, SUBJECT, PLACE, "s", "x" * length)) for length in range(31)}
    assert len(lengths) == 1
    assert decrypt(KEY, SUBJECT, PLACE, encrypt(KEY, SUBJECT, PLACE, "s", "\x80\x00\x00")) == ("s", "\x80\x00\x00")


def test_a_key_shows_no_material_and_travels_without_what_is_derived() -> None:
    encrypt(KEY, SUBJECT, PLACE, "s", "x")
    copy = pickle.loads(pickle.dumps(SubjectCipher({SUBJECT: KEY})))  # noqa: S301
    assert copy.encrypt(SUBJECT, "hcm", 1, 99, "annual_salary", "n", "n", "1250000.00") == EXAMPLE
    assert KEY.dek.hex() not in repr(KEY)
    assert repr(KEY.dek) not in repr(KEY)


def test_a_key_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="data key k1: 32 bytes are needed, 16 were given"):
        DataKey("k1", bytes(16))
