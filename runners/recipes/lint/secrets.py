"""Keys and passwords that a scanner of lines finds: detect-secrets, https://github.com/Yelp/detect-secrets.

Only its expressions are used, a line at a time. Its own scan of files would ask the issuers over the network whether
a key is valid, and its measure of chance takes tables of numbers, which firmware is full of, for keys.
"""

import re
from collections.abc import Iterator

from detect_secrets.plugins.aws import AWSKeyDetector
from detect_secrets.plugins.azure_storage_key import AzureStorageKeyDetector
from detect_secrets.plugins.base import BasePlugin
from detect_secrets.plugins.basic_auth import BasicAuthDetector
from detect_secrets.plugins.discord import DiscordBotTokenDetector
from detect_secrets.plugins.github_token import GitHubTokenDetector
from detect_secrets.plugins.gitlab_token import GitLabTokenDetector
from detect_secrets.plugins.jwt import JwtTokenDetector
from detect_secrets.plugins.keyword import KeywordDetector
from detect_secrets.plugins.mailchimp import MailchimpDetector
from detect_secrets.plugins.npm import NpmDetector
from detect_secrets.plugins.openai import OpenAIDetector
from detect_secrets.plugins.private_key import PrivateKeyDetector
from detect_secrets.plugins.pypi_token import PypiTokenDetector
from detect_secrets.plugins.sendgrid import SendGridDetector
from detect_secrets.plugins.slack import SlackDetector
from detect_secrets.plugins.square_oauth import SquareOAuthDetector
from detect_secrets.plugins.stripe import StripeDetector
from detect_secrets.plugins.telegram_token import TelegramBotTokenDetector

from runners.recipes.lint import words
from runners.recipes.lint.words import Kind

MAX_LINE_CHARS = 500  # what is further right in a line is not looked at: it is generated
MAX_PAIR_CHARS = 160  # the same in a file of values, whose expressions take time by the square of it
MAX_DATA_BYTES = 64 << 10  # a larger file of values is looked at for keys of known form only

Found = tuple[int, Kind]

# Without those that take common words or tables for keys: entropy, Artifactory, IBM, IP addresses, Twilio.
_PLUGINS: tuple[BasePlugin, ...] = (
    AWSKeyDetector(),
    AzureStorageKeyDetector(),
    DiscordBotTokenDetector(),
    GitHubTokenDetector(),
    GitLabTokenDetector(),
    JwtTokenDetector(),
    MailchimpDetector(),
    NpmDetector(),
    OpenAIDetector(),
    PrivateKeyDetector(),
    PypiTokenDetector(),
    SendGridDetector(),
    SlackDetector(),
    SquareOAuthDetector(),
    StripeDetector(),
    TelegramBotTokenDetector(),
)
_BASIC_AUTH = BasicAuthDetector()
_SHOWN = frozenset({"pass", "password", "pw", "pwd"})  # how texts show where the password of an address stands
_KEYWORDS = KeywordDetector()
_ENDS_OF_DATA = (".json", ".toml", ".ini", ".cfg", ".conf", ".yaml", ".yml", ".env", ".properties")
_PAIR = re.compile(r"""["']?([A-Za-z_][\w.-]{0,63})["']?\s{0,8}[:=]\s{0,8}["']?([^"'\n]{1,200}?)["']?\s{0,8},?\s*$""")


def look(path: str, text: str) -> Iterator[Found]:
    """Every line with one. A line may come twice."""
    is_data = path.lower().endswith(_ENDS_OF_DATA) and len(text) <= MAX_DATA_BYTES
    for number, whole in enumerate(text.splitlines(), 1):
        line = whole[:MAX_LINE_CHARS]
        if _has_key(line):
            yield number, Kind.TOKEN
        if any(each not in _SHOWN and words.is_worth_a_look(each) for each in _BASIC_AUTH.analyze_string(line)):
            yield number, Kind.PASSWORD
        if is_data:
            yield from ((number, kind) for kind in _of_data(line[:MAX_PAIR_CHARS]))


def keys(text: str) -> Iterator[int]:
    """The lines with a key that is known by its form, whatever its name."""
    return (number for number, line in enumerate(text.splitlines(), 1) if _has_key(line[:MAX_LINE_CHARS]))


def _has_key(line: str) -> bool:
    return any(next(iter(plugin.analyze_string(line)), None) for plugin in _PLUGINS)


def _of_data(line: str) -> Iterator[Kind]:
    """A line of a file of values: "name": "value", or name = value."""
    if any(words.is_worth_a_look(each) for each in _KEYWORDS.analyze_string(line)):
        yield Kind.PASSWORD
    if (found := _PAIR.search(line)) and (kind := words.judge(found[1], found[2])):
        yield kind
