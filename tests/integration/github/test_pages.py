"""The pages of the local GitHub server, in a real browser and as HTML."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from ray_platform_sandbox.github.client.testing import LocalGitHub
from ray_platform_sandbox.github.pages.markdown import render

from tests.support.github_callers import as_installation
from tests.support.set_up import find_chromium

pytestmark = pytest.mark.real
#: Where pictures go; the documents' own are made by ``RAY_PLATFORM_PICTURES=docs/pictures``.
PICTURES = os.environ.get("RAY_PLATFORM_PICTURES", "")
SUMMARY = """| environment | plan | policy | a month |
|---|---|---|---|
| **dev** | 1 to create | ✓ | $312.40 → $340.10 |
| **prod** | 1 to create | ✗ `spot_needs_taint` | $4,120.00 → $4,402.10 |
"""


@pytest.fixture
def page() -> Iterator[Any]:
    chromium = find_chromium()
    if chromium is None:
        pytest.skip("no Chromium: install the package chromium, or set RAY_PLATFORM_CHROMIUM")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ],
        )
        found = browser.new_page(viewport={"width": 1280, "height": 1100})
        found.set_default_timeout(30_000)
        yield found
        browser.close()


def test_a_pull_requests_page_shows_all_of_it_and_renews_itself(
    github: LocalGitHub, page: Any
) -> None:
    repository = github.create_repository("acme", "shown")
    number = github.open_pull_request(
        repository,
        {"dev.tfvars": "spot = {\n  max = 4\n}\n"},
        title="Add a spot pool to dev",
        branch="spot-pool",
        body="Cheaper burst workers.\n\n- [x] quota\n- [ ] taint",
    )
    bot, at = as_installation(github), f"/repos/{repository}"
    head = bot.get(f"{at}/pulls/{number}").json()["head"]["sha"]
    output = {"title": "1 of 2 environments may be applied", "summary": SUMMARY}
    run = {"name": "plan", "head_sha": head, "output": output, "conclusion": "failure"}
    bot("POST", f"{at}/check-runs", run)
    body = (
        f"<!-- hidden mark -->\n### Plan\n\n{SUMMARY}\n<details><summary>dev</summary>\n\n"
        "```\n+ aws_eks_node_group.spot\n```\n\n</details>\n\n"
        "<script>document.title = 'taken over'</script>"
    )
    bot("POST", f"{at}/issues/{number}/comments", {"body": body})
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{github.url}/{repository}/pull/{number}")
    page.get_by_role("heading", name="Add a spot pool to dev #1").wait_for()
    for text in ("wants to merge 1 commit", "1 of 2 environments may be applied", "☑ quota"):
        page.get_by_text(text).first.wait_for()
    assert page.locator("#checks table").count() == 1
    assert page.locator("tr.added").count() == 3
    assert "hidden mark" not in page.content()
    details = page.locator(".markdown details")
    details.locator("summary").click()
    page.get_by_text("+ aws_eks_node_group.spot").wait_for()
    # What happens elsewhere shows by itself, and what was unfolded stays so.
    github.review(repository, number, by="bob", body="Mind the **taint**.")
    page.get_by_text("Mind the").wait_for()
    assert details.get_attribute("open") is not None
    if PICTURES:
        folder = Path(__file__).resolve().parents[3] / PICTURES
        page.screenshot(path=str(folder / "local-github.png"), full_page=True)
    github.person("alice").merge(repository, number)
    page.locator(".pill", has_text="Merged").wait_for()
    assert page.title().startswith("Add a spot pool to dev")
    assert all(url.startswith((github.url, "data:")) for url in asked)


@pytest.mark.parametrize(
    ("text", "kept", "gone"),
    [
        ("a <script>alert(1)</script> b", "a", "alert"),
        ('<b onclick="x()">b</b>', "<b>b</b>", "onclick"),
        ("[a](javascript:alert(1))", "a", "href"),
        ('<a href="javascript:x">a</a>', ">a</a>", "javascript"),
        ("<!-- <b>mark</b> --> seen", "seen", "mark"),
        ('<p style="position:fixed">p</p>', "<p>p</p>", "fixed"),
        ("<iframe src=http://127.0.0.1></iframe>i", "i", "iframe"),
        ("<form><input name=a><button>Approve</button></form>", "Approve", "button"),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "<td>2</td>", "|"),
        ("one\ntwo", "<br>", "two one"),
        ("`<b>`", "&lt;b&gt;", "<b>"),
    ],
)
def test_markdown_is_shown_without_what_could_mislead(text: str, kept: str, gone: str) -> None:
    html = render(text)
    assert kept in html
    assert gone not in html


def test_every_page_forbids_what_is_not_its_own(github: LocalGitHub) -> None:
    repository = github.create_repository("acme", "linked")
    number = github.open_pull_request(repository, {"<b>.txt": "<script>x</script>\n"})
    github.person("alice").open_issue(repository, "<img src=x onerror=y>")
    bot, at = as_installation(github), f"/repos/{repository}"
    pull = bot.get(f"{at}/pulls/{number}").json()
    run = {"name": "plan", "head_sha": pull["head"]["sha"]}
    check = bot("POST", f"{at}/check-runs", run).json()
    issue = bot.get(f"{at}/issues/{number + 1}").json()
    commit = bot.get(f"{at}/commits/{pull['head']['sha']}").json()
    addresses = [
        f"{github.url}/",
        f"{github.url}/{repository}/pulls",
        f"{github.url}/{repository}/issues",
        *(one["html_url"] for one in (pull, check, issue, commit)),
    ]
    for address in addresses:
        answer = httpx.get(address, trust_env=False)
        assert answer.status_code == 200, address
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert "<script>x" not in answer.text
        assert "<img src=x" not in answer.text
    nothing = httpx.get(f"{github.url}/acme/nothing/pulls", trust_env=False)
    assert nothing.status_code == 404
    diff = httpx.get(pull["diff_url"], trust_env=False)
    assert diff.text.startswith("diff --git")
