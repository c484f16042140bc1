"""Who may have what."""

from __future__ import annotations

import re
from dataclasses import replace
from fnmatch import translate
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imds.core.callers import Caller, Container, Fact, Place, Process, Program
from imds.core.matching import ContainerMatch, Match, units_of
from imds.core.policy import Decision, Rule, decide

ALICE = Caller(address="127.0.0.1", uid=1000, user="alice", groups=("alice", "docker"))
NOBODY_KNOWS = Caller(address="127.0.0.1")
ELSEWHERE = Caller(address="10.0.0.7", place=Place.ELSEWHERE)
WEB = Container(
    id="c" * 64, name="web-1", image="nginx:1", labels=(("com.docker.compose.project", "shop"), ("imds", "agent"))
)


def rule(*users: int | str, instance: str | None = "default", refuse: str | None = None, **parts: object) -> Rule:
    """Return a rule."""
    return Rule(match=Match(users=users, **parts), instance=instance, refuse=refuse, text=f"user: {list(users)}")


def program(exe: str | None, command: str | None = None, *, pid: int = 7, script: str | None = None) -> Program:
    """Return a program; its command is the executable's name unless told otherwise."""
    return Program(pid=pid, exe=exe, command=command or (exe or "x").rpartition("/")[2][:15], script=script)


def known(caller: Caller, *lineage: Program, cgroup: str | None = "/user.slice", **more: object) -> Caller:
    """Return a caller that has been looked up."""
    facts = {"container": None, "in_container": False} | more
    process = Process(program=lineage[0], ancestors=lineage[1:]) if lineage else None
    return caller.with_facts(cgroup=cgroup, process=process, **facts)


def test_the_first_rule_that_matches_decides() -> None:
    """Rules are read from the top; the decision names the rule."""
    decision = decide(ALICE, (rule("bob"), rule("al*", instance="one"), rule(1000, instance="two")))
    assert decision == Decision(instance="one", because="rule 2 (user: ['al*'])", rule=2)


def test_without_a_match_nothing_is_given() -> None:
    """No rules, or none that matches, is a refusal."""
    assert decide(ALICE, ()) == Decision(instance=None, because="no rule matches")
    assert decide(ALICE, (rule("bob"), rule(1001))).because == "no rule matches"


def test_a_refusal_gives_its_reason() -> None:
    """A rule that refuses ends the search, and its reason is in the explanation."""
    decision = decide(ALICE, (rule("alice", instance=None, refuse="not on this machine"), rule("alice")))
    assert decision.instance is None
    assert decision.because.endswith(": not on this machine")


def test_the_unknown_never_widens() -> None:
    """Who is not known to be meant is refused, unless every outcome that remains is the same."""
    decision = decide(NOBODY_KNOWS, (rule("bob"), rule("*", instance="other")))
    assert decision.instance is None
    assert "not known" in decision.because
    assert decide(NOBODY_KNOWS, (rule("bob"), rule("*"))).instance is None, "it may be nobody's"
    anyone = Match(networks=(ip_network("0.0.0.0/0"),))
    rules = (rule("bob"), Rule(match=anyone, instance="default", text="anyone"))
    assert decide(NOBODY_KNOWS, rules).instance == "default", "bob or not, it is the same"
    assert decide(Caller(address="127.0.0.1", uid=0, user="root"), (rule(0),)).instance == "default"


def test_who_is_elsewhere_is_no_user_of_this_host() -> None:
    """A neighbour or a container is not "unknown" to a rule of users: it is none of them, so later rules count."""
    network = Rule(match=Match(networks=(ip_network("10.0.0.0/8"),)), instance="net", text="network")
    assert decide(ELSEWHERE, (rule("*"), rule("alice"), network)).instance == "net"
    assert decide(ELSEWHERE, (rule("*"),)) == Decision(instance=None, because="no rule matches")
    ancestor = Rule(match=Match(ancestors=("claude",)), instance="agent", text="ancestor")
    assert decide(ELSEWHERE, (ancestor, network)).instance == "net"


def test_a_user_without_a_name_matches_by_number_only() -> None:
    """No name pattern but ``*`` means a uid without an entry."""
    unnamed = Caller(address="127.0.0.1", uid=4711, groups=())
    assert decide(unnamed, (rule("?*"),)).instance is None
    assert decide(unnamed, (rule(4711),)).instance == "default"
    assert decide(unnamed, (rule("4711"),)).instance is None


