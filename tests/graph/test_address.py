"""Laws of addresses: whatever the arguments are, they stay where the file puts them."""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentctl.errors import ToolError
from agentctl.expressions import compile_text
from agentctl.graph.address import compile_address

HARD = st.text(alphabet="./\\?#&=%@:;[]{}<>\"' +\t\r\n\0aZ09ü🚀", max_size=12)
VALUES = st.one_of(HARD, st.text(max_size=20), st.integers(-(2**63), 2**63 - 1), st.lists(HARD, max_size=3))
ADDRESS = compile_address(
    "https://${{ args.host | default('api') }}.example.org:8443/v1/${{ args.a }}/x-${{ args.b }}/end"
    "?q=${{ args.a }}&${{ args.b }}=1{% for word in args.words %}&w=${{ word }}{% endfor %}"
)


@given(a=VALUES, b=VALUES, words=st.lists(HARD, max_size=3))
def test_no_argument_changes_scheme_host_depth_or_query(a: object, b: object, words: list[str]) -> None:
    names = {"args": {"a": a, "b": b, "words": words}, "env": {}, "run": {}}
    said = compile_text("${{ args.a }}")(names), compile_text("${{ args.b }}")(names)
    if said[0] in ("", ".", ".."):
        with pytest.raises(ToolError):
            ADDRESS(names)
        return
    url = httpx2.URL(ADDRESS(names))
    assert (url.scheme, url.host, url.port, url.userinfo, url.fragment) == (
        "https",
        "api.example.org",
        8443,
        b"",
        "",
    )
    path, _, query = url.raw_path.decode().partition("?")
    assert [unquote(part) for part in path.split("/")] == ["", "v1", said[0], f"x-{said[1]}", "end"]
    found = parse_qsl(query, keep_blank_values=True)
    assert found == [("q", said[0]), (said[1], "1"), *(("w", word) for word in words)]


@given(host=HARD)
def test_a_host_is_what_the_file_says_but_for_one_label(host: str) -> None:
    names = {"args": {"a": "a", "b": "b", "words": [], "host": host}, "env": {}, "run": {}}
    try:
        url = httpx2.URL(ADDRESS(names))
    except ToolError:
        return
    assert url.host == f"{host.lower()}.example.org"
    assert host.isalnum()


@pytest.mark.parametrize(
    ("env", "whole"),
    [
        ("https://example.org/base", "https://example.org/base/x%2Fy"),
        ("http://[::1]:80/a/b", "http://[::1]:80/a/b/x%2Fy"),
        ("HTTPS://user:pass@example.org", "HTTPS://user:pass@example.org/x%2Fy"),
    ],
)
def test_a_variable_may_be_a_whole_beginning(env: str, whole: str) -> None:
    address = compile_address("${{ env.URL }}/${{ args.a }}#part")
    assert address({"env": {"URL": env}, "args": {"a": "x/y"}, "run": {}}) == whole


@pytest.mark.parametrize(
    "env", ["example.org", "file:///etc", "ftp://example.org", "http://", "//example.org", ""]
)
def test_what_is_no_address_is_refused(env: str) -> None:
    with pytest.raises(ToolError, match="no address that begins with http"):
        compile_address("${{ env.URL }}/x")({"env": {"URL": env}, "args": {}, "run": {}})


def test_an_argument_mixed_with_a_variable_is_an_argument() -> None:
    address = compile_address("https://example.org/${{ env.A ~ args.a }}")
    assert address({"env": {"A": "/"}, "args": {"a": "/x"}, "run": {}}) == "https://example.org/%2F%2Fx"
