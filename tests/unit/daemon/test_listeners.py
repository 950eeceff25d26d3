"""
Listeners through reloads, over real sockets: what stays keeps its socket, and what fails leaves all as it was.
"""

import http.client
import socket
from collections.abc import Iterator
from contextlib import closing
from http import HTTPStatus

import pytest

from rotator.daemon.http_message import Request, Response, plain
from rotator.daemon.listeners import ADMIN, JWKS, Change, Listeners, Wanted
from rotator.errors import ConfigError
from tests.support.servers.process import free_port


def page(text: str, address: str) -> Wanted:
    """Return an address at which *text* is the answer to everything."""

    def respond(_request: Request) -> Response:
        return plain(HTTPStatus.OK, text)

    return Wanted(address, respond)


def ask(address: str) -> str:
    """Return what an address answers to a new connection."""
    connection = http.client.HTTPConnection(address, timeout=10)
    with closing(connection):
        connection.request("GET", "/")
        return connection.getresponse().read().decode().strip()


@pytest.fixture
def listeners() -> Iterator[Listeners]:
    """Two listeners, of one page each."""
    made = Listeners()
    Change(made, {JWKS: page("jwks", local()), ADMIN: page("admin", local())}).carry_out()
    yield made
    made.close()


def local() -> str:
    """Return a free address."""
    return f"127.0.0.1:{free_port()}"


def wanted(listeners: Listeners, **other: Wanted) -> dict[str, Wanted]:
    """Return what is open, with other pages and with the options in *other* (jwks, admin) at another address."""
    same = {option: page(f"new {option}", listeners.address(option)) for option in (JWKS, ADMIN)}
    return same | {{"jwks": JWKS, "admin": ADMIN}[name]: value for name, value in other.items()}


def test_an_address_that_stays_keeps_its_connections(listeners: Listeners) -> None:
    """The next answer on them is the new one."""
    connection = http.client.HTTPConnection(listeners.address(JWKS), timeout=10)
    with closing(connection):
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"jwks\n"
        before = connection.sock.getsockname()
        Change(listeners, wanted(listeners)).carry_out()
        connection.request("GET", "/")

        assert connection.getresponse().read() == b"new [publish] http\n"
        assert connection.sock.getsockname() == before


def test_another_address_is_bound_beside_the_former(listeners: Listeners) -> None:
    """Which answers until the change is carried out, and is closed then."""
    former, address = listeners.address(ADMIN), local()
    change = Change(listeners, wanted(listeners, admin=page("moved", address)))
    assert ask(former) == "admin"
    change.carry_out()

    assert ask(address) == "moved"
    assert listeners.address(ADMIN) == address
    with pytest.raises(ConnectionRefusedError):
        ask(former)


def test_a_change_that_is_abandoned_leaves_all_as_it_was(listeners: Listeners) -> None:
    """What was bound for it is free again."""
    address = local()
    Change(listeners, wanted(listeners, admin=page("moved", address))).abandon()

    assert (ask(listeners.address(JWKS)), ask(listeners.address(ADMIN))) == ("jwks", "admin")
    with pytest.raises(ConnectionRefusedError):
        ask(address)


@pytest.mark.parametrize("address", ["taken", "192.0.2.1:8472"])
def test_an_address_that_cannot_be_had_changes_nothing(listeners: Listeners, address: str) -> None:
    """Another program has the port, or the address is another machine's; what else was bound is free again."""
    with socket.create_server(("127.0.0.1", 0)) as program:
        address = address.replace("taken", f"127.0.0.1:{program.getsockname()[1]}")
        other = local()
        with pytest.raises(ConfigError, match=r"\[admin\] http: cannot listen on "):
            Change(listeners, wanted(listeners, jwks=page("moved", other), admin=page("moved", address)))

    assert (ask(listeners.address(JWKS)), ask(listeners.address(ADMIN))) == ("jwks", "admin")
    with pytest.raises(ConnectionRefusedError):
        ask(other)


def test_two_options_may_exchange_their_addresses(listeners: Listeners) -> None:
    """Both sockets stay."""
    jwks, admin = listeners.address(JWKS), listeners.address(ADMIN)
    change = Change(listeners, {JWKS: page("jwks", admin), ADMIN: page("admin", jwks)})
    change.make_room()
    change.carry_out()

    assert (ask(admin), ask(jwks)) == ("jwks", "admin")
    assert (listeners.address(JWKS), listeners.address(ADMIN)) == (admin, jwks)


def test_a_listener_that_is_no_longer_wanted_is_closed(listeners: Listeners) -> None:
    """And one that is wanted again is opened."""
    former = listeners.address(JWKS)
    Change(listeners, {ADMIN: page("admin", listeners.address(ADMIN))}).carry_out()
    assert listeners.address(JWKS) == ""
    with pytest.raises(ConnectionRefusedError):
        ask(former)

    Change(listeners, {JWKS: page("again", former), ADMIN: page("admin", listeners.address(ADMIN))}).carry_out()
    assert ask(former) == "again"


