"""
What `rotator check` finds of folders and files, and of the addresses in `verify_urls`: judged by the daemon's own code.
"""

import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rotator.cli.exit_codes import Exit, exit_code
from rotator.cli.finding import Finding
from rotator.config.settings import Settings
from rotator.errors import PrivateKeyPublishedError, PublicationError, RotatorError, UnsafePathError
from rotator.model.document import Stored

if TYPE_CHECKING:
    from rotator.adapters.jwks.read_back import Answer
    from rotator.model.publication import Publication

# What an address says as long as nothing is served behind it.
_MAY_COME = re.compile(r" answered (404|50[234])$| Connection refused$| shows no JWKS$")


def folders(settings: Settings) -> Iterator[Finding]:
    """
    Yield what is to be said of the folders that the daemon writes to, and of the JWKS file.
    """
    from rotator.adapters.files.atomic import check_target, safe_directory
    from rotator.adapters.files.folders import closed_folders

    def usable(folder: Path) -> None:
        with safe_directory(folder):
            pass

    if settings.store.backend == "file":
        store = settings.store.path
        yield from _folder("folder", store, [(folder, usable) for folder in (store, *_inside(store))])
    state = settings.daemon.state_dir
    yield from _folder("folder", state, [(state / "keysets", usable)])
    with suppress(OSError):
        try:
            usable(state)
        except UnsafePathError as error:
            said = f"{error}; clock and refused logins are not remembered over a restart, the keysets are"
            yield Finding("folder", said, warn=True)
    if settings.publish.file:
        path = Path(settings.publish.file)
        files = [path.with_name(path.name.replace("{keyset}", name)) for name in _published(settings)]
        yield from _folder("publish.file", path.parent, [(file, check_target) for file in files])
        for closed in closed_folders(path.parent):
            yield Finding(
                "publish.file", f"{closed} cannot be entered by others, a web server for one; chmod 755", warn=True
            )


def _folder(what: str, folder: Path, judged: list[tuple[Path, Callable[[Path], None]]]) -> Iterator[Finding]:
    for path, judge in judged:
        try:
            judge(path)
        except UnsafePathError as error:
            yield Finding(what, str(error), Exit.CONFIG)
            return
        except OSError:
            continue  # it is not there yet, or its folder says below what is wrong
    yield _writable(what, folder)


def _inside(folder: Path) -> list[Path]:
    try:
        return [entry for entry in folder.iterdir() if entry.is_dir()]
    except OSError:
        return []


def _published(settings: Settings) -> list[str]:
    return [name for name, policy in settings.keysets.items() if not policy.algorithm.symmetric]


def _writable(what: str, folder: Path) -> Finding:
    """
    Find whether *folder*, or the nearest one above it that exists and can be seen, is writable for this user.
    """
    existing = folder
    while not os.access(existing, os.F_OK) and existing != existing.parent:
        existing = existing.parent
    if not os.access(existing, os.W_OK | os.X_OK):
        return Finding(what, f"{existing} is not writable for this user; the daemon's user must be able to", warn=True)
    return Finding(what, f"{folder}")


def verify_urls(settings: Settings, documents: Mapping[str, Stored]) -> Iterator[Finding]:
    """
    Yield what is to be said of each address, which is read once.

    *documents* are the signing documents that were found. While a keyset does not exist, its address may be served
    only once the daemon runs: then what it lacks is a warning.
    """
    from rotator.adapters.jwks.http import VerifyUrls

    urls = VerifyUrls(settings.publish.verify_urls)
    shown = [_publication(settings, name, documents.get(name)) for name in _published(settings)]
    concerned = [(url, publication) for publication in shown for url in urls.concerning(publication)]
    answers = _answers({url for url, _ in concerned}, settings.publish.ca_file)
    found = (finding for url, publication in concerned for finding in _judged(url, answers[url], publication))
    yield from dict.fromkeys(found)


def _answers(urls: Collection[str], ca_file: Path | None) -> "Mapping[str, Answer | PublicationError]":
    from concurrent.futures import ThreadPoolExecutor

    from rotator.adapters.jwks.fetches import PER_HOST, TIMEOUT
    from rotator.adapters.jwks.read_back import fetch

    def read(url: str) -> "Answer | PublicationError":
        try:
            return fetch(url, TIMEOUT, ca_file)
        except PublicationError as error:
            return error

    with ThreadPoolExecutor(PER_HOST) as readers:
        return dict(zip(urls, readers.map(read, urls), strict=True))


def _judged(url: str, answer: "Answer | PublicationError", publication: "Publication") -> Iterator[Finding]:
    from rotator.adapters.jwks.read_back import remarks, require_keys
    from rotator.documents.jwk import EMPTY
    from rotator.reconcile.publishing import leak_detail

    name = publication.document.keyset
    try:
        if isinstance(answer, PublicationError):
            raise answer
        served = require_keys(publication, answer.body, url)
    except PrivateKeyPublishedError as error:
        for kid in error.kids:
            yield Finding("verify_urls", leak_detail(name, kid, error), exit_code(error))
    except PublicationError as error:
        if publication.document.jwks != EMPTY or not _MAY_COME.search(str(error)):
            yield Finding("verify_urls", str(error), exit_code(error))
        else:
            later = f"{name} does not exist yet: if the daemon serves this address, start it and check again"
            yield Finding("verify_urls", f"{error} ({later})", warn=True)
    else:
        texts = list(remarks(publication, answer, served, url))
        yield from (Finding("verify_urls", text, warn=True) for text in texts)
        if not texts:
            yield Finding("verify_urls", url)


def _publication(settings: Settings, name: str, stored: Stored | None) -> "Publication":
    """
    Return what is published of a keyset: nothing, if it does not exist yet.
    """
    from rotator.documents.jwk import EMPTY
    from rotator.model.publication import Publication, PublicDocument
    from rotator.reconcile.snapshot import Snapshot

    policy = settings.keysets[name]
    if stored is not None and stored.fields is not None:
        with suppress(RotatorError):  # said of the document itself
            return Snapshot.of(stored, name, policy).publication
    document = PublicDocument(name, "", 0, EMPTY)
    return Publication(document, policy.timing, policy.well_known, symmetric=False)
