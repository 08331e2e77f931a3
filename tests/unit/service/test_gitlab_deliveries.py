"""GitLab's recorded deliveries."""

import pytest

from service.adapters.forges import gitlab
from service.domain.errors import BadSignatureError, MalformedError
from service.domain.event import Event, EventKind
from service.domain.repository import Check
from tests.fakes.door import GUID, NOW, SECRET, gitlab_headers, sample

TAG_OBJECT = b"0123456789abcdef0123456789abcdef01234567"


def decode(body: bytes, event: str = "Push Hook") -> Event:
    return gitlab.decode(gitlab_headers(event), body)


def verify(headers: dict[str, str], secrets: list[str]) -> None:
    gitlab.verify(headers, b"", secrets, check=Check.TOKEN, now=NOW)


def is_taken(headers: dict[str, str], secrets: list[str]) -> bool:
    try:
        verify(headers, secrets)
    except BadSignatureError:
        return False
    return True


def changed(name: str, old: bytes, new: bytes) -> bytes:
    body = sample(f"gitlab/{name}")
    assert old in body
    return body.replace(old, new)


def test_the_token_is_accepted_under_any_of_several_secrets() -> None:
    for secret in ("old", "new"):
        assert is_taken({"X-Gitlab-Token": secret}, ["old", "new"])


def test_a_token_of_other_letters_arrives_as_latin_1() -> None:
    secret = "пароль"

    assert is_taken({"x-gitlab-token": secret.encode().decode("latin-1")}, [secret])


@pytest.mark.parametrize("token", ["", " ", SECRET[:-1], f"{SECRET} ", SECRET.upper(), "é", "Ж", "\ud800", "a" * 9999])
def test_any_other_token_is_refused(token: str) -> None:
    with pytest.raises(BadSignatureError):
        verify({"X-Gitlab-Token": token}, [SECRET])


@pytest.mark.parametrize("secrets", [[], [""]])
@pytest.mark.parametrize("headers", [{}, {"X-Gitlab-Token": ""}, {"X-Gitlab-Token": "x"}])
def test_without_a_secret_nothing_is_authentic(headers: dict[str, str], secrets: list[str]) -> None:
    with pytest.raises(BadSignatureError):
        verify(headers, secrets)


def test_a_branch_is_built() -> None:
    event = decode(sample("gitlab/push"))

    assert event == Event(
        kind=EventKind.PUSH,
        delivery=GUID,
        path="mike/diaspora",
        forge_id="15",
        ref="refs/heads/master",
        commit="da1560886d4f094c3e6c9ef40349f7d38b5d27d7",
        before="95790bf891e76fee5e1747ab589903a6a1f80f22",
        title="fixed readme",
        author="GitLab dev user",
        commits=(
            ("", "2 earlier commits"),
            ("b6568db1bc1dcd7f8b4d5a946b0b91f9dacd7327", "Merge branch 'some-feature' into 'master'"),
            ("da1560886d4f094c3e6c9ef40349f7d38b5d27d7", "fixed readme"),
        ),
    )


def test_a_tag_is_built() -> None:
    event = decode(sample("gitlab/tag_push"), "Tag Push Hook")

    assert (event.kind, event.tag, event.tag_message) == (EventKind.TAG, "v1.0.0", "")


def test_the_message_of_an_annotated_tag_is_kept_without_its_signature() -> None:
    said = b'"message": "Lamps blink.\\n\\n\\u001b[2J- one\\n-----BEGIN PGP SIGNATURE-----\\n\\niQ==\\n", "before"'
    event = decode(changed("tag_push", b'"before"', said), "Tag Push Hook")

    assert event.tag_message == "Lamps blink.\n\n [2J- one"


def test_of_an_annotated_tag_the_commit_is_built() -> None:
    commit = b"82b3d5ae55f7080f1e6022629cdb57bfae7cccc7"
    body = changed("tag_push", b'"after": "' + commit, b'"after": "' + TAG_OBJECT)

    assert decode(body, "Tag Push Hook").commit == commit.decode()


def test_a_tag_of_no_commit_is_ignored() -> None:
    body = changed("tag_push", b'"checkout_sha": "82b3d5ae55f7080f1e6022629cdb57bfae7cccc7"', b'"checkout_sha": null')

    assert decode(body, "Tag Push Hook").kind is EventKind.IGNORED


def test_a_deleted_ref_is_built_no_more() -> None:
    commit = b"da1560886d4f094c3e6c9ef40349f7d38b5d27d7"
    body = changed("push", b'"checkout_sha": "' + commit + b'"', b'"checkout_sha": null')
    event = decode(body.replace(b'"after": "' + commit, b'"after": "' + b"0" * 40))

    assert (event.kind, event.ref, event.commit) == (EventKind.DELETED, "refs/heads/master", "")


def test_a_push_option_may_ask_to_skip() -> None:
    body = changed("push", b'"total_commits_count"', b'"push_options": {"ci": {"skip": true}}, "total_commits_count"')

    assert decode(body).kind is EventKind.IGNORED


def test_other_push_options_change_nothing() -> None:
    for options in (b"null", b"[]", b"{}", b'{"ci": {"skip": false}}', b'{"ci": []}', b'{"mr": {"create": true}}'):
        body = changed("push", b'"total_commits_count"', b'"push_options": ' + options + b', "total_commits_count"')
        assert decode(body).kind is EventKind.PUSH


def test_a_commit_may_ask_to_be_skipped() -> None:
    assert decode(changed("push", b"fixed readme\\n", b"fixed readme [ci skip]")).kind is EventKind.IGNORED


def test_other_events_are_ignored_with_a_reason() -> None:
    event = decode(sample("gitlab/issue"), "Issue Hook")

    assert (event.kind, event.why) == (EventKind.IGNORED, "Kiln does not build on the event Issue Hook")


def test_a_repository_in_a_subgroup_has_its_whole_path() -> None:
    assert decode(changed("push", b"mike/diaspora", b"mike/group/sub/diaspora")).path == "mike/group/sub/diaspora"


def test_a_delivery_without_a_key_is_known_by_its_bytes() -> None:
    headers = gitlab_headers()
    del headers["Idempotency-Key"]
    first, again, other = (
        gitlab.decode(headers, body).delivery
        for body in (sample("gitlab/push"), sample("gitlab/push"), sample("gitlab/tag_push"))
    )

    assert first == again
    assert first != other
    assert first.startswith("sha256:")
    assert gitlab.decode({**headers, "X-Gitlab-Event": "Tag Push Hook"}, sample("gitlab/push")).delivery != first


@pytest.mark.parametrize("event", ["", "Push\nHook", "P" * 65, "Push Hoök", " "])
def test_an_event_has_a_name(event: str) -> None:
    with pytest.raises(MalformedError):
        decode(sample("gitlab/push"), event)


def test_a_push_that_lists_no_commits_has_no_title() -> None:
    body = changed("push", b'"commits"', b'"commits": 5, "other"')

    assert (decode(body).title, decode(body).author) == ("", "")