ANY_CONTAINER = ContainerMatch(names=("*",))
INSIDE = replace(
    known(ELSEWHERE, program("/usr/bin/terraform"), container=WEB, in_container=True, cgroup=f"/docker/{'c' * 64}"),
    container_uid=1000,
)
OWN = "/user.slice/user-1000.slice/user@1000.service"

CASES = [
    # what a rule asks, of whom, the answer
    (Match(users=("Alice",)), ALICE, False),
    (Match(groups=("doc*",)), ALICE, True),
    (Match(groups=("wheel",)), ALICE, False),
    (Match(groups=("wheel",)), NOBODY_KNOWS, None),
    (Match(users=("alice",), groups=("wheel",)), ALICE, False),
    (Match(users=("bob", "alice")), ALICE, True),
    (Match(networks=(ip_network("127.0.0.0/8"),)), ALICE, True),
    (Match(networks=(ip_network("fd00::/8"),)), ALICE, False),
    (Match(networks=(ip_network("10.0.0.0/8"),)), Caller(address="?"), None),
    (Match(listeners=("127.0.0.1:9254",)), Caller(address="127.0.0.1", listener="127.0.0.1:9254"), True),
    (Match(listeners=("127.0.0.1:9254",)), Caller(address="127.0.0.1", listener="169.254.169.254:80"), False),
    # programs
    (Match(exes=("/usr/bin/terraform",)), known(ALICE, program("/usr/bin/terraform")), True),
    (Match(exes=("terraform",)), known(ALICE, program("/usr/bin/terraform")), True),
    (Match(exes=("/usr/*/terraform",)), known(ALICE, program("/usr/bin/terraform")), True),
    (Match(exes=("/bin/terraform",)), known(ALICE, program("/usr/bin/terraform")), False),
    (Match(exes=("terraform",)), known(ALICE, program("/usr/bin/aws"), program("/usr/bin/terraform")), False),
    (Match(exes=("terraform",)), known(ALICE, program(None, "terraform")), None),
    (Match(exes=("terraform",)), known(ALICE), None),
    (Match(exes=("terraform",)), ALICE, None),
    (Match(commands=("aws",)), known(ALICE, program("/usr/bin/python3", "aws")), True),
    (Match(ancestors=("claude",)), known(ALICE, program("/bin/aws"), program("/bin/sh"), program("/x/claude")), True),
    (Match(ancestors=("claude",)), known(ALICE, program("/x/claude")), True),
    (Match(ancestors=("/x/claude",)), known(ALICE, program("/bin/aws"), program("/x/claude")), True),
    (Match(ancestors=("/y/claude",)), known(ALICE, program("/bin/aws"), program("/x/claude")), False),
    (Match(ancestors=("claude",)), known(ALICE, program("/bin/aws"), program(None, "claude")), True),
    (Match(ancestors=("claude",)), known(ALICE, program("/bin/aws"), program(None, "sshd")), False),
    (Match(ancestors=("/x/claude",)), known(ALICE, program("/bin/aws"), program(None, "claude")), None),
    (Match(ancestors=("/x/claude",)), known(ALICE, program("/bin/aws"), program(None, "sshd")), False),
    (Match(ancestors=("a-very-long-name-indeed",)), known(ALICE, program(None, "a-very-long-nam")), True),
    (Match(ancestors=("claude",)), known(ALICE, program("/usr/bin/node", "node", script="claude")), True),
    # control groups
    (Match(cgroups=("/user.slice*",)), known(ALICE, cgroup="/user.slice/x"), True),
    (Match(units=("app-*.scope",)), known(ALICE, cgroup="/user.slice/user-1.slice/app-code-1.scope"), True),
    (Match(units=("app-*.scope",)), known(ALICE, cgroup="/system.slice/cron.service"), False),
    (Match(units=("cron.service",)), known(ALICE, cgroup=None), None),
    # what users name themselves counts where the rule says whose it is
    (Match(units=("deploy.service",)), known(ALICE, cgroup="/system.slice/deploy.service"), True),
    (Match(units=("deploy.service",)), known(ALICE, cgroup=f"{OWN}/app.slice/deploy.service"), None),
    (Match(units=("deploy.service",), own=1000), known(ALICE, cgroup=f"{OWN}/app.slice/deploy.service"), True),
    (Match(units=("deploy.service",), own=1001), known(ALICE, cgroup=f"{OWN}/app.slice/deploy.service"), None),
    (Match(units=("deploy.service",), users=(1000,)), known(ALICE, cgroup=f"{OWN}/deploy.service"), True),
    (Match(units=("deploy.service",), users=(1001,)), known(ALICE, cgroup=f"{OWN}/deploy.service"), False),
    (Match(units=("user@1000.service",)), known(ALICE, cgroup=f"{OWN}/app.slice/x.scope"), True),
    (Match(units=("deploy.service",)), known(ALICE, cgroup=f"/docker/{'a' * 64}/deploy.service"), None),
    (Match(cgroups=("*/x",)), known(ALICE, cgroup=f"{OWN}/x"), None),
    (Match(cgroups=(f"{OWN}/x",)), known(ALICE, cgroup=f"{OWN}/x"), True),
    (Match(cgroups=("/user.slice/*",)), known(ALICE, cgroup=f"{OWN}/x"), True),
    (Match(cgroups=("/system.slice/*",)), known(ALICE, cgroup=f"{OWN}/x"), False),
    # what may be meant is not known to be not meant
    (Match(ancestors=("claude",)), known(ALICE, program("/bin/aws"), program(None, "node")), None),
    (Match(commands=("a-very-long-name-indeed",)), known(ALICE, program("/x", "a-very-long-nam")), True),
    (Match(listeners=(":9254",)), Caller(address="127.0.0.1", listener="127.0.0.1:9254"), True),
    (Match(listeners=(":9254",)), Caller(address="127.0.0.1", listener="127.0.0.1:80"), False),
    # containers
    (Match(container=ContainerMatch(labels=(("imds", "agent"),))), known(ELSEWHERE, container=WEB), True),
    (Match(container=ContainerMatch(labels=(("imds", "other"),))), known(ELSEWHERE, container=WEB), False),
    (Match(container=ContainerMatch(labels=(("none", "*"),))), known(ELSEWHERE, container=WEB), False),
    (Match(container=ContainerMatch(names=("web-*",), images=("nginx*",))), known(ELSEWHERE, container=WEB), True),
    (Match(container=ContainerMatch(projects=("shop",))), known(ELSEWHERE, container=WEB), True),
    (Match(container=ContainerMatch(projects=("sho",))), known(ELSEWHERE, container=WEB), False),
    (Match(container=ContainerMatch(names=("*",))), known(ELSEWHERE), False),
    (Match(container=ContainerMatch(names=("*",))), known(ELSEWHERE, in_container=None), None),
    (Match(container=ContainerMatch(names=("*",))), known(ALICE, in_container=True), None),
    (Match(container=ContainerMatch(names=("*",))), ALICE, None),
    (Match(users=("*",)), known(ELSEWHERE, container=WEB, in_container=True), False),
    # numbers and names in a container count where the rule says which container
    (Match(users=(1000,)), INSIDE, False),
    (Match(exes=("/usr/bin/terraform",)), INSIDE, False),
    (Match(ancestors=("terraform",)), INSIDE, False),
    (Match(users=(1000,), container=ANY_CONTAINER), INSIDE, True),
    (Match(users=("*",), container=ANY_CONTAINER), INSIDE, True),
    (Match(users=(0,), container=ANY_CONTAINER), INSIDE, False),
    (Match(users=("alice",), container=ANY_CONTAINER), INSIDE, None),
    (Match(users=(0, "alice"), container=ANY_CONTAINER), INSIDE, None),
    (Match(users=(1000,), container=ANY_CONTAINER), known(ELSEWHERE, container=WEB), None),
    (Match(groups=("wheel",), container=ANY_CONTAINER), INSIDE, None),
    (Match(groups=("wheel",)), INSIDE, False),
    (Match(exes=("/usr/bin/terraform",), container=ANY_CONTAINER), INSIDE, True),
    (Match(exes=("/usr/bin/aws",), container=ANY_CONTAINER), INSIDE, False),
    (Match(leases=("*",), container=ANY_CONTAINER), INSIDE, False),
    # on the host's network too: a path in there is not this host's, so whose it is is not known
    (Match(exes=("/x/claude",)), known(ALICE, program("/x/claude"), cgroup=f"/docker/{'a' * 64}"), None),
    (Match(commands=("claude",)), known(ALICE, program("/x/claude"), cgroup=f"/docker/{'a' * 64}/x"), None),
    (Match(ancestors=("claude",)), known(ALICE, program("/x/claude"), cgroup=f"/a/docker-{'a' * 64}.scope"), None),
    (Match(exes=("/y/claude",)), known(ALICE, program("/x/claude"), cgroup=f"/docker/{'a' * 64}"), False),
    (Match(exes=("claude",)), known(ALICE, program("/x/claude"), cgroup=f"{OWN}/libpod-{'a' * 64}.scope"), True),
    (Match(users=("alice",)), known(ALICE, container=WEB, in_container=True), True),
]


