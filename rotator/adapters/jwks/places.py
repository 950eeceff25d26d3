"""
Every place of a configuration where verifiers find the JWKS, in the order they are written.
"""

from collections.abc import Callable, Iterator

from rotator.adapters.http_client import tls_context
from rotator.adapters.jwks.cache import JwksCache
from rotator.adapters.jwks.fetches import BRIEF, Fetches
from rotator.adapters.jwks.file import FilePublisher
from rotator.adapters.jwks.http import HttpPublisher, VerifyUrls
from rotator.adapters.jwks.store import StorePublisher
from rotator.config.settings import PublishSettings
from rotator.documents.seal import Sealing
from rotator.errors import ConfigError
from rotator.ports.log import Log
from rotator.ports.publisher import JwksPublisher
from rotator.ports.store import DocumentStore


def make_publishers(
    settings: PublishSettings,
    store: DocumentStore,
    seal_of: Callable[[str], Sealing],
    log: Log,
    *,
    cache: JwksCache | None = None,
    own_url: Callable[[], str] | None = None,
    on_result: Callable[[str], object] | None = None,
) -> Iterator[JwksPublisher]:
    """
    Yield the publishers: the store (sealed), the file, the listener at *own_url* (if there is one), then what others serve.

    Without a *cache* (the commands) only the store is written; files and the listener belong to the daemon. With
    *on_result* a read-back waits only briefly for addresses: it is told which keyset has its answers later. Raises
    ConfigError if `[publish] ca_file` cannot be used.
    """
    fetches = _fetches(settings, on_result)
    if settings.vault:
        yield StorePublisher(store, seal_of)
    if cache is not None and settings.file:
        yield FilePublisher(settings.file, cache)
    if cache is not None and own_url is not None:
        yield HttpPublisher(cache, own_url, fetches)
    if settings.verify_urls:
        yield VerifyUrls(settings.verify_urls, fetches, lambda text: log.warning("verify_url", detail=text))


def _fetches(settings: PublishSettings, on_result: Callable[[str], object] | None) -> Fetches:
    if settings.ca_file is not None:
        try:
            tls_context(settings.ca_file)
        except OSError as error:
            detail = error.strerror or type(error).__name__
            raise ConfigError(
                f"[publish] ca_file: {settings.ca_file} cannot be used ({detail}); correct the option"
            ) from None
    if on_result is None:
        return Fetches(ca_file=settings.ca_file)
    return Fetches(ca_file=settings.ca_file, patience=BRIEF, on_result=on_result)
