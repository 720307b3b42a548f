"""The log's records: tolerant of what a later version writes, strict about what is not a record."""

import pytest

from proxy.errors import StoreError
from proxy.store.records import Draft, Head, ManualEntry, Record, RecordKind, changes, fold, is_sound, seal

HEAD = Head(7, 3, b"\x01" * 32)


def record_of(kind: str, payload: bytes) -> Record:
    return Record(7, 4, b"", b"", kind, payload, "ops", 1, None)


def test_entry_travels_and_comes_back():
    entry = ManualEntry(
        "a.example", "suffix", "block", "operator", 8.5, "operator:x", 5, ("scan",), "why", 99
    )
    assert ManualEntry.from_wire(entry.to_wire()) == entry


def test_field_of_a_later_version_is_left_out():
    entry = ManualEntry("a.example", "suffix", "block", "operator", 8.5, "operator:x", 5)
    wire = entry.to_wire()[:-1] + b',"later":1}'
    assert ManualEntry.from_wire(wire) == entry


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("entry_put", b"not json"),
        ("entry_put", b"[]"),
        ("entry_put", b"{}"),
        ("entry_removed", b"not json"),
        ("entry_removed", b"{}"),
        ("entry_removed", b'[["a"]]'),
    ],
)
def test_payload_that_is_not_of_its_kind_is_refused(kind, payload):
    with pytest.raises(StoreError):
        changes(record_of(kind, payload))


def test_record_of_a_later_kind_changes_no_entry():
    """An older program follows a newer log as far as it understands it."""
    assert fold({}, record_of("proposal_made", b"{}")) is False


def test_digest_covers_every_field():
    """Whatever is changed afterwards shows."""
    draft = Draft(RecordKind.ENTRY_PUT, b"{}", "ops", 1, "key")
    digests = {
        seal(head, changed).digest
        for head, changed in [
            (HEAD, draft),
            (HEAD._replace(epoch=8), draft),
            (HEAD._replace(sequence=4), draft),
            (HEAD._replace(digest=bytes(32)), draft),
            (HEAD, Draft(RecordKind.ENTRY_REMOVED, b"{}", "ops", 1, "key")),
            (HEAD, Draft(RecordKind.ENTRY_PUT, b"{ }", "ops", 1, "key")),
            (HEAD, Draft(RecordKind.ENTRY_PUT, b"{}", "other", 1, "key")),
            (HEAD, Draft(RecordKind.ENTRY_PUT, b"{}", "ops", 2, "key")),
            (HEAD, Draft(RecordKind.ENTRY_PUT, b"{}", "ops", 1, "other")),
        ]
    }
    assert len(digests) == 9
    assert is_sound(seal(HEAD, draft))
    assert not is_sound(record_of("no such kind", b"{}"))
