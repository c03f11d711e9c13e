"""Which ranges stand for the world."""

import pytest

from ray_platform.policy.network_ranges import is_world


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0/0",
        "0.0.0.0/1",
        "128.0.0.0/1",
        "1.2.3.4/0",
        "8.0.0.0/8",
        "::/0",
        "2000::/3",
        "::/1",
        "0.0.0.0/00",
        "everywhere",
        "10.0.0.0/7",
        "::ffff:0:0/96x",
    ],
)
def test_the_world(text: str) -> None:
    assert is_world(text)


@pytest.mark.parametrize(
    "text",
    [
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "203.0.113.0/24",
        "198.51.100.7/32",
        "fd00::/8",
        "2001:db8:1::/48",
        " 10.1.0.0/16 ",
    ],
)
def test_a_network_of_somebody(text: str) -> None:
    assert not is_world(text)
