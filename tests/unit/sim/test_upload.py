"""The layout that an upload must have (pve-http-server AnyEvent.pm; recorded in phase uploads)."""

from __future__ import annotations

import hashlib

import pytest

from pveops.sim.upload import UploadError, find_boundary, parse_upload, take_stream

_DATA = bytes(range(256))


def _field(name: str, value: str) -> bytes:
    head = f'--XX\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
    return f"{head}{value}\r\n".encode()


_HEAD = 'Content-Disposition: form-data; name="filename"; filename="a.iso"'


def _file(head: str = _HEAD) -> bytes:
    return f"--XX\r\n{head}\r\n\r\n".encode() + _DATA + b"\r\n"


_END = b"--XX--\r\n"


def test_fields_then_file_is_the_right_order() -> None:
    body = (
        _field("content", "iso")
        + _field("checksum-algorithm", "md5")
        + _field("checksum", "00")
        + _file()
        + _END
    )
    found = parse_upload("XX", body)
    assert found.size_bytes == len(_DATA)
    assert found.digest("sha256") == hashlib.sha256(_DATA).hexdigest()
    assert found.params == {
        "content": "iso",
        "checksum-algorithm": "md5",
        "checksum": "00",
        "filename": "a.iso",
    }


def test_a_field_after_the_file_is_taken_for_data() -> None:
    found = parse_upload("XX", _file() + _field("content", "iso") + _END)
    assert "content" not in found.params
    assert found.size_bytes > len(_DATA)


def test_a_checksum_before_its_algorithm_ends_in_a_bare_400() -> None:
    body = (
        _field("content", "iso")
        + _field("checksum", "00")
        + _field("checksum-algorithm", "md5")
        + _file()
        + _END
    )
    with pytest.raises(UploadError) as refused:
        parse_upload("XX", body)
    assert (refused.value.status, refused.value.text) == (400, None)


@pytest.mark.parametrize(
    "head",
    [
        'content-disposition: form-data; name="filename"; filename="a.iso"',
        'Content-Type: x/y\r\nContent-Disposition: form-data; name="filename"; filename="a.iso"',
        "Content-Disposition: form-data; name=\"filename\"; filename*=UTF-8''a.iso",
    ],
)
def test_any_other_head_of_the_file_fails(head: str) -> None:
    with pytest.raises(UploadError, match="upload failed at"):
        parse_upload("XX", _field("content", "iso") + _file(head) + _END)


def test_the_field_of_the_file_must_be_named_filename() -> None:
    head = 'Content-Disposition: form-data; name="file"; filename="a.iso"'
    with pytest.raises(UploadError, match="wrong field name 'file' for file upload"):
        parse_upload("XX", _field("content", "iso") + _file(head) + _END)


def test_quotes_belong_to_the_boundary() -> None:
    assert find_boundary('multipart/form-data; boundary="XX"') == '"XX"'
    assert find_boundary("multipart/form-data; boundary=XX") == "XX"
    assert find_boundary("multipart/form-data") is None


@pytest.mark.parametrize("size", [1, 7, 64, 300, 1000])
def test_a_stream_is_measured_as_the_whole_is(size: int) -> None:
    body = _field("content", "iso") + _file() + b"x" * 5 + b"\r\n" + _END
    whole = parse_upload("XX", body)
    start = len(_field("content", "iso") + _file()) - len(_DATA)
    rest = [body[i : i + size] for i in range(start, len(body), size)]
    streamed = take_stream("XX", body[:start], iter(rest))
    assert streamed.params == whole.params
    assert streamed.size_bytes == whole.size_bytes
    assert streamed.digest("sha256") == whole.digest("sha256")


def test_a_stream_without_an_end_is_refused() -> None:
    with pytest.raises(UploadError):
        take_stream("XX", _field("content", "iso") + _file(), iter(()))
