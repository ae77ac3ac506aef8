"""URLs of source files: their parts, and the credentials that must not be in them."""

from __future__ import annotations

import re
from pathlib import PurePath

from relspec_core.errors import CatalogError

# Patterns are compiled where they are used: who has no such source pays nothing for them.
URL = r"[A-Za-z][\w+.-]*://|[a-z]+::.*://"


LOCAL = r"(?:file|local)://(?!.*::)"


# Caches that only say where what follows is kept; the part that has the path; what that is a part of.
CHAIN = r"(?P<before>(?:[a-z]+::)*)(?P<body>.*?)(?P<after>::.*)?"


WEB = r"https?://"


HIDDEN = r"[\w-]*(?:token|signature|credential|secret|password)|(?:[\w-]*[-_])?(?:sig|key|apikey|auth|pwd|passwd)"


SECRET = rf"(?i)(?<=://)(?<!github://)[^/@:\s]*:[^/@\s]+(?=@)|(?<=[?&])(?:{HIDDEN})=(?:(?!::)[^&#\s])+"


ANSWER_SECONDS = 30.0  # some of fsspec's filesystems wait for minutes, or for as long as TCP does


def is_url(path: str) -> bool:
    """Whether a path is a URL, of one store or of several chained ones.

    >>> is_url("s3://shop/orders/*.parquet"), is_url("zip://orders.csv::shop.zip"), is_url("orders/*.csv")
    (True, True, False)
    """
    return "://" in path and re.match(URL, path) is not None


def on_this_machine(path: str) -> str:
    """A URL of a file on this machine as its path; every other path as it is.

    >>> on_this_machine("file:///data/orders.csv"), on_this_machine("s3://shop/orders.csv")
    ('/data/orders.csv', 's3://shop/orders.csv')
    """
    return re.sub(f"^{LOCAL}", "", path) if is_url(path) else path


def file_name(path: str) -> str:
    """The last part of a path or URL, without what a web server is asked beside it.

    >>> file_name("zip://in/orders.csv::s3://shop/all.zip"), file_name("https://shop.example/orders.csv?day=1")
    ('orders.csv', 'orders.csv')
    """
    if is_url(path):
        path = url_parts(path)[1]
        path = re.split("[?#]", path)[0] if re.match(WEB, path) else path
    return PurePath(path).name


def check_no_secret(path: str, *, source: str) -> None:
    """Nothing, for a path that may be shown and stored: it has no password, token or signature in it.

    Raises:
        CatalogError: RS100.
    """
    if is_url(path) and re.search(SECRET, path):
        raise CatalogError(
            f"the URL of source '{source}' has a credential in it, and URLs are shown and stored",
            at=without_secrets(path),
            hint="leave it out, and give it to fsspec: in ~/.config/fsspec, in environment variables such as "
            "FSSPEC_FTP_PASSWORD, or as the store's own tools find it.",
        )


def without_secrets(text: str) -> str:
    """The same, with stars in place of the passwords, tokens and signatures of the URLs in it.

    >>> without_secrets("ftp://ann:pw@shop.example/a.csv and https://shop.example/a.csv?day=1&token=abc")
    'ftp://***@shop.example/a.csv and https://shop.example/a.csv?day=1&***'
    """
    return re.sub(SECRET, "***", text)


def url_parts(url: str) -> tuple[str, str, str]:
    """What stands before, in and after the part of a chain that has the path."""
    found = re.fullmatch(CHAIN, url)
    return ("", url, "") if found is None else (found["before"], found["body"], found["after"] or "")
