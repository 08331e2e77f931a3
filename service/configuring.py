"""Settings, wired: what changing them needs."""

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from service import rolling
from service.declared import Declared
from service.domain.device import Device, DeviceId
from service.flows import configure, credentials, shared
from service.flows.rollout_parts import KILN
from service.kiln import Kiln, token_change

SIGNING_THREADS = 2  # RSA lets other threads run


def settling(kiln: Kiln) -> Callable[[DeviceId], bool]:
    """Orders what a device shall run now."""
    return lambda name: rolling.settled(kiln, name)


def parts(kiln: Kiln, declared: Declared) -> configure.Parts:
    return rolling.settings_parts(kiln, declared, again=settling(kiln))


def remaker(kiln: Kiln, told: Callable[[], None]) -> shared.Remaker:
    pool = ThreadPoolExecutor(SIGNING_THREADS, thread_name_prefix="settings")
    again = functools.partial(rolling.settled_many, kiln)
    return shared.Remaker(parts=parts(kiln, Declared(kiln)), again=again, told=told, spread=pool.map)


def follow(kiln: Kiln, device: Device, token: str) -> None:
    """`flows.credentials.follow`, and where tokens end one that does so before long is changed. Raises: BrokerError."""
    credentials.follow(device, token, token_change(kiln))
    broker = kiln.broker
    if token and credentials.is_due(device, token, kiln.sealed.configurations, is_aging=broker.is_aging):
        credentials.rotate(
            device.id,
            parts(kiln, Declared(kiln)),
            accounts=broker.accounts,
            new_token=broker.new_token,
            by="its age",
            who=KILN,
            is_over=broker.is_aging,
        )
        kiln.told.ring()
