"""``python -m ray_platform.cli``: the command where its script is not installed."""

from ray_platform.cli import main

main()
