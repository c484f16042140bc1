"""The metrics as Prometheus reads them, the page that documents them, and the dashboard that asks for them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path

import promql_parser as promql
import pytest
import yaml
from grafana_foundation_sdk.cog import encoder, plugins
from grafana_foundation_sdk.models import dashboard as grafana
from prometheus_client.parser import text_string_to_metric_families
from support import wire
from support.daemon import DaemonProcess, write_config, write_profile
from support.emulators import free_port
from support.machine import eventually
from support.metrics import Admin

ROOT = Path(__file__).parents[2]
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "imds.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel["targets"]]
PAGE = (ROOT / "docs" / "observability.md").read_text()
ALERTS = [rule["expr"] for rule in yaml.safe_load(re.search(r"```yaml\n(# rules\n.*?)```", PAGE, re.DOTALL)[1])]
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "gauge": ("",)}
CONFIG = """\
    region: eu-west-1
    listen: ["http://127.0.0.1:0"]
    admin_listen: http://127.0.0.1:0
    notify: [journal]
    roles:
      app: {role_arn: "arn:aws:iam::111122223333:role/app", source: {profile: work}}
      missing: {source: {profile: nobody}}
"""


@pytest.fixture(scope="module")
def admin(tmp_path_factory, moto_server):
    """A daemon that has answered and refused."""
    home = tmp_path_factory.mktemp("dashboard")
    write_profile(home)
    config = write_config(home / "imds.yaml", CONFIG)
    environment = {"AWS_ENDPOINT_URL_STS": moto_server.url}
    with DaemonProcess(home, "serve", "--config", str(config), environment=environment) as daemon:
        address = daemon.address
        wire.get(address, "/latest/meta-data/iam/security-credentials/app")
        wire.exchange(address, wire.request("GET", "/", {"Origin": "http://x"}))
        yield Admin(daemon)


@pytest.fixture(scope="module")
def families(admin):
    """The metrics by name, as Prometheus's own parser reads them."""
    return {family.name: family for family in text_string_to_metric_families(admin.text())}


def labels_of(family) -> set[str]:
    """Return the labels of a metric, those of buckets excepted."""
    return {label for sample in family.samples for label in sample.labels} - {"le"}


def named(query: str) -> str:
    """Return a dashboard's query with Grafana's variables filled in."""
    return query.replace("$instance", ".*").replace("$__rate_interval", "1m")


def selectors(query: str) -> list[tuple[str, set[str]]]:
    """Return what a query selects: names, and the labels that it asks for."""
    found = []

    def note(node: object) -> None:
        if isinstance(node, promql.VectorSelector):
            found.append((node.name, {matcher.name for matcher in node.matchers.matchers}))

    promql.walk(promql.parse(named(query)), note)
    return found


