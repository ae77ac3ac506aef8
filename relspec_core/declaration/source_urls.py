"""URLs of source files: their parts, and detection of credentials, which they must not contain."""

from __future__ import annotations

import re
from pathlib import PurePath

from relspec_core.errors import CatalogError

# Patterns are compiled on use, so that catalogs without such sources pay nothing.
URL = r"[A-Za-z][\w+.-]*://|[a-z]+::.*://"


LOCAL = r"(?:file|local)://(?!.*::)"


# Prefixes such as caches; the part with the path; the containers of that path.
CHAIN = r"(?P<before>(?:[a-z]+::)*)(?P<body>.*?)(?P<after>::.*)?"


WEB = r"https?://"


HIDDEN = r"[\w-]*(?:token|signature|credential|secret|password)|(?:[\w-]*[-_])?(?:sig|key|apikey|auth|pwd|passwd)"


SECRET = rf"(?i)(?<=://)(?<!github://)[^/@:\s]*:[^/@\s]+(?=@)|(?<=[?&])(?:{HIDDEN})=(?:(?!::)[^&#\s])+"


ANSWER_SECONDS = 30.0  # some fsspec filesystems wait for minutes, or for the TCP timeout


def is_url(path: str) -> bool:
    """Whether a path is a URL, possibly of several chained filesystems.

    >>> is_url("s3://shop/orders/*.parquet"), is_url("zip://orders.csv::shop.zip"), is_url("orders/*.csv")
    (True, True, False)
    """
    return "://" in path and re.match(URL, path) is not None


def on_this_machine(path: str) -> str:
    """The path of a local file's URL; every other path unchanged.

    >>> on_this_machine("file:///data/orders.csv"), on_this_machine("s3://shop/orders.csv")
    ('/data/orders.csv', 's3://shop/orders.csv')
    """
    return re.sub(f"^{LOCAL}", "", path) if is_url(path) else path


def file_name(path: str) -> str:
    """The last part of a path or URL, without the query and fragment of web addresses.

    >>> file_name("zip://in/orders.csv::s3://shop/all.zip"), file_name("https://shop.example/orders.csv?day=1")
    ('orders.csv', 'orders.csv')
    """
    if is_url(path):
        path = url_parts(path)[1]
        path = re.split("[?#]", path)[0] if re.match(WEB, path) else path
    return PurePath(path).name


def check_no_secret(path: str, *, source: str) -> None:
    """Check that a path can be shown and stored: it contains no password, token or signature.

    Raises:
        CatalogError: RS100, if it contains one.
    """
    if is_url(path) and re.search(SECRET, path):
        raise CatalogError(
            f"the URL of source '{source}' contains a credential, and URLs are shown and stored",
            at=without_secrets(path),
            hint="remove it, and configure it in ~/.config/fsspec, in environment variables such as "
            "FSSPEC_FTP_PASSWORD, or where the storage provider's own tools find it.",
        )


def without_secrets(text: str) -> str:
    """A text with the passwords, tokens and signatures in its URLs replaced by stars.

    >>> without_secrets("ftp://ann:pw@shop.example/a.csv and https://shop.example/a.csv?day=1&token=abc")
    'ftp://***@shop.example/a.csv and https://shop.example/a.csv?day=1&***'
    """
    return re.sub(SECRET, "***", text)


def url_parts(url: str) -> tuple[str, str, str]:
    """A chained URL split into the parts before, with and after the path."""
    found = re.fullmatch(CHAIN, url)
    return ("", url, "") if found is None else (found["before"], found["body"], found["after"] or "")
