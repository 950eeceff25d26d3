"""
Proof that adapters and fakes satisfy their ports; mypy reads it, nothing runs it.
"""

from rotator.adapters.clocks import LocalClocks
from rotator.adapters.files.clock_memory import ClockFiles
from rotator.adapters.files.last_seen import LastSeenFiles
from rotator.adapters.files.store import FileStore
from rotator.adapters.jwks.cache import JwksCache
from rotator.adapters.jwks.file import FilePublisher
from rotator.adapters.jwks.http import HttpPublisher, VerifyUrls
from rotator.adapters.jwks.store import StorePublisher
from rotator.adapters.keygen import Keygen
from rotator.adapters.redis.notifier import RedisNotifier
from rotator.adapters.vault.login.approle import AppRoleLogin
from rotator.adapters.vault.login.method import LoginMethod
from rotator.adapters.vault.login.token import TokenLogin
from rotator.adapters.vault.probe import VaultProbe
from rotator.adapters.vault.store import VaultStore
from rotator.ports.clock_memory import ClockMemory
from rotator.ports.clocks import Clocks
from rotator.ports.keygen import KeyGenerator
from rotator.ports.last_seen import LastSeenStore
from rotator.ports.notifier import Notifier
from rotator.ports.probe import StoreProbe
from rotator.ports.publication_cache import PublicationCache
from rotator.ports.publisher import JwksPublisher
from rotator.ports.store import ArchiveStore, DocumentStore
from tests.support.fakes import ManualClock, MemoryLastSeen, MemoryNotifier, MemoryPublisher, PooledKeyGenerator
from tests.support.memory_store import MemoryStore

CLOCKS: tuple[type[Clocks], ...] = (LocalClocks, ManualClock)
CLOCK_MEMORIES: tuple[type[ClockMemory], ...] = (ClockFiles,)
STORES: tuple[type[DocumentStore], ...] = (VaultStore, FileStore, MemoryStore)
ARCHIVES: tuple[type[ArchiveStore], ...] = (VaultStore, FileStore, MemoryStore)
LOGIN_METHODS: tuple[type[LoginMethod], ...] = (AppRoleLogin, TokenLogin)
PROBES: tuple[type[StoreProbe], ...] = (VaultProbe,)
PUBLISHERS: tuple[type[JwksPublisher], ...] = (
    StorePublisher,
    FilePublisher,
    HttpPublisher,
    VerifyUrls,
    MemoryPublisher,
)
LAST_SEEN: tuple[type[LastSeenStore], ...] = (LastSeenFiles, MemoryLastSeen)
NOTIFIERS: tuple[type[Notifier], ...] = (RedisNotifier, MemoryNotifier)
KEY_GENERATORS: tuple[type[KeyGenerator], ...] = (Keygen, PooledKeyGenerator)
PUBLICATION_CACHES: tuple[type[PublicationCache], ...] = (JwksCache,)