def test_the_page_has_every_metric(families):
    """Its table is what a daemon says: names, types, labels."""
    rows = re.findall(r"^\| `(imds_\w+)` \| (\w+) \| ([^|]*)\|", PAGE, re.MULTILINE)
    told = {name.removesuffix("_total"): (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    ours = {name: family for name, family in families.items() if name.startswith("imds_")}
    assert told == {name: (family.type, labels_of(family)) for name, family in ours.items()}
    assert {row[0] for row in rows if row[1] == "counter"} == {row[0] for row in rows if row[0].endswith("_total")}


def test_every_query_asks_for_what_there_is(families):
    """Each name in each query is a metric, in the form that its type has, with labels that it has."""
    forms = {name + suffix: family for name, family in families.items() for suffix in SUFFIXES[family.type]}
    assert len(ALERTS) == 4
    for expression in EXPRESSIONS + ALERTS:
        selected = selectors(expression)
        assert selected, expression
        for name, labels in selected:
            assert name in forms, f"{name} in {expression}"
            assert labels <= labels_of(forms[name]) | {"instance"}, expression
        (variable,) = [entry for entry in DASHBOARD["templating"]["list"] if entry["type"] == "query"]
        assert re.fullmatch(r"label_values\((\w+), instance\)", variable["query"])[1] in forms


def test_every_metric_is_on_the_dashboard(families):
    """What is worth counting is worth seeing; the list of what is left out is short."""
    shown = {name for expression in EXPRESSIONS for name, _ in selectors(expression)}
    forms = {name: {name + suffix for suffix in SUFFIXES[family.type]} for name, family in families.items()}
    unseen = {name for name, names in forms.items() if name.startswith("imds_") and not names & shown}
    assert unseen == {"imds_role_session_expiry_timestamp_seconds"}, "the time that is left is shown instead"


def test_legends_name_labels_that_are_there(families):
    """A legend of a label that the query sums away would be empty."""
    for panel in PANELS:
        for target in panel["targets"]:
            legend = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            kept = re.findall(r"by \(([^)]*)\)", target["expr"])
            if kept:
                assert legend <= set(re.split(r",\s*", kept[-1])), target["expr"]
            elif legend:
                name = selectors(target["expr"])[0][0].removesuffix("_total")
                assert legend <= labels_of(families[name]), target["expr"]


def test_grafanas_own_types_take_it():
    """Read and written by Grafana's own library, nothing of it is lost or changed: every key is one that it knows."""
    plugins.register_default_plugins()
    written = json.loads(encoder.JSONEncoder().encode(grafana.Dashboard.from_json(DASHBOARD)))
    assert list(lost(DASHBOARD, written)) == []
    unknown = json.loads(json.dumps(DASHBOARD))
    unknown["panels"][1]["optoins"] = {}
    assert list(lost(unknown, json.loads(encoder.JSONEncoder().encode(grafana.Dashboard.from_json(unknown))))) == [
        ".panels[1].optoins"
    ]


def lost(before, after, path=""):
    """Yield where something of ``before`` is not in ``after``."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            yield from lost(value, after[key], f"{path}.{key}") if key in after else [f"{path}.{key}"]
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from lost(one, other, f"{path}[{number}]")
    elif before != after:
        yield path


def test_panels_are_laid_out():
    """No two overlap, none is wider than the page, each has a number of its own."""
    taken = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(numbers)) == len(numbers)
    assert all(panel["description"] for panel in PANELS)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool (Debian: prometheus)")
def test_promtool_finds_nothing(admin):
    """Prometheus's own checker accepts the text and has no word about names, units or help."""
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=admin.text(), capture_output=True, text=True, check=False, timeout=30
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.fixture(scope="module")
def prometheus(admin, tmp_path_factory):
    """A Prometheus that has scraped the daemon twice."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("needs prometheus")
    folder, port = tmp_path_factory.mktemp("prometheus"), free_port()
    config = folder / "prometheus.yml"
    host, admin_port = admin.address
    scrape = f"{{job_name: imds, scrape_interval: 1s, static_configs: [{{targets: ['{host}:{admin_port}']}}]}}"
    config.write_text(f"scrape_configs: [{scrape}]\n")
    arguments = [f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            [program, *arguments, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log
        )
    try:
        url = f"http://127.0.0.1:{port}/api/v1/query?query="
        eventually(lambda: scraped(url) >= 2, within=60)
        yield url
    finally:
        process.terminate()
        process.wait(20)


def scraped(url: str) -> float:
    """Return how often the daemon was read."""
    try:
        result = ask(url, "count_over_time(imds_build_info[1m])")
    except OSError:
        return 0
    return float(result[0]["value"][1]) if result else 0


def ask(url: str, query: str) -> list:
    """Return the series that a query gives."""
    with urllib.request.urlopen(url + urllib.parse.quote(query), timeout=10) as reply:
        answer = json.load(reply)
    assert answer["status"] == "success", answer
    return answer["data"]["result"]


def test_a_prometheus_answers_every_query(prometheus):
    """Each query of each panel is answered, and those that must say something do."""
    assert [expression for expression in ALERTS if ask(prometheus, expression)] == ["imds_role_ready == 0"]
    silent = {expression for expression in EXPRESSIONS if not ask(prometheus, named(expression))}
    assert all("> 0" in expression for expression in silent), silent