@pytest.mark.parametrize(("match", "caller", "answer"), CASES, ids=[str(number) for number in range(len(CASES))])
def test_what_a_rule_asks(match: Match, caller: Caller, answer: object) -> None:
    """Yes, no, or not known."""
    assert match.matches(caller) is answer


def test_what_has_not_been_looked_up_is_asked_for() -> None:
    """A decision that more facts could change says so; once they are there it does not, whatever they are."""
    rules = (Rule(match=Match(ancestors=("claude",)), instance="agent", text="a"), rule("alice"))
    assert decide(ALICE, rules) == Decision(
        instance=None,
        because="rule 1 (a) asks for what is not known of it",
        rule=1,
        wants=frozenset({Fact.PROCESS}),
        unknown=True,
    )
    assert decide(known(ALICE, program("/bin/aws")), rules).instance == "default"
    assert decide(known(ALICE, program("/bin/claude")), rules).instance == "agent"
    assert not decide(known(ALICE), rules).wants
    assert not decide(ALICE, (rule("alice"), *rules)).wants, "the first rule decides by what is known at once"


def test_only_what_a_rule_asks_for_is_looked_up() -> None:
    """Names wait for no process and processes for no names; a uid is enough for a rule by number."""
    unnamed = Caller(address="127.0.0.1", uid=1000)
    ancestor = Rule(match=Match(ancestors=("claude",)), instance="agent", text="a")
    group = Rule(match=Match(groups=("wheel",)), instance="admin", text="g")
    assert decide(unnamed, (rule(1000), group)) == Decision(instance="default", because="rule 1 (user: [1000])", rule=1)
    assert decide(unnamed, (rule(1001), rule(1000))).wants == frozenset()
    assert decide(unnamed, (rule("*"), group)).wants == frozenset()
    for asking in (rule("al*"), group):
        assert decide(unnamed, (asking, rule(1000, instance="other"))).wants == {Fact.NAMES}
        assert decide(unnamed, (ancestor, asking)).wants == {Fact.NAMES, Fact.PROCESS}
    assert decide(unnamed, (ancestor, rule(1000))).wants == {Fact.PROCESS}
    assert decide(NOBODY_KNOWS, (ancestor, group, rule(1000))).wants == {Fact.OWNER, Fact.PROCESS}
    named = unnamed.with_names("alice", ("alice",))
    assert decide(named, (ancestor, group, rule(1000))).wants == {Fact.PROCESS}
    assert decide(named, (group, rule(1000))).instance == "default"
    nobody_told = unnamed.with_names(None, None)
    assert decide(nobody_told, (group, rule(1000))) == Decision(
        instance=None, because="rule 1 (g) asks for what is not known of it", rule=1, unknown=True
    )


