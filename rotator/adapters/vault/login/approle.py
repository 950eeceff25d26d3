"""
Logging in with AppRole.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

from hvac.api.auth_methods import AppRole

from rotator.adapters.vault.login.attempts import LoginAttempts
from rotator.adapters.vault.login.method import Grant, granted, read_line
from rotator.adapters.vault.transport import Call, Reply
from rotator.errors import StoreDeniedError

# Of tokens: service, batch and recovery ones, and those of before Vault 1.10.
TOKEN_PREFIXES = ("hvs.", "hvb.", "hvr.", "s.", "b.", "r.")


@dataclass(frozen=True, slots=True)
class AppRoleLogin:
    """
    The LoginMethod of an AppRole: the files that hold its role_id and secret_id, both read at each login.

    `secret_id_file` is None for a role that takes none (`bind_secret_id=false`).
    """

    role_id_file: Path
    secret_id_file: Path | None
    mount: str = "approle"
    repeatable = True

    def log_in(self, call: Call, attempts: LoginAttempts) -> Grant:
        """
        Log in, unless Vault refused these credentials too often or too lately.
        """
        role_id, secret_id, where = read_line(self.role_id_file, "vault.role_id_file"), "", f"{self.role_id_file}"
        if self.secret_id_file is not None:
            secret_id = read_line(self.secret_id_file, "vault.secret_id_file")
            where = f"{where} and {self.secret_id_file}"
        credentials = f"{role_id}\n{secret_id}"
        attempts.check(credentials, where)
        answer = cast("Reply", AppRole(call).login(role_id, secret_id, use_token=False, mount_point=self.mount))
        if answer.status in {400, 403}:
            attempts.refused(credentials)
            raise StoreDeniedError(
                f"vault refused the login at auth/{self.mount} ({answer.status}) with {where}: {self._why(secret_id)}"
            )
        grant = granted(answer, f"auth/{self.mount}")
        attempts.accepted()
        return grant

    def _why(self, secret_id: str) -> str:
        if self.secret_id_file is None:
            return "the role takes no login without a secret_id (bind_secret_id) from here, or no AppRole is there"
        if secret_id.startswith(TOKEN_PREFIXES):
            return (
                "the latter holds a token and no secret_id, most likely one that wraps it; unwrap it once (`vault unwrap "
                "-field=secret_id TOKEN`) and put there what that prints"
            )
        return "the secret_id is wrong, expired or used up, or no AppRole is there; put a new secret_id there"
