"""Roll-outs, wired with the parts of one Kiln."""

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from service.declared import Declared, obstacle
from service.domain.device import Device, DeviceId, Report
from service.flows import rollouts, settle, steer
from service.flows.rollouts import Ordered
from service.kiln import Kiln

SIGNERS = 2  # threads; a signature is most of what an order costs, and lets others work meanwhile


def parts(kiln: Kiln) -> rollouts.Parts:
    """What roll-outs need."""
    return rollouts.Parts(
        builds=kiln.builds,
        channels=kiln.channels,
        fleet=kiln.fleet,
        rollouts=kiln.rollouts,
        crowd=kiln.crowd,
        keys=kiln.keys,
        clock=kiln.clock,
        obstacle=obstacle(kiln, Declared(kiln)),
        each=_each,
        announced=kiln.told.ring,
        stirred=kiln.stirred.ring,
        alone=_ALONE,
        call_back=steer.call_back,
    )


def settled(kiln: Kiln, name: DeviceId) -> bool:
    """What a device shall run now (`flows.settle`)."""
    return settle.settle(name, parts(kiln))


def settled_many(kiln: Kiln, names: Sequence[DeviceId]) -> None:
    """The same for many, of which most were held."""
    settle.settle_many(names, parts(kiln))


def heard(kiln: Kiln, said: Sequence[tuple[Device, Report]]) -> None:
    """After reports were kept: roll-outs may go on by them."""
    if settle.heard(said, parts(kiln)):
        kiln.stirred.ring()


_ALONE = threading.Lock()
_SIGNERS = ThreadPoolExecutor(SIGNERS, thread_name_prefix="sign")  # its threads start with the first order


def _each(act: Callable[[Device], Ordered], devices: list[Device]) -> Iterable[Ordered]:
    return map(act, devices) if len(devices) < 2 * SIGNERS else _SIGNERS.map(act, devices)
