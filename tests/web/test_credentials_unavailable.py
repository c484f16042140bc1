"""What a client sees where there are no credentials: it fails at the list, never at the document that was listed."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from support.fakes import START, FakeClock, credentials

from imds.core.callers import Caller
from imds.core.container_tokens import ContainerTokens
from imds.core.errors import Action, CredentialsError
from imds.core.instances import Instance
from imds.core.leases import Leases
from imds.core.limits import RateLimit
from imds.core.matching import Match
from imds.core.policy import Rule
from imds.core.simulation import Simulations
from imds.core.skew import Skew
from imds.core.store import Store
from imds.core.tokens import SessionTokens
from imds.daemon.kept import Kept
from imds.daemon.signing import Signing
from imds.daemon.trees import HostTrees
from imds.web.answer import NOT_FOUND, Answer
from imds.web.container_credentials import ContainerCredentials
from imds.web.guards import Guards
from imds.web.instance_metadata import InstanceMetadata
from imds.web.request import Request
from imds.web.service import Policy, Service
from imds.web.uses import Uses

if TYPE_CHECKING:
    from imds.core.credentials import Credentials

IAM = "/latest/meta-data/iam/"
LIST, EXTENDED_LIST = f"{IAM}security-credentials/", f"{IAM}security-credentials-extended/"
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
CALLER = Caller(address="127.0.0.1", uid=1000, user="alice")


class Site:
    """A service without a socket, and its store."""

    def __init__(self, clock: FakeClock, *, role: str | None = "app") -> None:
        self.clock = clock
        self.store = Store(clock=clock, skew=Skew(clock=clock))
        for name in ("app", "named", "private"):
            self.store.add(name)
        self.tokens = ContainerTokens()
        uses, simulations, leases = Uses(clock=clock), Simulations(), Leases(clock=clock)
        trees = HostTrees(clock=clock, store=self.store, simulations=simulations, signing=Signing(Kept(None)))
        trees.region = "eu-west-1"
        named = frozenset({"named"} | ({role} if role else set()))
        self.service = Service(
            policy=Policy(
                rules=(Rule(match=Match(users=(1000,)), instance="default", text="alice"),),
                instances={"default": Instance(name="default", role=role, roles=named, token_required=False)},
                guards=Guards(),
                rate_limit=RateLimit(None),
                leases=leases,
            ),
            metadata=InstanceMetadata(
                store=self.store, leases=leases, clock=clock, tokens=SessionTokens(bytes(32)), trees=trees, uses=uses
            ),
            containers=ContainerCredentials(
                store=self.store, clock=clock, tokens=self.tokens, leases=leases, uses=uses
            ),
            clock=clock,
            simulations=simulations,
        )

    def get(self, target: str, headers: dict[str, str] | None = None) -> Answer:
        """Return the answer to a GET."""
        return self.service.answer(
            Request(
                method="GET",
                target=target,
                headers=headers or {},
                has_body=False,
                caller=CALLER,
                local_address="127.0.0.1",
            )
        )

    def container(self, role: str = "app") -> Answer:
        """Return the answer at the container endpoint to one who may have ``role``."""
        _, secret = self.tokens.mint(role=role, instance="default", uid=1000, ttl=HOUR, now=self.clock.now())
        return self.get("/v1/credentials", {"Authorization": secret})

    def put(self, role: str, lifetime: timedelta = HOUR) -> Credentials:
        """Let ``role`` have credentials, issued now."""
        given = credentials(now=self.clock.now(), lifetime=lifetime)
        self.store.put(role, given)
        return given

    def fail(self, role: str, action: Action) -> None:
        """Let the last refresh of ``role`` have failed."""
        self.store.fail(role, CredentialsError("AccessDenied", "no", action=action))


@pytest.fixture
def site(clock: FakeClock) -> Site:
    """A service whose default role is ``app``."""
    return Site(clock)


PERMANENT = [Action.DENIED, Action.CONFIG, Action.REAUTHENTICATE]
PASSING = [None, Action.RETRY, Action.CLOCK]


@pytest.mark.parametrize("action", PERMANENT)
def test_until_a_person_acts(site, action):
    """What does not mend itself is 404, which costs clients nothing, and ``iam/`` is as if no role were attached."""
    site.fail("app", action)
    for target in (LIST, LIST.rstrip("/"), EXTENDED_LIST, f"{LIST}app", f"{EXTENDED_LIST}app", IAM, f"{IAM}info"):
        answer = site.get(target)
        assert (answer.status, answer.body) == (404, NOT_FOUND), target
    assert "iam/" not in site.get("/latest/meta-data/").body.decode().split("\n")
    assert site.container().status == 404


@pytest.mark.parametrize("action", PASSING)
def test_for_a_moment(site, action):
    """What mends itself (the first session is on the way, STS is down) is 503 and empty, so that SDKs retry."""
    if action is not None:
        site.fail("app", action)
    for target in (LIST, LIST.rstrip("/"), EXTENDED_LIST, f"{LIST}app", f"{EXTENDED_LIST}app", IAM, f"{IAM}info"):
        answer = site.get(target)
        assert (answer.status, answer.body) == (503, b""), target
    assert "iam/" in site.get("/latest/meta-data/").body.decode().split("\n")
    assert site.container().status == 503
    assert json.loads(site.container().body)["code"] == "CredentialsUninitialized"


@pytest.mark.parametrize("action", [*PERMANENT, Action.RETRY, Action.CLOCK])
def test_the_old_set_is_served_as_long_as_it_lives(site, action):
    """A refresh that fails changes nothing about what is served, and the expiry is the true one."""
    old = site.put("app")
    site.fail("app", action)
    assert site.get(LIST).body == b"app"
    document = json.loads(site.get(f"{LIST}app").body)
    assert document["AccessKeyId"] == old.access_key_id
    assert document["Expiration"] == "2030-01-01T13:00:00Z"


@pytest.mark.parametrize(("action", "status"), [(Action.DENIED, 404), (Action.RETRY, 503)])
async def test_the_list_ends_ten_seconds_before_the_document(site, clock, action, status):
    """Whoever was just told the role's name gets its document; that is served to its true end and no second longer."""
    site.put("app")
    site.fail("app", action)
    seen = []
    for left in (11, 10.001, 10, 9, 1, 0.001, 0, -1):
        await clock.advance(START + HOUR - timedelta(seconds=left) - clock.now())
        seen.append((left, site.get(LIST).status, site.get(f"{LIST}app").status, site.container().status))
    assert seen == [
        (11, 200, 200, 200),
        (10.001, 200, 200, 200),
        (10, status, 200, 200),
        (9, status, 200, 200),
        (1, status, 200, 200),
        (0.001, status, 200, 200),
        (0, status, status, status),
        (-1, status, status, status),
    ]


