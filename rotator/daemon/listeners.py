"""
The daemon's listeners through reloads: one whose address stays keeps its socket and its connections.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from rotator.daemon.event_loop import Respond
from rotator.daemon.http_server import HttpServer, parse_address
from rotator.errors import ConfigError

JWKS, ADMIN = "[publish] http", "[admin] http"


@dataclass(slots=True)
class _Open:
    """
    A listener for an *option*, at the address as the option names it, and what answers there.
    """

    option: str
    address: str
    respond: Respond
    listener: HttpServer


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    The address that an option names, and what is to answer there.
    """

    address: str
    respond: Respond


class Listeners:
    """
    The open listeners, by option.
    """

    def __init__(self) -> None:
        self.open: dict[str, _Open] = {}

    def address(self, option: str) -> str:
        """
        Return where the listener of an option can be reached, "" if there is none.
        """
        found = self.open.get(option)
        return found.listener.address if found else ""

    def close(self) -> None:
        """
        Close them all.
        """
        for open_ in self.open.values():
            open_.listener.close()
        self.open = {}


class Change:
    """
    The step from the open *listeners* to those that are *wanted*: new ones are bound beside the others, and wait.

    Then `carry_out`, or `abandon`. Raises ConfigError on construction if an address cannot be had.
    """

    def __init__(self, listeners: Listeners, wanted: Mapping[str, Wanted]) -> None:
        self._listeners = listeners
        self._wanted = wanted
        self._kept = self._find_kept()
        self._leaving = [open_ for open_ in listeners.open.values() if open_ not in self._kept.values()]
        self._bound: dict[str, _Open] = {}
        try:
            for option in wanted.keys() - self._kept.keys():
                if not self._displaced_by(option):
                    self._bound[option] = self._bind(option)
        except ConfigError:
            self.abandon()
            raise

    def make_room(self) -> None:
        """
        Bind what overlaps one of our own listeners, another address with its port, right after closing that one.

        If one cannot be had, every listener that was closed for this is opened again; raises ConfigError.
        """
        closed: dict[str, _Open] = {}
        try:
            for option in sorted(self._wanted.keys() - self._kept.keys() - self._bound.keys()):
                for open_ in self._displaced_by(option):
                    closed[open_.option] = open_
                    open_.listener.close()
                self._bound[option] = self._bind(option)
        except ConfigError as error:
            self.abandon()
            raise ConfigError(*error.faults, *self._open_again(closed)) from error

    def carry_out(self) -> None:
        """
        Answer as wanted everywhere, then close what is not wanted.
        """
        for option, kept in self._kept.items():
            kept.listener.swap(self._wanted[option].respond)
            self._bound[option] = _Open(option, kept.address, self._wanted[option].respond, kept.listener)
        self._listeners.open = self._bound
        for option in self._wanted.keys() - self._kept.keys():
            self._bound[option].listener.start()
        for open_ in self._leaving:
            open_.listener.close()

    def abandon(self) -> None:
        """
        Close what was bound.
        """
        for open_ in self._bound.values():
            open_.listener.close()

    def _find_kept(self) -> dict[str, _Open]:
        """
        Return the open listeners that stay, by the option they will be for: two options may exchange their addresses.
        """
        kept: dict[str, _Open] = {}
        for option, wanted in self._wanted.items():
            for open_ in self._listeners.open.values():
                own = open_.option == option or parse_address(wanted.address, option)[1] != 0
                if open_.address == wanted.address and own:
                    kept[option] = open_
        return kept

    def _open_again(self, closed: Mapping[str, _Open]) -> list[str]:
        """
        Open listeners that were closed, at the ports they had; return why one cannot be, since its port is taken by now.

        That one counts as none from then on, so that the next change binds it.
        """
        faults: list[str] = []
        for option, open_ in closed.items():
            try:
                open_.listener = HttpServer(open_.listener.address, open_.respond, option)
                open_.listener.start()
            except ConfigError as error:
                del self._listeners.open[option]
                faults += [f"{fault}; until a reload it is closed" for fault in error.faults]
        return faults

    def _displaced_by(self, option: str) -> list[_Open]:
        port = parse_address(self._wanted[option].address, option)[1]
        return [open_ for open_ in self._leaving if port and open_.listener.address.endswith(f":{port}")]

    def _bind(self, option: str) -> _Open:
        wanted = self._wanted[option]
        return _Open(option, wanted.address, wanted.respond, HttpServer(wanted.address, wanted.respond, option))
