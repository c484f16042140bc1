"""A web page in a real browser tries to get credentials from a metadata service that would give them to any user."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from support import wire
from support.daemon import DaemonProcess, write_config

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
LIST = "/latest/meta-data/iam/security-credentials/"
PAGE = """\
<html><body><pre id="said">nothing</pre><script>
const url = "URL", said = [];
const ttl = {"X-aws-ec2-metadata-token-ttl-seconds": "60"};
async function attempt(name, act) {
  try { said.push(name + "=" + await act()); } catch (error) { said.push(name + "=failed"); }
}
async function all() {
  await attempt("get", async () => (await fetch(url + "LIST")).text());
  await attempt("opaque", async () => (await fetch(url + "LIST", {mode: "no-cors"})).type);
  await attempt("put", async () => (await fetch(url + "/latest/api/token", {method: "PUT", headers: ttl})).text());
  await attempt("frame", () => new Promise((done, failed) => {
    const frame = document.createElement("iframe");
    frame.onload = () => { try { done(frame.contentDocument.body.innerText); } catch (error) { failed(error); } };
    frame.src = url + "LIST"; document.body.append(frame);
  }));
  document.getElementById("said").innerText = said.join(" ");
}
all();
</script></body></html>
"""

pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs a browser (chromium)")


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder and says nothing."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def open_daemon(home, moto_server):
    """A daemon that answers every user of this host, with version 1 too."""
    config = write_config(
        home / "imds.yaml",
        """\
        region: eu-west-1
        listen: ["http://127.0.0.1:0"]
        metadata_options: {http_tokens: optional}
        roles: {app: {role_arn: "arn:aws:iam::111122223333:role/app", source: {profile: work}}}
        callers: [{match: {user: "*"}, instance: default}]
        """,
    )
    environment = {"AWS_ENDPOINT_URL_STS": moto_server.url}
    with DaemonProcess(home, "serve", "-v", "--config", str(config), environment=environment) as served:
        assert wire.get(served.address, LIST, token=None).body == b"app", "whoever is no browser is answered"
        yield served


def browse(url: str, folder: Path) -> str:
    """Return the text of a page once its script has run."""
    done = subprocess.run(
        [
            *(BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *("--host-resolver-rules=MAP evil.example 127.0.0.1", f"--user-data-dir={folder}"),
            *("--virtual-time-budget=10000", "--dump-dom", url),
        ],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    return done.stdout


def test_a_page_of_another_origin(open_daemon, tmp_path):
    """Neither fetch, with and without CORS, nor a token request, nor a frame gets anything."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "index.html").write_text(PAGE.replace("URL", open_daemon.url.rstrip("/")).replace("LIST", LIST))
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        shown = browse(f"http://127.0.0.1:{server.server_port}/", tmp_path / "profile")
        server.shutdown()
        thread.join()
    said = re.search(r'<pre id="said">(.*?)</pre>', shown, re.DOTALL)
    assert said is not None, shown
    assert said[1] == "get=failed opaque=opaque put=failed frame=failed"
    refused = open_daemon.log
    assert "it has a header" in refused
    assert "given to" not in refused


def test_a_name_that_is_rebound(open_daemon, tmp_path):
    """A page whose name leads to this daemon (DNS rebinding) is no other origin; its Host gives it away."""
    port = open_daemon.address[1]
    for path in (LIST, f"{LIST}app", "/latest/meta-data/"):
        shown = browse(f"http://evil.example:{port}{path}", tmp_path / "profile")
        assert "app" not in shown.replace("evil.example", "")
        assert "ASIA" not in shown
    assert "DNS rebinding" in open_daemon.log
