"""
What `rotator check` says of addresses, folders and files: the words of the daemon, who meets the same.
"""

import json
import os
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

import pytest

from rotator.documents.jwk import parse_jwks
from tests.support.certificates import certificate
from tests.support.command_line import Answer, CommandLine
from tests.support.peer import Peer, Request, answer
from tests.support.publications import jwks

WEB = "[keysets.web]\n"


def site(folder: Path, *urls: str, keysets: str = WEB, more: str = "") -> CommandLine:
    """Return a command line with these `verify_urls`."""
    rotator = CommandLine(folder, keysets)
    text = rotator.config.read_text().replace('http = ""\n', f'http = ""\nverify_urls = {json.dumps(urls)}\n{more}', 1)
    rotator.config.write_text(text)
    return rotator


def said(told: Answer, what: str) -> list[tuple[str, str]]:
    """Return the marks and texts of findings of one kind."""
    return [(f["result"], f["said"]) for f in json.loads(told.stdout) if f["what"] == what]


def check(rotator: CommandLine, what: str = "verify_urls") -> tuple[int, list[tuple[str, str]]]:
    """Return the exit code of a check, and its findings of one kind."""
    told = rotator.run("check", "--output", "json")
    return told.code, said(told, what)


def alarm(rotator: CommandLine, reason: str = "publication not confirmed") -> str:
    """Return what a pass of the daemon says of it."""
    alarms = json.loads(rotator.run("tick", "--output", "json").stdout)["alarms"]
    (detail,) = [alarm["detail"] for alarm in alarms if alarm["reason"] == reason]
    return str(detail)


def shown(folder: Path) -> str:
    """Return what the daemon published."""
    return (folder / "public" / "jwks.json").read_text()


def test_an_address_that_shows_the_keys_is_good(tmp_path: Path) -> None:
    """Each is read once, however many keysets it concerns."""
    keysets = "[keysets.a]\nwell_known = true\n[keysets.b]\nwell_known = true\n"
    with Peer(lambda _: answer(200, shown(tmp_path))) as peer:
        rotator = site(tmp_path, f"{peer.address}/all.json", f"{peer.address}/{{keyset}}.json", keysets=keysets)
        rotator.run("tick")
        peer.requests.clear()
        code, found = check(rotator)
    assert code == 0
    assert sorted(found) == [("ok", f"{peer.address}/{name}.json") for name in ("a", "all", "b")]
    assert sorted(request.path for request in peer.requests) == ["/a.json", "/all.json", "/b.json"]


