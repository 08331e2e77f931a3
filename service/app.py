"""The composition root: real adapters meet the flows and the web."""

import contextlib
import datetime
import logging
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from runners.contract.board import Catalogue
from service import workflows
from service.adapters.background import Repeater
from service.adapters.builds import DatabaseBuilds
from service.adapters.clock import SystemClock
from service.adapters.fleet import DatabaseFleet
from service.adapters.git import GitSources
from service.adapters.instance import Instance, load_instance
from service.adapters.keys import FileKeys
from service.adapters.logs import FileLogs
from service.adapters.schema import open_database
from service.adapters.tokens import JwtTokens
from service.domain.repository import RepositoryId
from service.flows import deliver, enrol, plan, track
from service.settings import Settings

logger = logging.getLogger("kiln.app")