def test_a_port_of_our_own_at_another_address_is_bound_when_the_former_is_closed(listeners: Listeners) -> None:
    """From loopback to every interface: both at once cannot be had."""
    port = listeners.address(JWKS).rpartition(":")[2]
    change = Change(listeners, wanted(listeners, jwks=page("everywhere", f"0.0.0.0:{port}")))
    assert ask(f"127.0.0.1:{port}") == "jwks"
    change.make_room()
    change.carry_out()

    assert ask(f"127.0.0.1:{port}") == "everywhere"
    assert listeners.address(JWKS) == f"0.0.0.0:{port}"


def test_a_former_listener_is_opened_again_if_its_port_cannot_be_had(listeners: Listeners) -> None:
    """It answers as before."""
    port = listeners.address(JWKS).rpartition(":")[2]
    change = Change(listeners, wanted(listeners, jwks=page("elsewhere", f"192.0.2.1:{port}")))
    with pytest.raises(ConfigError):
        change.make_room()
    change.abandon()

    assert ask(f"127.0.0.1:{port}") == "jwks"


def refused(listeners: Listeners, **other: Wanted) -> str:
    """Ask for what cannot be had, as a reload does; return the faults."""
    change = Change(listeners, wanted(listeners, **other))
    with pytest.raises(ConfigError) as caught:
        change.make_room()
    change.abandon()
    return "; ".join(caught.value.faults)


@pytest.mark.parametrize("exchanged", [False, True])
def test_all_former_listeners_are_opened_again_if_one_port_cannot_be_had(listeners: Listeners, exchanged: bool) -> None:
    """Those closed for another option, too, whose new port could be had; and a later change finds them good."""
    before = dict(listeners.open)
    mine, other = (listeners.address(option).rpartition(":")[2] for option in (ADMIN, JWKS))
    if exchanged:
        mine, other = other, mine
    refused(listeners, admin=page("moved", f"0.0.0.0:{mine}"), jwks=page("elsewhere", f"192.0.2.1:{other}"))
    assert (ask(listeners.address(JWKS)), ask(listeners.address(ADMIN))) == ("jwks", "admin")
    assert listeners.open == before

    change = Change(listeners, wanted(listeners))
    change.make_room()
    change.carry_out()
    assert ask(listeners.address(JWKS)) == "new [publish] http"
    assert ask(listeners.address(ADMIN)) == "new [admin] http"


def test_a_port_that_the_system_chose_is_opened_again(listeners: Listeners) -> None:
    """That one, and no other that is free."""
    admin = {ADMIN: page("admin", listeners.address(ADMIN))}
    Change(listeners, {JWKS: page("any", "127.0.0.1:0"), **admin}).carry_out()
    address = listeners.address(JWKS)
    refused(listeners, jwks=page("elsewhere", f"192.0.2.1:{address.rpartition(':')[2]}"))

    assert listeners.address(JWKS) == address
    assert ask(address) == "any"


def test_a_listener_that_lost_its_port_is_opened_by_the_next_change(
    listeners: Listeners, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program took it while it was free; the refusal says so."""
    address = listeners.address(JWKS)
    port = int(address.rpartition(":")[2])
    programs: list[socket.socket] = []

    def bind(_change: Change, _option: str) -> None:
        programs.append(socket.create_server(("127.0.0.1", port)))
        raise ConfigError("the first reason")

    with monkeypatch.context() as patched:
        patched.setattr(Change, "_bind", bind)
        faults = refused(listeners, jwks=page("elsewhere", f"0.0.0.0:{port}"))
    assert faults.startswith(f"the first reason; [publish] http: cannot listen on {address}")
    assert listeners.address(JWKS) == ""
    programs[0].close()

    again = {JWKS: page("again", address), ADMIN: page("admin", listeners.address(ADMIN))}
    change = Change(listeners, again)
    change.make_room()
    change.carry_out()
    assert ask(address) == "again"


def test_any_free_port_stays_with_its_option(listeners: Listeners) -> None:
    """The same text in two options names two ports."""
    Change(listeners, {JWKS: page("jwks", "127.0.0.1:0"), ADMIN: page("admin", "127.0.0.1:0")}).carry_out()
    before = listeners.address(JWKS), listeners.address(ADMIN)
    Change(listeners, {JWKS: page("jwks", "127.0.0.1:0"), ADMIN: page("admin", "127.0.0.1:0")}).carry_out()

    assert (listeners.address(JWKS), listeners.address(ADMIN)) == before
    Change(listeners, {ADMIN: page("admin", "127.0.0.1:0")}).carry_out()
    Change(listeners, {JWKS: page("jwks", "127.0.0.1:0"), ADMIN: page("admin", "127.0.0.1:0")}).carry_out()
    assert listeners.address(ADMIN) == before[1]
    assert ask(listeners.address(JWKS)) == "jwks"
