"""
Recipes for frameworks that sign with a secret and fallbacks: Django and Flask, each in a process of its own.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.recipes import service
from tests.recipes.page import recipe
from tests.recipes.service import Service
from tests.recipes.world import PROPAGATION, SECRET, World, revoke, signer_token
from tests.support.servers.vault import VaultServer
from tests.support.site import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.vault]
# Both services run what the recipe makes of them, and a child of theirs, forked before any rotation.
CHILD = """
import multiprocessing


def _answer(pipe):
    _pipe.close()  # then this child ends with its parent
    while True:
        verb, argument = pipe.recv()
        try:
            pipe.send(globals()[verb](argument))
        except Exception as error:
            pipe.send(error)


_pipe, _other = multiprocessing.Pipe()
multiprocessing.get_context("fork").Process(target=_answer, args=(_other,), daemon=True).start()
_other.close()


def _ask(verb, argument):
    _pipe.send((verb, argument))
    answer = _pipe.recv()
    if isinstance(answer, Exception):
        raise answer
    return answer


def child_verify(token):
    return _ask("verify", token)


def child_secret(argument):
    return _ask("secret", argument)
"""
DJANGO = f"""
import os
import django
from django.core import signing

os.environ["DJANGO_SETTINGS_MODULE"] = "project.settings"
django.setup()
from django.conf import settings


def sign(subject):
    return signing.dumps({{"sub": subject}})


def sign_with(key):
    return signing.TimestampSigner(key=key, fallback_keys=[], salt="django.core.signing").sign_object({{"sub": "alice"}})


def verify(value):
    return signing.loads(value)


def secret(_):
    return settings.SECRET_KEY


def first_secret(_):
    import project.settings

    return project.settings.SECRET_KEY  # what was there before the application was ready

{CHILD}"""
FLASK = f"""
from flask.sessions import SecureCookieSessionInterface


def sign(subject):
    client = app.test_client()
    client.get("/login/" + subject)
    return client.get_cookie("session").value


def sign_with(key):
    other = Flask("other")
    other.secret_key = key
    return SecureCookieSessionInterface().get_signing_serializer(other).dumps({{"name": "alice"}})


def verify(cookie):
    client = app.test_client()
    client.set_cookie("session", cookie)
    name = client.get("/").text
    if name == "nobody":
        raise ValueError(name)
    return {{"sub": name}}


def secret(_):
    return app.config["SECRET_KEY"]


first_secret = secret

{CHILD}"""


def django(folder: Path, environ: Mapping[str, str]) -> AbstractContextManager[Service]:
    """Run a project of the two files on the page."""
    project = folder / "project"
    project.mkdir(parents=True)
    (project / "__init__.py").touch()
    (project / "settings.py").write_text(f'{recipe("django-settings")}\nINSTALLED_APPS = ["project.apps.Keys"]\n')
    (project / "apps.py").write_text(recipe("django-apps"))
    path = service.import_path()["PYTHONPATH"]
    return service.python("", folder, {**environ, "PYTHONPATH": f"{folder}:{path}"}, DJANGO)


class Web:
    """
    A service, with a value that it signed before the next rotation, and one that another instance signed with `next`.
    """

    def __init__(self, web: Service, world: World) -> None:
        self.web, self._world = web, world
        self.sign()

    def sign(self) -> None:
        """
        Sign with the secret that is current, and with the coming one.
        """
        self.value = self.web.get("sign alice")
        self._early = self.web.get(f"sign_with {self._world.document['next']}")

    def require_both(self) -> None:
        """
        Fail unless both verify, in the forked child as well, and a stranger's does not.
        """
        stranger = self.web.get(f"sign_with {SECRET}")
        assert [self.web.accepts(value) for value in (self.value, self._early, stranger)] == [True, True, False]
        assert self.web.get(f"child_verify {self.value}") == "alice"

    def follows(self) -> bool:
        """
        Whether it signs with the secret that is current, and its child would.
        """
        secret = self._world.document["current"]
        return self.web.get("secret x") == secret == self.web.get("child_secret x")

    def forgot(self) -> bool:
        """
        Whether the value is refused, by the child, too.
        """
        return not self.web.accepts(self.value) and self.web.ask(f"child_verify {self.value}").startswith("refused")


def test_django_and_flask(sessions: World, vault_server: VaultServer, tmp_path: Path) -> None:
    """
    What was signed before a rotation verifies after it, without a restart, until it has outlived retention.

    Seen through django.core.signing and Flask's session cookie. Each rotation is noticed in time, in a forked child as
    well. What another instance signs with the coming secret verifies already. An outage changes nothing.
    """
    token = signer_token(sessions, vault_server)
    environ = {"VAULT_ADDR": vault_server.address, "VAULT_TOKEN": token}
    with (
        django(tmp_path / "django", environ) as with_django,
        service.python("flask", tmp_path / "flask", environ, FLASK) as with_flask,
    ):
        webs = [Web(with_django, sessions), Web(with_flask, sessions)]
        for web in webs:
            assert web.web.get("first_secret x") == sessions.document["current"]
        rotate(sessions, webs)
        wait_for(lambda: not sessions.site.keys("sessions", "old"), 15)
        wait_for(lambda: all(web.forgot() for web in webs), PROPAGATION)
        for web in webs:
            web.sign()
        rotate(sessions, webs)
        revoke(vault_server, token)
        for web in webs:
            wait_for(lambda web=web: "not_read" in web.web.log, PROPAGATION)
            web.require_both()
            assert web.web.accepts(web.web.get("sign alice"))


def rotate(world: World, webs: list[Web]) -> None:
    """Rotate; what was signed before verifies all along."""
    for web in webs:
        web.require_both()
    world.rotate()
    wait_for(lambda: all(web.follows() for web in webs), PROPAGATION)
    for web in webs:
        web.require_both()
