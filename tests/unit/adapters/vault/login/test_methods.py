"""
The ways to log in: what each sends, and what each makes of the answer.
"""

from contextlib import closing
from pathlib import Path

import pytest

from rotator.adapters.clocks import LOCAL_CLOCKS
from rotator.adapters.vault.login.approle import AppRoleLogin
from rotator.adapters.vault.login.attempts import MAX_REFUSALS, LoginAttempts
from rotator.adapters.vault.login.method import Grant, LoginMethod, read_line
from rotator.adapters.vault.login.token import TokenLogin
from rotator.adapters.vault.transport import Call, Transport
from rotator.client.log import StdlibLog
from rotator.errors import StoreDeniedError, StoreUnavailableError
from rotator.model.secret import SecretText
from tests.support.peer import Peer, answer

GRANT = answer(200, {"auth": {"client_token": "hvs.new", "lease_duration": 60, "renewable": True}})


@pytest.fixture(name="approle")
def _approle(tmp_path: Path) -> AppRoleLogin:
    """Return an AppRole whose files are in place."""
    (tmp_path / "role_id").write_text("role\n")
    (tmp_path / "secret_id").write_text("CANARY\n")
    return AppRoleLogin(tmp_path / "role_id", tmp_path / "secret_id")


@pytest.fixture(name="attempts")
def _attempts() -> LoginAttempts:
    """Return a gate that forgets with the process."""
    return LoginAttempts(None, StdlibLog())


def log_in(method: LoginMethod, peer: Peer, attempts: LoginAttempts) -> Grant:
    """Log in at *peer*."""
    with closing(Transport(peer.address)) as transport:
        return method.log_in(Call(transport, None, LOCAL_CLOCKS.monotonic() + 5), attempts)


def test_a_given_token_needs_no_request(attempts: LoginAttempts) -> None:
    """It is returned as it is, its life unknown, and another login would bring no other."""
    method = TokenLogin(SecretText("hvs.given"))
    with Peer(lambda _: answer(500)) as peer:
        assert log_in(method, peer, attempts) == Grant(SecretText("hvs.given"))
    assert peer.requests == []
    assert not method.repeatable


def test_an_approle_sends_both_ids_without_a_token(approle: AppRoleLogin, attempts: LoginAttempts) -> None:
    """To its mount; the grant says how long the token lives."""
    with Peer(lambda _: GRANT) as peer:
        assert log_in(approle, peer, attempts) == Grant(SecretText("hvs.new"), 60, renewable=True)
        (request,) = peer.requests
    assert (request.method, request.path) == ("POST", "/v1/auth/approle/login")
    assert request.json == {"role_id": "role", "secret_id": "CANARY"}
    assert "x-vault-token" not in request.headers
    assert approle.repeatable


@pytest.mark.parametrize("status", [400, 403])
def test_a_refusal_is_counted_and_then_not_tried_again(
    approle: AppRoleLogin, attempts: LoginAttempts, status: int
) -> None:
    """The error names the files, never what is in them; the next login waits without a request."""
    with Peer(lambda _: answer(status, {"errors": ["invalid role or secret ID"]})) as peer:
        for said in ("put a new secret_id there", "the next try is at"):
            with pytest.raises(StoreDeniedError, match=said) as caught:
                log_in(approle, peer, attempts)
            assert "CANARY" not in str(caught.value)
        assert len(peer.requests) == 1 < MAX_REFUSALS


@pytest.mark.parametrize("secret_id", ["hvs.CAESIJ-wrapping", "s.abcdefgh"])
def test_a_wrapping_token_in_place_of_a_secret_id_is_named(
    approle: AppRoleLogin, attempts: LoginAttempts, secret_id: str
) -> None:
    """With the command that unwraps it; the token itself is not shown."""
    assert approle.secret_id_file is not None
    approle.secret_id_file.write_text(secret_id)
    with (
        Peer(lambda _: answer(400, {"errors": ["invalid role or secret ID"]})) as peer,
        pytest.raises(
            StoreDeniedError, match=r"holds a token and no secret_id, .*vault unwrap -field=secret_id"
        ) as caught,
    ):
        log_in(approle, peer, attempts)
    assert secret_id not in str(caught.value)


def test_a_role_without_a_secret_id_sends_none(approle: AppRoleLogin, attempts: LoginAttempts) -> None:
    """No file is read for it; a refusal says what the role may want."""
    login = AppRoleLogin(approle.role_id_file, None)
    with Peer(lambda _: GRANT) as peer:
        log_in(login, peer, attempts)
        assert peer.requests[0].json == {"role_id": "role", "secret_id": ""}
    with (
        Peer(lambda _: answer(400, {"errors": ["invalid role or secret ID"]})) as peer,
        pytest.raises(StoreDeniedError, match="bind_secret_id"),
    ):
        log_in(login, peer, attempts)


@pytest.mark.parametrize("given", [answer(200, {"auth": {}}), answer(200, {"auth": None}), answer(404, {"errors": []})])
def test_an_answer_without_a_token_is_no_refusal(approle: AppRoleLogin, attempts: LoginAttempts, given: bytes) -> None:
    """It proves nothing about the credentials, which are tried again."""
    with Peer(lambda _: given) as peer:
        for _ in range(2):
            with pytest.raises(StoreUnavailableError, match="no token"):
                log_in(approle, peer, attempts)
        assert len(peer.requests) == 2


def test_new_credentials_are_read_at_each_login(approle: AppRoleLogin, attempts: LoginAttempts) -> None:
    """A secret_id that was replaced is tried at once, although the old one was refused."""
    with Peer(lambda request: GRANT if request.json["secret_id"] == "good" else answer(403, {"errors": []})) as peer:
        with pytest.raises(StoreDeniedError):
            log_in(approle, peer, attempts)
        assert approle.secret_id_file is not None
        approle.secret_id_file.write_text("good")
        assert log_in(approle, peer, attempts).token.reveal() == "hvs.new"


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines", b"\xff", b"tab\there"])
def test_a_credential_file_holds_one_line(tmp_path: Path, content: bytes) -> None:
    """Anything else is an error that names the option, and shows nothing of the file."""
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(StoreDeniedError, match=r"^vault\.role_id_file: .*file") as caught:
        read_line(tmp_path / "file", "vault.role_id_file")
    assert "two" not in str(caught.value)
    assert caught.value.__cause__ is None
    with pytest.raises(StoreDeniedError, match="cannot be read"):
        read_line(tmp_path / "missing", "vault.role_id_file")
