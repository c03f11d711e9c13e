"""The price book: public list prices with their sources, as data beside this module.

One book serves one region. A region that the data lacks is an error and never a neighbour's
price: add it under ``regions`` in ``price_book.json``. All money is `Decimal` US dollars.
"""

import datetime as dt
import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from importlib import resources
from typing import Any

from ray_platform.text.canonical import digest
from ray_platform.text.errors import NotFoundError, SettingsError

BOOK_FILE = "ray_platform/cost/price_book.json"
#: The services of an EKS control plane's hour, as the book names them.
CONTROL_PLANE = "eks_control_plane"
CONTROL_PLANE_EXTENDED = "eks_control_plane_extended"


@dataclass(frozen=True)
class UnitPrice:
    """US dollars for one ``unit`` (``hour``, ``GB-month``, ...), and the page that states it."""

    usd: Decimal
    unit: str
    source: str

    @property
    def is_hourly(self) -> bool:
        """Whether a unit is paid for by the hour, else by the month."""
        return self.unit.split(",")[0].split()[0] == "hour"


@dataclass(frozen=True)
class PriceBook:
    """The prices of one region on one date.

    ``version`` is the digest of everything that a price of this region depends on, so that adding
    another region leaves it as it is.
    """

    region: str
    date: dt.date
    version: str
    hours_per_month: Decimal
    spot_factor: Decimal
    spot_assumption: str
    commitment_factor: Decimal
    instances: Mapping[str, UnitPrice]
    services: Mapping[str, UnitPrice]
    standard_support_ends: Mapping[str, dt.date]
    databases: Mapping[tuple[str, bool], UnitPrice]
    caches: Mapping[str, UnitPrice]
    skus: Mapping[str, UnitPrice]

    def price(self, sku: str) -> UnitPrice | None:
        """The price of a SKU as the shapes name it (``ec2/m5.large``, ``nat_gateway``); None without one."""
        kind, _, rest = sku.partition("/")
        found = self.skus.get(sku)
        if found is not None:
            return found
        if kind == "ec2" or kind == "ec2-spot":
            price = self.instances.get(rest) or self.skus.get(f"ec2/{rest}")
            if price is None or kind == "ec2":
                return price
            return UnitPrice(price.usd * self.spot_factor, price.unit, price.source)
        if kind == "eks_control_plane" and rest:
            return self.control_plane(rest) if "eks_control_plane" in self.services else None
        if kind == "rds":
            engine, name, zones = rest.split("/")
            return self.databases.get((name, zones == "two")) if engine == "postgres" else None
        if kind == "cache":
            engine, _, name = rest.partition("/")
            return self.caches.get(name) if engine == "redis" else None
        return self.services.get(sku)

    def hourly(self, instance_type: str, spot: bool = False) -> Decimal:
        """US dollars for one hour of a node; with ``spot`` the list price times the assumed factor.

        Raises:
            NotFoundError: the book has no price for the type.
        """
        price = self.instances.get(instance_type)
        if price is None:
            raise NotFoundError(
                f"the price book has no price for the instance type {instance_type!r}",
                where=f"{BOOK_FILE}, region {self.region}",
                fix=f"add it under regions.{self.region}.instances.prices; "
                f"it has: {', '.join(sorted(self.instances))}",
            )
        return price.usd * self.spot_factor if spot else price.usd

    def service(self, name: str) -> UnitPrice:
        """The price of a service unit such as ``nat_gateway``.

        Raises:
            NotFoundError: the book has no such service.
        """
        price = self.services.get(name)
        if price is None:
            raise NotFoundError(
                f"the price book has no price for the service {name!r}",
                where=f"{BOOK_FILE}, region {self.region}",
                fix=f"add it under regions.{self.region}.services",
            )
        return price

    def control_plane(self, kubernetes_version: str, on: dt.date | None = None) -> UnitPrice:
        """The hour of an EKS control plane: dearer once standard support of the version has ended.

        Args:
            kubernetes_version: ``"1.33"``.
            on: The day to price; the book's own date when left out. A version that the book does not
                have is priced as in standard support where it is newer than all that it has, else as past it.
        """
        end = self.standard_support_ends.get(kubernetes_version)
        extended = (
            (on or self.date) > end if end is not None else self._is_older(kubernetes_version)
        )
        return self.service("eks_control_plane_extended" if extended else "eks_control_plane")

    def _is_older(self, kubernetes_version: str) -> bool:
        """Whether a version that the book does not have is older than one that it has."""
        try:
            asked = [int(part) for part in kubernetes_version.split(".")]
        except ValueError:
            return False
        known = [
            [int(part) for part in version.split(".")] for version in self.standard_support_ends
        ]
        return bool(known) and asked < max(known)

    def database_hourly(self, instance_class: str, two_zones: bool) -> Decimal:
        """US dollars for one hour of a PostgreSQL of RDS, with its standby where it has one.

        Raises:
            NotFoundError: the book has no price for the class.
        """
        price = self.databases.get((instance_class, two_zones))
        if price is None:
            known = sorted({name for name, _ in self.databases})
            raise self._not_priced("database class", instance_class, "databases", known)
        return price.usd

    def cache_hourly(self, node_type: str) -> Decimal:
        """US dollars for one hour of one node of ElastiCache.

        Raises:
            NotFoundError: the book has no price for the type.
        """
        price = self.caches.get(node_type)
        if price is None:
            raise self._not_priced("cache node type", node_type, "caches", sorted(self.caches))
        return price.usd

    def _not_priced(self, kind: str, name: str, section: str, known: list[str]) -> NotFoundError:
        return NotFoundError(
            f"the price book has no price for the {kind} {name!r}",
            where=f"{BOOK_FILE}, region {self.region}",
            fix=f"add it under regions.{self.region}.{section}; it has: {', '.join(known)}",
        )

    def volume_hourly(self, gigabytes: int) -> Decimal:
        """US dollars for one hour of a gp3 volume of that size."""
        return self.service("gp3_volume").usd * gigabytes / self.hours_per_month


