"""What Kiln remembers, as protocols by subject.

The adapters write each method in one transaction. Everything that a durable step calls is safe to repeat.
"""

from service.records.audit import Audit
from service.records.builds import Builds
from service.records.channels import Channels
from service.records.claims import Claims
from service.records.dependencies import Dependencies
from service.records.fleet import Agents, Configurations, Fleet, Made
from service.records.history import History
from service.records.inventory import Inventory
from service.records.marks import Marks, Untold
from service.records.packs import Packs
from service.records.people import People
from service.records.repositories import Connections, Noted, Repositories
from service.records.rollouts import Crowd, Rollouts
from service.records.shared import SharedSettings

__all__ = [
    "Agents",
    "Audit",
    "Builds",
    "Channels",
    "Claims",
    "Configurations",
    "Connections",
    "Crowd",
    "Dependencies",
    "Fleet",
    "History",
    "Inventory",
    "Made",
    "Marks",
    "Noted",
    "Packs",
    "People",
    "Repositories",
    "Rollouts",
    "SharedSettings",
    "Untold",
]