@pytest.mark.parametrize(
    ("wide", "narrow", "covers"),
    [
        (Match(users=("*",)), Match(users=("alice",)), True),
        (Match(users=("alice",)), Match(users=("alice",), exes=("x",)), True),
        (Match(users=("alice",), exes=("x",)), Match(users=("alice",)), False),
        (Match(users=("a*",)), Match(users=("alice", "anna")), True),
        (Match(users=("a*",)), Match(users=("alice", "bob")), False),
        (Match(users=("a*",)), Match(users=("a*b",)), False),
        (Match(networks=(ip_network("10.0.0.0/8"),)), Match(networks=(ip_network("10.1.0.0/16"),)), True),
        (Match(networks=(ip_network("10.0.0.0/8"),)), Match(networks=(ip_network("fd00::/8"),)), False),
        (Match(exes=("x",)), Match(users=("alice",)), False),
    ],
)
def test_a_rule_that_is_never_reached(wide: Match, narrow: Match, covers: object) -> None:
    """One rule covers another when whoever the other means is surely meant by it."""
    assert wide.covers(narrow) is covers


def test_units_of_a_path() -> None:
    """Every unit of a control group's path can be asked for."""
    path = "/user.slice/user-1000.slice/user@1000.service/app.slice/app-code-1.scope/x"
    assert units_of(path) == ["user.slice", "user-1000.slice", "user@1000.service", "app.slice", "app-code-1.scope"]


