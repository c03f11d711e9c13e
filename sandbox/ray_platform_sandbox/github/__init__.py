"""A GitHub server on this machine: REST, Git over HTTP, webhooks and pages, on 127.0.0.1 only.

Read in this order: `state` (what it knows), `hub` (one server's parts together), `rest` (the calls),
`shapes` (the answers), `git_store` and `git_http` (the repositories), `webhooks`, `pages`; `testing` runs
one in a thread, `service` as a local service of `ray-platform`.
"""
