"""Which broker a Kiln speaks with: its link, its accounts, and the tokens that devices come with."""

import pathlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from service.adapters.broker_client import Place
from service.adapters.broker_control import Control
from service.adapters.broker_dynsec import DynsecAccounts
from service.adapters.broker_emqx import EmqxAccounts, EmqxApi, EmqxTokens
from service.adapters.broker_mosquitto import MosquittoAccounts
from service.adapters.broker_rights import SERVICE, Home
from service.adapters.broker_store import EmbeddedAccounts
from service.adapters.instance import Instance
from service.adapters.mqtt import MqttBroker
from service.ports import BrokerAccounts, Clock
from service.settings import Settings

TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    link: MqttBroker
    accounts: BrokerAccounts
    new_token: Callable[[str], str]  # for a device
    is_aging: Callable[[str], bool]  # whether a device shall get another token before this one ends


def choose(settings: Settings, instance: Instance, clock: Clock) -> Chosen:
    """Raises: BadInputError when the authority's file cannot be read; BrokerError for Mosquitto's files."""
    if settings.broker == "emqx":
        return _emqx(settings, clock)
    place = _place(settings, settings.mqtt_password or instance.mqtt_password)
    accounts = _accounts(settings, place)
    link = MqttBroker(place, prepare=accounts.prepare) if isinstance(accounts, DynsecAccounts) else MqttBroker(place)
    return Chosen(link=link, accounts=accounts, new_token=_by_chance, is_aging=lambda _token: False)


def _by_chance(_device: str) -> str:
    return secrets.token_urlsafe(TOKEN_BYTES)


def _place(settings: Settings, password: str) -> Place:
    """Where the service itself comes to the broker."""
    return Place(
        host=settings.mqtt_host,
        port=settings.mqtt_tls_port if settings.mqtt_ca else settings.mqtt_port,
        password=password,
        authority=settings.mqtt_ca,
    )


def _accounts(settings: Settings, place: Place) -> BrokerAccounts:
    home = None
    if settings.home_assistant:
        home = Home(prefix=settings.home_assistant, password=settings.home_assistant_password)
    if settings.broker == "mosquitto":
        folder = pathlib.Path(settings.mosquitto_folder)
        return MosquittoAccounts(folder, service_password=place.password, home=home)
    if settings.broker == "mosquitto-dynsec":
        return DynsecAccounts(Control(place), home=home)
    return EmbeddedAccounts(settings.data / "broker")


def _emqx(settings: Settings, clock: Clock) -> Chosen:
    tokens = EmqxTokens(settings.emqx_secret, clock, days=settings.emqx_token_days)
    api = None
    if settings.emqx_api:
        api = EmqxApi(url=settings.emqx_api.rstrip("/"), key=settings.emqx_api_key, secret=settings.emqx_api_secret)
    place = _place(settings, tokens.of_the_service(SERVICE))
    return Chosen(link=MqttBroker(place), accounts=EmqxAccounts(api), new_token=tokens.new, is_aging=tokens.is_aging)
