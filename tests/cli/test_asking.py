from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from hvproxy.cli import main
from tests.cli.answering import ANSWERS, run


def test_a_name_is_quoted_in_the_url(api: str) -> None:
    assert "77" in run("show", "ports", "a/b", "--api", api).stdout


def test_the_environment_may_name_the_api(api: str) -> None:
    result = CliRunner(env={"HVPROXY_API": api}).invoke(main, ["show", "links", "--json"])
    assert json.loads(result.stdout) == ANSWERS["/v1/links"]


def test_an_http_proxy_of_the_environment_is_not_asked(api: str) -> None:
    result = CliRunner(env={"http_proxy": "http://127.0.0.1:1"}).invoke(main, ["show", "links", "--api", api])
    assert result.exit_code == 0


@pytest.mark.parametrize(("name", "what"), [
    ("pink", "{url}: there is no pink (HTTP status 404); hvproxy show switches and hvproxy show logical-switches list "
             "what there is"),
    ("broken", "{url}: Internal Server Error (HTTP status 500)"),
    ("text", "{url}: did not answer JSON"),
    ("odd", "{url} answered something else than a list of objects; is {api} an hvproxy of this version?"),
])
def test_what_the_api_refuses_is_told_with_exit_status_1(api: str, name: str, what: str) -> None:
    result = run("show", "ports", name, "--api", api)
    url = f"{api}/v1/logical-switches/{name}/ports"
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"hvproxy: {what.format(url=url, api=api)}\n"


def test_an_api_that_does_not_answer_is_told_with_what_to_do() -> None:
    result = run("show", "switches", "--api", "http://127.0.0.1:1")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "hvproxy: cannot reach http://127.0.0.1:1: [Errno 111] Connection refused\n"
        "Is hvproxy running (hvproxy serve CONFIG)? If its api.listen is another address, name it with --api URL.\n")


def test_an_api_that_is_no_url_is_told() -> None:
    result = run("show", "switches", "--api", "localhost")
    assert (result.exit_code, result.stderr) == (
        1, "hvproxy: localhost/v1/datapaths: is not a URL; write --api http://HOST:PORT\n")