def obvious(caller: Caller, rules: tuple[Rule, ...]) -> str | None:
    """Say it again, slowly: try both answers wherever one is not known, and give only what all of them give."""
    outcomes: set[str | None] = set()

    def walk(left: tuple[Rule, ...]) -> None:
        if not left:
            outcomes.add(None)
            return
        answer = obvious_match(left[0].match, caller)
        if answer in (True, None):
            outcomes.add(left[0].instance)
        if answer in (False, None):
            walk(left[1:])

    walk(rules)
    return outcomes.pop() if len(outcomes) == 1 else None


def obvious_match(match: Match, caller: Caller) -> bool | None:  # noqa: C901, PLR0912 - written out on purpose
    """Likewise for one rule of users, networks and executables."""
    answers: list[bool | None] = []
    here = caller.place is Place.HERE
    if match.users:
        if not here:
            answers.append(False)
        elif caller.uid is None:
            answers.append(None)
        else:
            one: list[bool | None] = []
            for user in match.users:
                if user in ("*", caller.uid):
                    one.append(True)
                elif isinstance(user, int):
                    one.append(False)
                elif caller.user is None:
                    one.append(None)
                else:
                    one.append(bool(re.match(translate(user), caller.user)))
            answers.append(True if True in one else None if None in one else False)
    if match.networks:
        answers.append(any(ip_address(caller.address) in network for network in match.networks))
    if match.exes:
        if not here:
            answers.append(False)
        elif caller.process is None or caller.process.program.exe is None:
            answers.append(None)
        else:
            answers.append(caller.process.program.exe in match.exes)
    if False in answers:
        return False
    return None if None in answers else True


users = st.sampled_from(["alice", "bob", "a*", "*", "?ob", 1000, 1001, 0])
matches = st.builds(
    Match,
    users=st.lists(users, max_size=2).map(tuple),
    networks=st.lists(st.sampled_from([ip_network("127.0.0.0/8"), ip_network("10.0.0.0/8")]), max_size=1).map(tuple),
    exes=st.lists(st.sampled_from(["/bin/a", "/bin/b"]), max_size=2).map(tuple),
).filter(lambda match: match.asked())
rules = st.lists(
    st.builds(
        Rule, match=matches, instance=st.sampled_from([None, "one", "two"]), refuse=st.none(), text=st.just("text")
    ),
    max_size=5,
).map(tuple)
processes = st.one_of(
    st.none(),
    st.sampled_from(["/bin/a", "/bin/b", None]).map(lambda exe: Process(program=program(exe, "a"))),
)
callers = st.builds(
    Caller,
    address=st.sampled_from(["127.0.0.1", "10.0.0.7", "192.168.1.1"]),
    uid=st.sampled_from([None, 0, 1000, 1001]),
    user=st.sampled_from([None, "alice", "bob"]),
    place=st.sampled_from(list(Place)),
    process=processes,
    looked_up=st.frozensets(st.sampled_from(Fact)),
)


@settings(max_examples=10_000)
@given(caller=callers, rules=rules)
def test_it_decides_as_the_obvious_way_does(caller: Caller, rules: tuple[Rule, ...]) -> None:
    """The decision is what all ways of filling in the unknown have in common, else nothing."""
    decision = decide(caller, rules)
    assert decision.instance == obvious(caller, rules)
    if decision.wants:
        assert decision.instance is None
        assert not decision.wants & caller.looked_up
