"""The conditions of a search through a fleet. All that they look at is in the index `devices_inventory`."""

import sqlalchemy as sa

from service.adapters.schema_devices import device_tags, devices
from service.domain.inventory import Search

NEVER = "none"  # as a state: it never reported
NAMES = (devices.c.id, devices.c.label)


def meant(search: Search) -> list[sa.ColumnElement[bool]]:
    """What holds of the devices that are searched for."""
    found: list[sa.ColumnElement[bool]] = [devices.c.retired_at.is_(None)]
    if search.repositories is not None:
        found.append(_only(devices.c.repository).in_(search.repositories))
    exact = {name: getattr(search, name) for name in ("board", "channel", "group", "version", "state")}
    found += [_only(devices.c[name]) == _kept(name, value) for name, value in exact.items() if value]
    if search.tag:
        found.append(devices.c.id.in_(sa.select(device_tags.c.device).where(device_tags.c.tag == search.tag)))
    if search.text:
        found.append(
            sa.or_(*(each.icontains(search.text, autoescape=True) for each in (devices.c.id, devices.c.label)))
        )
    if search.connected is not None:
        found.append(sa.func.coalesce(devices.c.connected, sa.false()).is_(search.connected))
    if search.held is not None:
        found.append((devices.c.hold != "").is_(search.held))
    if search.unseen_since is not None:
        since = search.unseen_since.timestamp()
        found.append(devices.c.seen_at.is_(None) | (devices.c.seen_at < since))
    return found


def _kept(name: str, value: str) -> str:
    return "" if name == "state" and value == NEVER else value


def _only(column: sa.Column[str]) -> sa.ColumnElement[str]:
    """The column, such that no index is looked up by it: a page is read in the order of ids, out of the one wide index.

    An index that begins with a repository or a channel finds most of a fleet, to be sorted anew for each page.
    """
    return column.concat("")
