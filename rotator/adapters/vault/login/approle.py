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


@dataclass(frozen=True, slots=True)
class AppRoleLogin:
    """
    The LoginMethod of an AppRole: the files that hold its role_id and secret_id, both read at each login.
    """

    role_id_file: Path
    secret_id_file: Path
    mount: str = "approle"
    repeatable = True

    def log_in(self, call: Call, attempts: LoginAttempts) -> Grant:
        """
        Log in, unless Vault refused these credentials too often or too lately.
        """
        role_id = read_line(self.role_id_file, "vault.role_id_file")
        secret_id = read_line(self.secret_id_file, "vault.secret_id_file")
        where = f"{self.role_id_file} and {self.secret_id_file}"
        credentials = f"{role_id}\n{secret_id}"
        attempts.check(credentials, where)
        answer = cast("Reply", AppRole(call).login(role_id, secret_id, use_token=False, mount_point=self.mount))
        if answer.status in {400, 403}:
            attempts.refused(credentials)
            raise StoreDeniedError(
                f"vault refused the login at auth/{self.mount} ({answer.status}) with {where}: "
                "the secret_id is wrong, expired or used up, or no AppRole is there; put a new secret_id there"
            )
        grant = granted(answer, f"auth/{self.mount}")
        attempts.accepted()
        return grant