def read_price_book(data: Mapping[str, Any], region: str, *, where: str = BOOK_FILE) -> PriceBook:
    """The prices of one region out of the content of a price book file.

    Raises:
        NotFoundError: the region is not in the book.
        SettingsError: the content is malformed.
    """
    try:
        regions = data["regions"]
        if region not in regions:
            raise NotFoundError(
                f"the price book has no prices for the region {region!r}",
                where=where,
                fix=f"add it under regions, or use one of: {', '.join(sorted(regions))}",
            )
        prices = regions[region]
        instances = prices["instances"]
        shared = {name: value for name, value in data.items() if name != "regions"}
        return PriceBook(
            region=region,
            date=dt.date.fromisoformat(data["date"]),
            version=digest({**shared, "region": region, "prices": prices}),
            hours_per_month=_money(data["hours_per_month"]["value"]),
            spot_factor=_money(data["spot"]["factor"]),
            spot_assumption=data["spot"]["assumption"],
            commitment_factor=_money(data["commitment"]["factor"]),
            instances={
                name: UnitPrice(_money(usd), instances["unit"], instances["source"])
                for name, usd in instances["prices"].items()
            },
            services={
                name: UnitPrice(_money(item["price"]), item["unit"], item["source"])
                for name, item in prices["services"].items()
            },
            standard_support_ends={
                version: dt.date.fromisoformat(day)
                for version, day in data["kubernetes_standard_support_ends"]["dates"].items()
            },
            databases=_databases(prices.get("databases", {})),
            skus={
                name: UnitPrice(_money(usd), group["unit"], group["source"])
                for group in prices.get("skus", ())
                for name, usd in group["prices"].items()
            },
            caches={
                name: UnitPrice(_money(usd), prices["caches"]["unit"], prices["caches"]["source"])
                for name, usd in prices.get("caches", {}).get("prices", {}).items()
            },
        )
    except (KeyError, TypeError, AttributeError, ValueError, InvalidOperation) as error:
        raise SettingsError(
            f"the price book is malformed: {error!r}",
            where=where,
            fix='mend the entry; prices are strings such as "0.096", dates are YYYY-MM-DD',
        ) from error


@functools.cache
def load_price_book(region: str = "us-east-1") -> PriceBook:
    """The book that ships with this package.

    Raises:
        NotFoundError: the region is not in the book.
    """
    return read_price_book(_shipped(), region)


def _shipped() -> Mapping[str, Any]:
    text = resources.files("ray_platform.cost").joinpath("price_book.json").read_text("utf-8")
    data: Mapping[str, Any] = json.loads(text)
    return data


def price_book_or_empty(region: str) -> PriceBook:
    """The book of a region; one without any price for a region that the data lacks.

    With it every resource is named as not priced, where no plan could be made at all otherwise.
    """
    data = _shipped()
    if region not in data["regions"]:
        nothing = {"instances": {"source": "", "unit": "hour", "prices": {}}, "services": {}}
        data = {**data, "regions": {region: nothing}}
    return read_price_book(data, region)


def _databases(section: Mapping[str, Any]) -> dict[tuple[str, bool], UnitPrice]:
    return {
        (name, two): UnitPrice(_money(usd), section["unit"], section["source"])
        for key, two in (("one_zone", False), ("two_zones", True))
        for name, usd in section.get(key, {}).items()
    }


def _money(text: object) -> Decimal:
    if not isinstance(text, str):
        raise TypeError(f"{text!r} is not a price in quotes")
    value = Decimal(text)
    if not value.is_finite() or value < 0:
        raise ValueError(f"{text!r} is not a price")
    return value
