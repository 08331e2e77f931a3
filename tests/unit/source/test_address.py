"""Which addresses the fetching container may speak to (row 5), with a resolver that answers what a test says."""

import pytest
from hypothesis import given, strategies as st

from fetcher import address
from fetcher.address import Url, parse, pin, submodule
from fetcher.words import RefusedError, TroubleError

OWN = parse("https://git.example.org/acme/blink.git", "the repository")
LAN = parse("http://git.lan:3000/acme/blink.git", "the repository")


def resolves_to(*found: str) -> address.Resolve:
    return lambda _host, _port: list(found)


def test_an_address_is_canonical() -> None:
    url = parse("https://GIT.example.org:443/acme/blink.git/", "it")

    assert (str(url), url.origin) == ("https://git.example.org/acme/blink.git", "https://git.example.org")
    assert str(LAN) == "http://git.lan:3000/acme/blink.git"
    assert str(parse("https://[2001:DB8::1]:8443/x", "it")) == "https://[2001:db8::1]:8443/x"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "//example.org/x",
        "-oProxyCommand=touch x",
        "--upload-pack=touch",
        "ext::sh -c touch",
        "ssh://git@example.org/x",
        "git@example.org:x.git",
        "git://example.org/x",
        "ftp://example.org/x",
        "file:///etc",
        "FILE:///etc",
        "https://good.example@evil.example/x",
        "https://good.example:pw@evil.example/x",
        "https://evil.example\\@good.example/x",
        "https://good.example%2f@evil.example/x",
        "https://example.org%00.evil.example/x",
        "https:///x",
        "https://example.org/",
        "https://example.org",
        "https://-evil.example/x",
        "https://evil..example/x",
        "https://example.org./x",
        "https://example.org:0/x",
        "https://example.org:65536/x",
        "https://example.org:443:80/x",
        "https://[::1/x",
        "https://[fe80::1%25eth0]/x",
        "https://2130706433/x",
        "https://0177.0.0.1/x",
        "https://0x7f000001/x",
        "https://127.1/x",
        "https://example.org/../x",
        "https://example.org/%2E%2e/x",
        "https://example.org/a%2f..%2fx",
        "https://example.org/a%0ax",
        "https://example.org/a\nx",
        "https://example.org/a\rx",
        "https://exämple.org/x",
        "https://example.org/x?service=git-upload-pack",
        "https://example.org/x#y",
        f"https://example.org/{'x' * 2000}",
    ],
)
def test_an_address_with_a_trick_is_refused(text: str) -> None:
    with pytest.raises(RefusedError, match="the submodule"):
        parse(text, "the submodule")


def test_a_password_in_a_refused_address_is_not_repeated() -> None:
    with pytest.raises(RefusedError) as refused:
        parse("https://user:hunter2@example.org/x", "the submodule")

    assert "hunter2" not in str(refused.value)


@given(st.text(max_size=80))
def test_whatever_is_written_is_an_address_or_refused(text: str) -> None:
    for candidate in (text, f"https://{text}", f"https://example.org/{text}", f"https://{text}@example.org/x"):
        try:
            url = parse(candidate, "it")
        except RefusedError:
            continue
        assert parse(str(url), "it") == url
        assert "@" not in url.authority
        assert url.scheme in {"http", "https"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("../lib.git", "https://git.example.org/acme/lib.git"),
        ("./lib.git", "https://git.example.org/acme/blink.git/lib.git"),
        ("../../other/lib.git", "https://git.example.org/other/lib.git"),
        (".././../lib.git", "https://git.example.org/lib.git"),
        ("https://example.org/lib", "https://example.org/lib"),
    ],
)
def test_a_relative_address_is_taken_from_its_parent(text: str, said: str) -> None:
    assert str(submodule(text, OWN, OWN, "it")) == said


@pytest.mark.parametrize("text", ["../../../x", "../../../../etc", "../../..", "../a/../../x", "../%2e%2e/x"])
def test_a_relative_address_does_not_lead_out(text: str) -> None:
    with pytest.raises(RefusedError):
        submodule(text, OWN, OWN, "it")


