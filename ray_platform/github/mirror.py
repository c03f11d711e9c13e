"""The Git mirror of a repository on GitHub, fetched with the App's token."""

from ray_platform.config.settings import Settings
from ray_platform.git.mirror_store import GitMirror
from ray_platform.github.github_client import GitHubRepository


def mirror_of(settings: Settings, forge: GitHubRepository) -> GitMirror:
    """The mirror of a repository, below the home; fetched where it is asked to be."""
    return GitMirror(
        settings.home,
        forge.repository,
        url=forge.git_url(),
        token=lambda write: forge.git_token(write=write),
    )
