"""Log lines: JSON on stderr for machines, a plain line on a terminal."""

import datetime
import json
import logging
import sys

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


class JsonFormatter(logging.Formatter):
    """One object a line: time, level, logger, the constant sentence, and what came in `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.datetime.fromtimestamp(record.created, datetime.UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **{key: value for key, value in vars(record).items() if key not in _STANDARD},
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class PlainFormatter(logging.Formatter):
    """One line, and a trace below it. What strangers put into a value does nothing to the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        extra = " ".join(f"{key}={value}" for key, value in vars(record).items() if key not in _STANDARD)
        line = f"{self.formatTime(record, '%H:%M:%S')} {record.levelname.lower():7} {record.getMessage()} {extra}"
        trace = self.formatException(record.exc_info).split("\n") if record.exc_info else []
        return "\n".join(_printable(each) for each in (line, *trace))


def _printable(text: str) -> str:
    """One line for a terminal: what would move its cursor, colour it or write to its clipboard is a blank."""
    return "".join(char if char.isprintable() else " " for char in text)


def configure(*, terminal: bool) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PlainFormatter() if terminal else JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for chatty in ("urllib3", "botocore", "transitions", "dbos", "uvicorn.access", "apscheduler"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
