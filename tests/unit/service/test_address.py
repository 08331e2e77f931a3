"""Addresses of repositories, as people copy them."""

import pytest

from service.domain.address import parse_address
from service.domain.errors import BadInputError
from service.domain.repository import Forge


@pytest.mark.parametrize(
    ("url", "host", "path"),
    [
        ("https://github.com/acme/blink", "github.com", "acme/blink"),
        ("https://github.com/acme/blink.git", "github.com", "acme/blink"),
        ("https://GitHub.com/acme/blink/", "github.com", "acme/blink"),
        ("https://github.com/acme/blink/tree/main/src", "github.com", "acme/blink"),
        ("https://gitlab.com/acme/fw/blink/-/tree/main", "gitlab.com", "acme/fw/blink"),
        ("http://git.lan:8080/acme/blink", "git.lan:8080", "acme/blink"),
        ("https://GitHub.com:443/acme/blink.git", "github.com", "acme/blink"),
        ("http://git.lan:80/acme/blink", "git.lan", "acme/blink"),
        ("https://git.lan:80/acme/blink", "git.lan:80", "acme/blink"),
        ("http://git.lan:8080/group/sub/blink.git/", "git.lan:8080", "group/sub/blink"),
        ("https://192.168.1.4/blink.git", "192.168.1.4", "blink"),
    ],
)
def test_what_people_copy_is_understood(url: str, host: str, path: str) -> None:
    found = parse_address(url)

    assert (found.host, found.path) == (host, path)
    assert found.clone_url == f"{found.scheme}://{host}/{path}.git"


def test_the_host_tells_the_forge_where_it_is_a_known_one() -> None:
    assert parse_address("https://github.com/a/b").forge is Forge.GITHUB
    assert parse_address("https://gitlab.com/a/b").forge is Forge.GITLAB
    assert parse_address("https://git.lan/a/b").forge is None
    assert parse_address("file:///srv/git/b.git").forge is Forge.LOCAL


def test_name_and_password_are_taken_out_and_shown_nowhere() -> None:
    found = parse_address("https://ada:s%40cret@git.lan/repos/blink.git")

    assert (found.username, found.password) == ("ada", "s@cret")
    assert found.plain_url == "https://git.lan/repos/blink.git"
    assert "cret" not in repr(found) + found.clone_url


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("git@github.com:acme/blink.git", "for SSH addresses give the https one"),
        ("ssh://git@github.com/acme/blink", "for SSH addresses give the https one"),
        ("", "starts with https://"),
        ("acme/blink", "starts with https://"),
        ("https://[::1/a/b", "not an address"),
        ("https://github.com/", "like https://github.com/owner/name"),
        ("https://github.com/acme/-blink", "like https://github.com/owner/name"),
        ("https://github.com/a b/c", "without blanks"),
        ("ext::sh -c id", "without blanks"),
        ("ext::sh", "starts with https://"),
        ("javascript:alert(1)", "starts with https://"),
        ("https://github.com", "like https://github.com/owner/name"),
        ("https:///acme/blink", "like https://github.com/owner/name"),
        ("https://github.com/-x/blink", "like https://github.com/owner/name"),
        ("https://github.com/../blink", "like https://github.com/owner/name"),
        ("https://github.com/acme/bl%0aink", "like https://github.com/owner/name"),
        ("https://-oProxyCommand=x/acme/blink", "like https://github.com/owner/name"),
        ("https://git.lan:99999/a/b", "not an address"),
        ("https://git.lan/a/b?ref=x", "leave out what follows"),
        ("https://git.lan/a/b#x", "leave out what follows"),
        ("https://git.lan\\@evil.example/a/b", "without blanks or backslashes"),
        ("https://git.lan/a/b\n", "without blanks or backslashes"),
        ("file://srv/git/b.git", "file:///its/path.git"),
        ("file:///srv/../etc/b.git", "file:///its/path.git"),
        ("https://git.lan/" + "a" * 500, "at most 500 characters"),
    ],
)
def test_what_is_no_address_is_named(url: str, said: str) -> None:
    with pytest.raises(BadInputError, match=said):
        parse_address(url)
