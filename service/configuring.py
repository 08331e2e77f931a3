"""Settings, wired: what changing them needs."""

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from service import rolling
from service.declared import Declared
from service.domain.device import DeviceId
from service.flows import configure, shared
from service.kiln import Kiln

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