async def test_the_document_never_fails_while_the_list_succeeds(site, clock):
    """Over a life of failures and successes a listed role has its document: awscrt aborts its process without."""
    for minute in range(240):
        if minute % 90 == 5:
            site.put("app")
        if minute % 7 == 0:
            site.fail("app", [Action.DENIED, Action.RETRY, Action.CLOCK][minute % 3])
        for _ in range(4):
            for listing in (LIST, EXTENDED_LIST):
                if site.get(listing).status == 200:
                    await clock.advance(SECOND)
                    assert site.get(f"{listing}app").status == 200, clock.now()
            await clock.advance(13 * SECOND)


async def test_a_clock_stepped_back_revives_nothing(site, clock):
    """Credentials whose time has really passed stay dead."""
    site.put("app")
    await clock.advance(2 * HOUR)
    await clock.step(-2 * HOUR)
    assert (site.get(LIST).status, site.get(f"{LIST}app").status, site.container().status) == (503, 503, 503)


def test_a_role_by_its_name(site):
    """A role that the instance allows is not listed but answers by name; every other one does not exist."""
    site.put("app")
    named, _ = site.put("named"), site.put("private")
    assert site.get(LIST).body == b"app"
    assert json.loads(site.get(f"{LIST}named").body)["AccessKeyId"] == named.access_key_id
    assert json.loads(site.get(f"{EXTENDED_LIST}named").body)["AccountId"] == "111122223333"
    assert "AccountId" not in json.loads(site.get(f"{LIST}named").body)
    for name in ("private", "nobody", "Named", "named/x"):
        assert site.get(LIST + name).status == 404
        assert site.get(EXTENDED_LIST + name).status == 404


def test_one_role_does_not_touch_another(site):
    """A named role that fails answers like its own list would, and the default one is served."""
    site.put("app")
    site.fail("named", Action.DENIED)
    assert site.get(LIST).body == b"app"
    assert site.get(f"{LIST}named").status == 404
    assert site.get(f"{LIST}app").status == 200


def test_an_instance_without_a_role(clock):
    """With ``role: null`` there is no ``iam/`` at all, and the rest of the tree is there."""
    site = Site(clock, role=None)
    site.put("app")
    for target in (IAM, LIST, EXTENDED_LIST, f"{IAM}info", f"{LIST}app"):
        assert (site.get(target).status, site.get(target).body) == (404, NOT_FOUND), target
    assert "iam/" not in site.get("/latest/meta-data/").body.decode().split("\n")
    assert site.get("/latest/meta-data/placement/region").body == b"eu-west-1"


def test_a_token_of_a_role_that_is_not_allowed_any_more(site):
    """A container token opens nothing once its instance has lost the role."""
    site.put("private")
    assert site.container("private").status == 403


def test_before_the_region_is_known(site):
    """In the first moment what depends on the profile is 503, not missing."""
    site.service._metadata._trees.region = None
    for target in ("/latest/meta-data/", "/latest/meta-data/placement/region", "/latest/dynamic/"):
        assert (site.get(target).status, site.get(target).body) == (503, b""), target
    assert site.get("/").status == 200
