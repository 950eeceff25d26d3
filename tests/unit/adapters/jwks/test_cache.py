"""
What this process serves: the latest of each keyset, and the combined set only while it is complete.
"""

import dataclasses
import json

import pytest

from rotator.adapters.jwks.cache import JwksCache
from rotator.documents.jwk import EMPTY
from rotator.errors import PublicationError
from rotator.model.policy import max_age
from rotator.model.publication import Jwks
from tests.support.publications import P, jwks, kid, publication


def test_the_cache_withholds_an_incomplete_combined_set() -> None:
    """Every well-known keyset must have come or be known to contribute nothing; never again is it withheld."""
    cache = JwksCache(["api", "web"])
    assert cache.missing() == ("api", "web")
    cache.put(publication("web", 1))
    assert cache.combined() is None
    cache.mark_absent("api")
    combined = cache.combined()
    assert combined is not None
    assert combined.jwks == jwks(1)
    cache.put(publication("gone", 2))
    cache.put(publication("hidden", 3, well_known=False))
    cache.put(publication("secrets"))
    union = cache.combined()
    assert union is not None
    assert union.jwks == jwks(2, 1)
    assert union.max_age == max_age(publication("web", 1).timing)


def test_the_combined_set_lives_as_short_as_its_shortest_member() -> None:
    """A verifier of the slower keyset may cache no longer than one of the faster."""
    cache = JwksCache(["api", "web"])
    cache.put(publication("api", 1, propagation=P))
    cache.put(publication("web", 2, propagation=P / 5))
    combined = cache.combined()
    assert combined is not None
    assert combined.max_age == 5


def test_one_kid_for_two_keys_is_refused_and_takes_nothing_away() -> None:
    """The combined set stays as it last was; one key in two keysets appears once."""
    cache = JwksCache(["api", "web"])
    cache.put(publication("api", 1))
    cache.put(publication("web", 1, 2))
    combined = cache.combined()
    assert combined is not None
    assert combined.jwks == jwks(1, 2)
    clash = json.loads(jwks(3))
    clash["keys"][0]["kid"] = kid(1)
    document = dataclasses.replace(publication("web", 1).document, sequence=2, jwks=Jwks(json.dumps(clash)))
    with pytest.raises(PublicationError, match="well_known = false"):
        cache.put(dataclasses.replace(publication("web", 1), document=document))
    assert cache.combined() == combined


@pytest.mark.parametrize("text", [EMPTY, "", "null", '{"keys":[{"kty":"oct","kid":"a"}]}', '{"keys":[{"kid":"a"}]}'])
def test_the_cache_takes_nothing_unfit(text: str) -> None:
    """An empty set for an asymmetric keyset, no set, a symmetric key, a key without a type."""
    cache, web = JwksCache([]), publication("web", 1)
    with pytest.raises(PublicationError, match="web"):
        cache.put(dataclasses.replace(web, document=dataclasses.replace(web.document, jwks=Jwks(text))))
    assert cache.get("web") is None


def test_a_later_publication_is_never_replaced_by_an_earlier_one() -> None:
    """A slow worker may put an older set last; only another life of the keyset begins at a lower sequence again."""
    cache, later = JwksCache([]), publication("web", 1, 2, sequence=5)
    cache.put(later)
    cache.put(publication("web", 1, sequence=4))
    assert cache.get("web") == later

    anew = publication("web", 3, sequence=1)
    anew = dataclasses.replace(anew, document=dataclasses.replace(anew.document, epoch="another"))
    cache.put(anew)
    assert cache.get("web") == anew


def test_what_was_compared_with_the_store_takes_the_place_of_what_is_remembered() -> None:
    """Whatever sequence the memory claims; and memory never takes the place of what was compared."""
    cache, memory, true = JwksCache(["web"]), publication("web", 9, sequence=10**9), publication("web", 1)
    cache.put(memory, remembered=True)
    assert cache.get("web") == memory
    cache.put(true)
    assert cache.get("web") == true
    cache.put(memory, remembered=True)
    assert cache.get("web") == true


def test_a_memory_that_proved_false_is_withdrawn() -> None:
    """From the combined set too; what was compared with the store stays."""
    cache = JwksCache(["api", "web"])
    cache.put(publication("api", 1))
    cache.put(publication("web", 9), remembered=True)
    cache.withdraw("web")
    assert cache.get("web") is None
    assert cache.combined() is None
    cache.mark_absent("web")
    combined = cache.combined()
    assert combined is not None
    assert combined.jwks == jwks(1)

    cache.withdraw("api")
    assert cache.get("api") is not None


def test_a_dropped_keyset_leaves_the_combined_set() -> None:
    """Nothing waits for it; with the last one the combined set itself is gone."""
    cache = JwksCache(["api", "web"])
    cache.put(publication("api", 1))
    cache.put(publication("web", 2))
    cache.drop("web")
    combined = cache.combined()
    assert combined is not None
    assert combined.jwks == jwks(1)
    assert cache.get("web") is None
    cache.drop("api")
    assert cache.combined() is None
    assert cache.missing() == ()


def cache_of(well_known: list[str], *names: str) -> JwksCache:
    """A cache in which each of *names* was put, with a key of its own."""
    cache = JwksCache(well_known)
    for number, name in enumerate(names, 1):
        cache.put(publication(name, number))
    return cache


def test_another_configuration_serves_at_once_what_was_served() -> None:
    """The former combined set stands until that of the new ones is complete."""
    before = cache_of(["web"], "web", "found")
    cache = JwksCache(["web", "new"])
    cache.take_over(before, ["web", "new"])

    assert cache.get("web") is before.get("web")
    assert cache.missing() == ("new",)
    assert cache.combined() is before.combined()
    cache.put(publication("new", 3))
    combined = cache.combined()
    assert combined is not None
    assert combined.jwks == jwks(2, 3, 1)  # in the order of their names; "found" is to be found again


def test_what_was_put_meanwhile_is_not_replaced_by_what_was_served_before() -> None:
    """It is what the new configuration knows."""
    cache = JwksCache(["web"])
    cache.put(publication("web", 2))
    cache.take_over(cache_of(["web"], "web"), ["web"])

    combined = cache.combined()
    assert combined is not None
    assert combined.jwks == jwks(2)


def test_a_keyset_that_leaves_the_combined_set_is_out_of_it_at_once() -> None:
    """Its own set stays as it is."""
    before = cache_of(["web", "api"], "web", "api")
    cache = JwksCache(["web"])
    cache.take_over(before, ["web", "api"])

    combined, api = cache.combined(), cache.get("api")
    assert combined is not None
    assert api is not None
    assert combined.jwks == jwks(1)
    assert api.document.jwks == jwks(2)


def test_a_combined_set_ends_with_a_configuration_that_has_none() -> None:
    """It would go on to show keys that are retired meanwhile; after a restart it would not be there either."""
    cache = JwksCache([])
    cache.take_over(cache_of(["web"], "web"), ["web"])

    assert cache.combined() is None
    assert not cache.has_combined
