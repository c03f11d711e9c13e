"""Many open pull requests at once, by two calls of git: what measurements of many of them begin with."""

from ray_platform_sandbox.github.git.program import run_git
from ray_platform_sandbox.github.git.pushes import BRANCHES
from ray_platform_sandbox.github.hub import Hub
from ray_platform_sandbox.github.state import Issue, Pull, Repository


def add_pull_requests(hub: Hub, repository: Repository, count: int, by: str) -> list[int]:
    """Branches with one new file each on the default branch, and a pull request from each.

    Returns:
        Their numbers.
    """
    store, account, now = hub.store(repository), hub.account(by), hub.clock.now()
    base = repository.default_branch
    tip = repository.refs[BRANCHES + base]
    first = repository.next_number
    numbers = list(range(first, first + count))
    signature = f"{account.name} <{account.email}> {now} +0000"
    stream = []
    for number in numbers:
        text, message = f"{number}\n", f"Change {number}"
        stream.append(
            f"commit {BRANCHES}change-{number}\ncommitter {signature}\n"
            f"data {len(message)}\n{message}\nfrom {tip}\n"
            f"M 100644 inline change-{number}.txt\ndata {len(text)}\n{text}\n"
        )
    run_git(store.path, "fast-import", "--quiet", stdin="".join(stream))
    # Nobody is told: this stands for what was there before.
    repository.refs = store.refs()
    heads = {number: repository.refs[f"{BRANCHES}change-{number}"] for number in numbers}
    lines = "".join(f"create refs/pull/{number}/head {sha}\n" for number, sha in heads.items())
    run_git(store.path, "update-ref", "--stdin", stdin=lines)
    for number in numbers:
        pull = Pull(
            id=hub.state.new_id(),
            head_repository=repository.id,
            head_ref=f"change-{number}",
            head_sha=heads[number],
            base_ref=base,
            base_sha=tip,
        )
        repository.issues[number] = Issue(
            id=hub.state.new_id(),
            number=number,
            title=f"Change {number}",
            body="",
            user=account.login,
            created_at=now,
            updated_at=now,
            pull=pull,
        )
    repository.next_number = first + count
    return numbers
