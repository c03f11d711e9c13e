"""Addresses of Git repositories: whether two of them are one."""


def same_repository(one: str, other: str) -> bool:
    """Whether two addresses name one repository, by whatever protocol and user it is reached."""
    return _place(one) == _place(other)


def _place(address: str) -> tuple[str, str]:
    """Host and path of a repository's address, also of ``git@HOST:PATH``."""
    scheme, found, rest = address.partition("://")
    if not found:
        host, _, path = address.partition(":")
    else:
        host, _, path = rest.partition("/")
    host = host.rpartition("@")[2].lower()
    if scheme == "ssh":
        host = host.partition(":")[0]
    return host, path.strip("/").removesuffix(".git").lower()
