"""New commits become work exactly once for each commit and environment, whatever happens to the branch."""

import subprocess
from pathlib import Path

import pytest

from ray_platform.git.git_client import Git
from ray_platform.git.new_commits import Push, SeenCommits, read_cursor, watch, write_cursor
from ray_platform.text.errors import GitError


class Repository:
    """A real Git repository that tests commit to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "gc.auto=0"]
        done = subprocess.run(
            ["git", "-C", str(self.folder), *identity, *arguments],
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def commit(self, path: str, content: str = "x") -> str:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", f"Change {path}")
        return self.git("rev-parse", "HEAD")


class Watcher:
    """The sensor's ticks: the cursor goes through its text form each time, as in Dagster."""

    def __init__(self, repository: Repository, baseline: str, *environments: str) -> None:
        self.git = Git(repository.folder)
        self.environments = environments or ("dev",)
        self.applied = dict.fromkeys(self.environments, baseline)
        self.cursor: str | None = None
        self.why = ""

    def tick(self, *, lose_cursor: bool = False) -> tuple[Push, ...]:
        following, pushes, self.why = watch(
            self.git, "main", read_cursor(self.cursor), self.environments, self.applied
        )
        if not lose_cursor:
            self.cursor = write_cursor(following)
        return pushes


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


def test_a_commit_is_handed_on_once(repository: Repository) -> None:
    watcher = Watcher(repository, repository.commit("README.md"))
    assert watcher.tick() == ()
    head = repository.commit("terraform/main.tf")
    (push,) = watcher.tick()
    assert (push.commit, push.work, push.key) == (head, ("change",), f"{head}-dev")
    assert watcher.tick() == ()


def test_many_commits_at_once_are_one_push_with_all_their_work(repository: Repository) -> None:
    watcher = Watcher(repository, repository.commit("README.md"))
    repository.commit("workloads/bursty_training.py")
    repository.commit("terraform/main.tf")
    head = repository.commit("README.md", "last")
    (push,) = watcher.tick()
    assert (push.commit, push.work, push.commits) == (head, ("change", "burst"), 3)


def test_a_change_and_its_undoing_between_two_ticks_is_no_work(repository: Repository) -> None:
    watcher = Watcher(repository, repository.commit("terraform/main.tf", "a"))
    repository.commit("terraform/main.tf", "b")
    repository.commit("terraform/main.tf", "a")
    assert watcher.tick() == ()


def test_each_environment_is_touched_by_its_own_files_alone(repository: Repository) -> None:
    watcher = Watcher(repository, repository.commit("README.md"), "dev", "prod")
    repository.commit("terraform/environments/prod.tfvars")
    assert [push.environment for push in watcher.tick()] == ["prod"]
    repository.commit("terraform/modules/vpc/main.tf")
    assert [push.environment for push in watcher.tick()] == ["dev", "prod"]


def test_a_tick_that_died_before_its_cursor_was_kept_asks_for_the_same_again(
    repository: Repository,
) -> None:
    watcher = Watcher(repository, repository.commit("README.md"))
    repository.commit("terraform/main.tf")
    first = watcher.tick(lose_cursor=True)
    assert watcher.tick() == first  # the same keys: Dagster starts nothing twice
    assert watcher.tick() == ()


def test_a_force_push_is_compared_by_its_content(repository: Repository) -> None:
    base = repository.commit("README.md")
    watcher = Watcher(repository, base)
    repository.commit("terraform/main.tf", "a")
    watcher.tick()
    repository.git("reset", "--quiet", "--hard", base)
    head = repository.commit("helm/ray/values.yaml")
    (push,) = watcher.tick()
    # What the dropped commit did to terraform/ must be undone.
    assert (push.commit, push.work) == (head, ("change",))


def test_a_branch_that_returns_to_an_earlier_commit_is_work_again(repository: Repository) -> None:
    one = repository.commit("terraform/main.tf", "a")
    watcher = Watcher(repository, one)
    two = repository.commit("terraform/main.tf", "b")
    seen = [push.key for push in watcher.tick()]
    repository.git("reset", "--quiet", "--hard", one)
    seen += [push.key for push in watcher.tick()]
    repository.git("reset", "--quiet", "--hard", two)
    seen += [push.key for push in watcher.tick()]
    assert seen[0] == f"{two}-dev"
    assert len(set(seen)) == 3


def test_a_force_push_whose_old_commit_is_gone_asks_for_everything(repository: Repository) -> None:
    repository.commit("README.md")
    watcher = Watcher(repository, "0" * 40)
    (push,) = watcher.tick()
    assert push.work == ("change", "ray_cluster", "burst")


def test_a_branch_that_disappears_is_waited_for_and_nothing_is_lost(repository: Repository) -> None:
    watcher = Watcher(repository, repository.commit("README.md"))
    repository.git("checkout", "--quiet", "-b", "other")
    repository.git("branch", "--quiet", "-D", "main")
    assert watcher.tick() == ()
    assert "does not exist" in watcher.why
    head = repository.commit("terraform/main.tf")
    repository.git("branch", "main", head)
    assert [push.commit for push in watcher.tick()] == [head]


def test_an_environment_without_a_first_apply_is_left_alone(repository: Repository) -> None:
    repository.commit("terraform/main.tf")
    watcher = Watcher(repository, "unused")
    watcher.applied = {}
    assert watcher.tick() == ()
    assert "nothing is applied yet in dev" in watcher.why
    assert read_cursor(watcher.cursor) == {}


def test_the_cursor_survives_its_text() -> None:
    cursor = {"dev": SeenCommits("c" * 40, 2), "local": SeenCommits("d" * 40)}
    assert read_cursor(write_cursor(cursor)) == cursor
    assert read_cursor(None) == {}


def test_the_digest_of_uncommitted_changes_follows_their_content(repository: Repository) -> None:
    repository.commit("terraform/main.tf", "a")
    git = Git(repository.folder)
    assert git.revision().changes_digest == ""
    (repository.folder / "new file.txt").write_text("1", encoding="utf-8")
    one = git.revision().changes_digest
    (repository.folder / "new file.txt").write_text("2", encoding="utf-8")
    two = git.revision().changes_digest
    assert one
    assert two
    assert one != two


def test_a_checkout_of_a_commit_is_whole_and_done_once(
    repository: Repository, tmp_path: Path
) -> None:
    one = repository.commit("terraform/main.tf", "a")
    repository.commit("terraform/main.tf", "b")
    folder = Git(repository.folder).checkout(one, tmp_path / "trees" / one)
    assert (folder / "terraform" / "main.tf").read_text(encoding="utf-8") == "a"
    assert Git(repository.folder).checkout(one, folder) == folder
    assert [path.name for path in folder.parent.iterdir()] == [one]


def test_a_folder_without_a_repository_is_told_in_one_message(tmp_path: Path) -> None:
    with pytest.raises(GitError, match="RAY_PLATFORM_REPOSITORY"):
        Git(tmp_path / "nowhere").revision()
