"""
Logging in with AppRole.
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class AppRoleCredentials:
    """
    Where role_id and secret_id stand; both files are read at each login.
    """

    role_id_file: Path
    secret_id_file: Path
    mount: str = "approle"
