"""Address ranges that stand for the world."""

import ipaddress

#: A public range that is wider than this belongs to no one network: 65,536 addresses of IPv4.
_WIDEST = {4: 16, 6: 32}


def is_world(text: str) -> bool:
    """Whether a CIDR range lets strangers in: wider than any one network, and not private.

    Two halves (``0.0.0.0/1``, ``128.0.0.0/1``) count as the whole does. A text that is no range counts
    too: what cannot be read is not known to be harmless.
    """
    try:
        network = ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        return True
    if network.is_private and network.prefixlen >= (8 if network.version == 4 else 7):
        return False
    # Carrier-grade NAT (RFC 6598) and unique local addresses are routed inside a network only.
    if network.version == 4 and network.subnet_of(ipaddress.IPv4Network("100.64.0.0/10")):
        return False
    return network.prefixlen < _WIDEST[network.version]