def test_http_is_for_the_own_host_of_an_http_repository_alone() -> None:
    assert submodule("http://git.lan:3000/acme/lib", LAN, LAN, "it").scheme == "http"
    for own, text in (
        (OWN, "http://git.example.org/acme/lib"),
        (LAN, "http://git.lan:22/x"),
        (LAN, "http://other.lan:3000/x"),
        (LAN, "http://git.lan/x"),
    ):
        with pytest.raises(RefusedError, match="only https"):
            submodule(text, own, own, "it")


# -- what is behind a name

ALWAYS_REFUSED = [
    "127.0.0.1", "127.255.0.9", "0.0.0.0", "0.1.2.3", "169.254.169.254", "169.254.0.1", "224.0.0.1", "255.255.255.255",
    "240.0.0.1", "::", "::1", "fe80::1", "fe80::1%eth0", "ff02::1", "fd00:ec2::254", "100.100.100.200", "168.63.129.16",
    "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::", "2002:a9fe:a9fe::1", "no address",
]  # fmt: skip
PRIVATE = [
    "10.0.0.1", "172.17.0.1", "192.168.1.1", "100.64.0.1", "192.0.2.1", "198.18.0.1", "fc00::1", "fd12::1",
    "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::",
]  # fmt: skip
PUBLIC = ["140.82.121.4", "8.8.8.8", "2606:50c0:8000::154"]


@pytest.mark.parametrize("found", ALWAYS_REFUSED)
def test_no_name_may_mean_this_machine_a_neighbour_on_the_link_or_a_metadata_service(found: str) -> None:
    for url in (OWN, parse("https://example.org/x", "it")):
        with pytest.raises(RefusedError, match="nothing is fetched from there"):
            pin(url, OWN, resolves_to(found), "it")


@pytest.mark.parametrize("found", PRIVATE)
def test_a_private_address_is_for_the_host_that_the_administrator_named(found: str) -> None:
    assert pin(OWN, OWN, resolves_to(found), "it")
    with pytest.raises(RefusedError, match="a private address"):
        pin(parse("https://example.org/x", "it"), OWN, resolves_to(found), "it")


@pytest.mark.parametrize("found", PUBLIC)
def test_a_public_address_is_pinned(found: str) -> None:
    shown = f"[{found}]" if ":" in found else found
    assert pin(OWN, OWN, resolves_to(found), "it") == f"git.example.org:443:{shown}"


def test_one_bad_address_among_several_is_enough() -> None:
    with pytest.raises(RefusedError, match=r"127\.0\.0\.1"):
        pin(OWN, OWN, resolves_to("140.82.121.4", "127.0.0.1"), "it")


def test_all_addresses_are_pinned_and_the_name_is_asked_for_once() -> None:
    """What a name means a moment later is of no matter: git connects to what was looked at."""
    asked: list[tuple[str, int]] = []

    def rebinding(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return ["140.82.121.4", "2606:50c0:8000::154"] if len(asked) == 1 else ["169.254.169.254"]

    pinned = pin(LAN, LAN, rebinding, "it")

    assert pinned == "git.lan:3000:140.82.121.4,[2606:50c0:8000::154]"
    assert asked == [("git.lan", 3000)]


def test_a_host_that_is_an_address_needs_no_pin_but_is_looked_at_all_the_same() -> None:
    url = Url("https", "10.0.0.1", 443, "/x")

    assert pin(url, url, resolves_to("10.0.0.1"), "it") == ""
    with pytest.raises(RefusedError, match="a private address"):
        pin(url, OWN, resolves_to("10.0.0.1"), "it")


def test_a_name_that_does_not_resolve_is_no_refusal() -> None:
    def fails(host: str, port: int) -> list[str]:
        raise TroubleError(host)

    with pytest.raises(TroubleError):
        pin(OWN, OWN, fails, "it")