WRONG: dict[str, tuple[Callable[[str], bytes], str]] = {
    "404": (lambda _: answer(404), "answered 404"),
    "500": (lambda _: answer(500), "answered 500"),
    "redirect": (lambda _: answer(301, headers={"Location": "/"}), "redirects; name the address it redirects to"),
    "gzip": (lambda text: answer(200, text, headers={"Content-Encoding": "gzip"}), "answers compressed"),
    "HTML": (lambda _: answer(200, "<html>"), "shows no JWKS"),
    "an old set": (lambda _: answer(200, jwks(7)), "does not show kid"),
    "no algorithm": (lambda text: answer(200, text.replace('"alg":"RS256",', "")), "does not say its algorithm"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_an_address_is_said_as_the_daemon_says_it(tmp_path: Path, name: str) -> None:
    """And fails with the code of `tick`."""
    reply, text = WRONG[name]

    def script(_: Request) -> bytes:
        return reply(shown(tmp_path))

    with Peer(script) as peer:
        rotator = site(tmp_path, f"{peer.address}/jwks.json")
        detail = alarm(rotator)
        code, found = check(rotator)
    assert text in detail
    assert (code, found) == (3, [("FAIL", detail)])


def test_a_name_that_is_nowhere_and_a_foreign_authority_fail_even_before_the_first_start(tmp_path: Path) -> None:
    """Starting the daemon does not help there."""
    ca_file, context = certificate(tmp_path, "127.0.0.1")
    with Peer(lambda _: answer(200, jwks(1)), context) as peer:
        rotator = site(tmp_path, "https://jwks.invalid/jwks.json", f"{peer.address}/jwks.json")
        code, found = check(rotator)
        assert code == 3
        assert [mark for mark, _ in found] == ["FAIL"] * 2
        assert any("CERTIFICATE_VERIFY_FAILED" in text for _, text in found)
        assert any(text.startswith("https://jwks.invalid/jwks.json cannot be read: ") for _, text in found)
        rotator = site(tmp_path, f"{peer.address}/jwks.json", more=f'ca_file = "{ca_file}"\n')
        assert check(rotator) == (0, [("ok", f"{peer.address}/jwks.json")])


@pytest.mark.parametrize("status", [404, 502, 503])
def test_before_the_first_start_an_address_may_lack_everything(tmp_path: Path, status: int) -> None:
    """A warning that says what to do; once the keyset exists the same fails."""
    with Peer(lambda _: answer(status)) as peer:
        rotator = site(tmp_path, f"{peer.address}/jwks.json", "http://127.0.0.1:9/jwks.json")
        code, found = check(rotator)
        assert code == 0
        assert [mark for mark, _ in found] == ["warn", "warn"]
        assert all("(web does not exist yet: if the daemon serves this address, start it" in text for _, text in found)
        rotator.run("tick")
        assert check(rotator)[0] == 3


def test_a_cache_that_keeps_keys_for_long_is_a_warning(tmp_path: Path) -> None:
    """P is 2 h: half an hour is the most."""
    age = 1801
    with Peer(lambda _: answer(200, shown(tmp_path), headers={"Cache-Control": f"max-age={age}"})) as peer:
        rotator = site(tmp_path, f"{peer.address}/jwks.json")
        log = rotator.run("tick").stderr
        code, ((mark, text),) = check(rotator)
    assert (code, mark) == (0, "warn")
    assert text.startswith(f"{peer.address}/jwks.json lets caches keep it for 1801 s (max-age), longer than a quarter")
    assert text in log


def test_a_private_key_at_an_address_fails_with_the_way_out(tmp_path: Path) -> None:
    """Word for word as the daemon's alarm; the key itself is nowhere."""
    with Peer(lambda _: answer(200, shown(tmp_path).replace('"use"', '"d":"CANARY","use"'))) as peer:
        rotator = site(tmp_path, f"{peer.address}/jwks.json")
        detail = alarm(rotator, "private key published")
        told = rotator.run("check", "--output", "json")
    (kid,) = parse_jwks(shown(tmp_path))
    assert said(told, "verify_urls") == [("FAIL", detail)]
    assert f"shows the private key of kid {kid}; " in detail
    assert f"`rotator revoke web {kid}`" in detail
    assert "CANARY" not in told.stdout


def test_a_keyset_that_no_address_covers_is_a_warning(tmp_path: Path) -> None:
    """The combined set does not hold it."""
    keysets = "[keysets.web]\nwell_known = true\n[keysets.partner]\nwell_known = false\n"
    with Peer(lambda _: answer(HTTPStatus.NOT_FOUND)) as peer:
        told = site(tmp_path, f"{peer.address}/all.json", keysets=keysets).run("check", "--output", "json")
        every = site(tmp_path, f"{peer.address}/{{keyset}}.json", keysets=keysets).run("check", "--output", "json")
    (text,) = [text for mark, text in said(told, "configuration") if mark == "warn"]
    assert text.startswith("[keysets.partner] is covered by no address in verify_urls")
    assert [text for mark, text in said(every, "configuration") if mark == "warn"] == []


# -- folders and files -------------------------------------------------------------------------------------------------


def folder(path: Path, mode: int) -> Path:
    """Make a folder of that mode."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("mode", [0o2775, 0o2770, 0o777, 0o2777])
@pytest.mark.parametrize("place", ["public", "store", "store/keys", "state/keysets", "state"])
def test_folders_as_kubernetes_makes_them_are_judged_as_the_daemon_does(tmp_path: Path, place: str, mode: int) -> None:
    """`fsGroup` adds our group and setgid; an emptyDir is open to all. What one refuses the other refuses, in its words."""
    rotator = CommandLine(tmp_path)
    rotator.run("tick")
    folder(tmp_path / place, mode)
    if place == "public":
        (tmp_path / "public" / "jwks.json").unlink()
    if place == "state/keysets":
        (tmp_path / "state" / "keysets" / "web.json").unlink()
    told = rotator.run("check", "--output", "json")
    failed = [f["said"] for f in json.loads(told.stdout) if f["result"] == "FAIL"]
    alarms = json.loads(rotator.run("tick", "--output", "json").stdout)["alarms"]

    refused = mode & 0o002 and place != "state"
    assert bool(failed) == bool(refused)
    assert bool(alarms) == bool(refused)
    # What cannot be written is not confirmed, either.
    for alarm_ in (found for found in alarms if found["reason"] != "publication not confirmed"):
        assert any(text in alarm_["detail"] for text in failed), (failed, alarm_)


def test_a_link_in_the_place_of_the_file_fails_as_in_the_daemon(tmp_path: Path) -> None:
    """So does a FIFO."""
    for make in (lambda path: path.symlink_to(tmp_path / "elsewhere"), os.mkfifo):
        rotator = CommandLine(tmp_path, WEB)
        folder(tmp_path / "public", 0o755)
        make(tmp_path / "public" / "jwks.json")
        code, found = check(rotator, "publish.file")
        detail = alarm(rotator, "publisher failed")
        assert code == 78
        assert [text for mark, text in found if mark == "FAIL"] == [
            detail.removeprefix(f"file: {tmp_path}/public/jwks.json: ")
        ]
        (tmp_path / "public" / "jwks.json").unlink()


def test_every_folder_in_the_way_of_a_web_server_is_named(tmp_path: Path) -> None:
    """Not only the last one."""
    folder(tmp_path / "public", 0o755)
    tmp_path.chmod(0o700)
    _, found = check(CommandLine(tmp_path, WEB), "publish.file")
    assert ("warn", f"{tmp_path} cannot be entered by others, a web server for one; chmod 755") in found
    assert not [text for _, text in found if text.startswith(f"{tmp_path}/public cannot")]
