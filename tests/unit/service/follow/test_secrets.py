"""Secrets of webhooks and tokens: of their form, sealed, and changed for new ones."""

import datetime

import pytest

from service.adapters.connections import DatabaseConnections
from service.adapters.sealing import Sealer
from service.domain.connection import Connection, ConnectionId, ConnectionKind
from service.domain.errors import BadInputError
from service.domain.repository import Check, Forge
from service.flows import rotate
from tests.unit.service.conftest import NOW
from tests.unit.service.following import TOKEN, Stage


def test_gitlabs_signing_token_is_of_its_form(stage: Stage) -> None:
    whsec = "whsec_" + "A" * 43 + "="

    done = stage.follow("https://gitlab.com/acme/blink", token=TOKEN, signing=True, secret=whsec)

    assert (done.repository.check, done.repository.secret) == (Check.SIGNATURE, whsec)
    with pytest.raises(BadInputError, match="whsec_"):
        stage.follow("https://gitlab.com/acme/other", signing=True, secret="a plain secret, long enough")


def test_plain_git_keeps_its_password_sealed_and_out_of_the_address(stage: Stage) -> None:
    done = stage.follow("http://ada:s3cret@git.lan/repos/lamp.git", forge=Forge.LOCAL, path="acme/lamp")

    assert (done.repository.id, done.repository.url) == ("local/acme/lamp", "http://git.lan/repos/lamp.git")
    connection = stage.parts.connections.get(ConnectionId(done.repository.connection))
    assert (connection.username, connection.token, connection.forge) == ("ada", "s3cret", Forge.LOCAL)


def test_a_new_secret_is_registered_and_the_old_one_taken_for_a_while(stage: Stage) -> None:
    old = stage.follow(token=TOKEN).repository

    rotated = rotate.rotate(old.id, stage.parts, secret="", keep_s=3600).repository

    assert rotated.secret != old.secret
    assert stage.forge.targets[-1].secret == rotated.secret
    assert rotated.secrets(NOW) == (rotated.secret, old.secret)
    assert rotated.secrets(NOW + datetime.timedelta(hours=1)) == (rotated.secret,)
    assert stage.changes == ["changed", "changed"]
    with pytest.raises(BadInputError, match="secret has 16"):
        rotate.rotate(old.id, stage.parts, secret="short", keep_s=0)


def test_an_apps_secret_is_rotated_for_all_of_its_repositories(stage: Stage) -> None:
    app = Connection(
        id=ConnectionId("app"),
        forge=Forge.GITHUB,
        host="github.com",
        kind=ConnectionKind.APP,
        webhook_secret="the old one",
        created_at=NOW,
    )
    stage.parts.connections.add(app)
    with pytest.raises(BadInputError, match="through which a repository is followed"):
        rotate.rotate_app(app.id, stage.parts, keep_s=60)
    stage.forges.seen = app.id
    repository = stage.follow().repository

    rotate.rotate_app(app.id, stage.parts, keep_s=60)

    kept = stage.parts.connections.get(app.id)
    assert (kept.old_webhook_secret, kept.old_webhook_secret_until) == ("the old one", NOW.timestamp() + 60)
    assert kept.webhook_secret not in ("", "the old one")
    with pytest.raises(BadInputError, match="rotate that of the App"):
        rotate.rotate(repository.id, stage.parts, secret="", keep_s=0)


def test_what_is_sealed_opens_for_nobody_else(stage: Stage) -> None:
    stage.follow(token=TOKEN)
    engine = stage.world.repositories._engine
    stranger = DatabaseConnections(engine, Sealer(b"x" * 32))

    (shown,) = stranger.all()
    assert shown.token == ""
    assert "cannot be opened" in shown.note
    with engine.connect() as connection:
        rows = connection.exec_driver_sql("select * from connections").all()
    assert TOKEN not in str(rows)
