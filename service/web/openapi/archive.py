"""A device's archive and flash image. All of them hold its credentials."""

from service.web.openapi.words import Paths, Schema, anything, array, flag, number, operation, record, text

_ONE = "/api/v1/devices/{device}"

SCHEMAS: dict[str, Schema] = {
    "WebFlash": record(
        name=text(),
        version=text(),
        new_install_prompt_erase=flag(),
        new_install_improv_wait_time=number(),
        builds=array(record(chipFamily=text(), parts=array(anything()))),
    ),
}

PATHS: Paths = {
    f"{_ONE}/archive": {
        "get": operation(
            "One zip file with all that its board needs",
            {200: anything()},
            right="devices",
            media_type="application/zip",
        ),
    },
    f"{_ONE}/flash": {
        "get": operation(
            "Its flash image, settings and credentials inside; ranges work",
            {200: anything(), 206: anything()},
            right="devices",
            media_type="application/octet-stream",
        ),
    },
    f"{_ONE}/webflash": {
        "get": operation(
            "The manifest of ESP Web Tools for it; the addresses in it are good for ten minutes",
            {200: "WebFlash"},
            right="devices",
        ),
    },
}
