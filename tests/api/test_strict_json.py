import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.strict_json import MAX_DEPTH, find_fault


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b" null ",
        b'{"a": [1, 2.5e3, -0, "x", true, null]}',
        b'{"a": {"a": 1}}',
        b'{"text": "caf\\u00e9 \\ud83d\\ude00 \\n"}',
        b"[" * MAX_DEPTH + b"]" * MAX_DEPTH,
        b"[" + b"[],".join([b""] * 100) + b"[]]",
        '{"text": "😀"}'.encode(),
    ],
)
def test_sound_json_has_no_fault(body: bytes) -> None:
    assert find_fault(body) is None


@pytest.mark.parametrize(
    ("body", "told"),
    [
        pytest.param(b"{", "not JSON", id="cut off"),
        pytest.param(b"{} {}", "not JSON", id="two of them"),
        pytest.param(b"{'a': 1}", "not JSON", id="single quotes"),
        pytest.param(b"\xef\xbb\xbf{}", "not JSON", id="byte order mark"),
        pytest.param('{"a": 1}'.encode("utf-16"), "UTF-8", id="UTF-16"),
        pytest.param(b'{"a": "\xff"}', "UTF-8", id="not UTF-8"),
        pytest.param(b'{"a": "\x00"}', "not JSON", id="plain NUL"),
        pytest.param(b'{"a": 1, "a": 1}', "stands twice", id="name twice"),
        pytest.param(b'[{"b": {"a": 1, "\\u0061": 2}}]', "stands twice", id="name twice inside"),
        pytest.param(b"NaN", "NaN", id="NaN"),
        pytest.param(b'{"a": -Infinity}', "-Infinity", id="infinity"),
        pytest.param(b'{"a": 1e999}', "too large", id="1e999"),
        pytest.param(b"9" * 60_000, "too large", id="60,000 digits"),
        pytest.param(b'["\\u0000"]', "NUL", id="NUL"),
        pytest.param(b'{"\\u0000": 1}', "NUL", id="NUL in a name"),
        pytest.param(b'[[{"a": "\\ud800"}]]', "half a character", id="half a character"),
        pytest.param(b"[" * 60_000, "deeper", id="60,000 levels, open"),
        pytest.param(b"[" * 30_000 + b"]" * 30_000, "deeper", id="30,000 levels"),
        pytest.param(b'{"a":' * 5_000 + b"1" + b"}" * 5_000, "deeper", id="5,000 objects"),
        pytest.param(
            b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "deeper", id="a level too deep"
        ),
    ],
)
def test_fault_is_told(body: bytes, told: str) -> None:
    assert told in (find_fault(body) or "")


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**63)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])),
        lambda parts: st.lists(parts) | st.dictionaries(st.text("abc"), parts),
        max_leaves=20,
    )
)
def test_whatever_python_writes_is_sound(value: object) -> None:
    assert find_fault(json.dumps(value).encode()) is None


@given(st.binary(max_size=200))
def test_no_bytes_break_the_check(body: bytes) -> None:
    found = find_fault(body)

    assert found is None or found.startswith("The body ")
