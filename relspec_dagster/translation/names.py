"""Evidence, task and check names in the characters that Dagster takes."""

from __future__ import annotations

import hashlib
import keyword
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import dagster as dg

# Words that Dagster refuses as the name of an op or of its output, beside Python's keywords.
RESERVED = frozenset(
    {
        *("arg_dict", "bool", "conf", "config", "context", "dict", "float", "input", "input_arg_dict", "int", "meta"),
        *("output", "output_arg_dict", "str", "type"),
    }
)

SUFFIX_LENGTH = 8


def default_asset_key(evidence: str) -> dg.AssetKey:
    """The asset key of an evidence name: one part for each of its dotted parts.

    What Dagster does not take in the name of an op's output becomes ``_``, and a reserved word gets a ``_`` behind it.

    >>> default_asset_key("staging.orders")
    AssetKey(['staging', 'orders'])
    >>> default_asset_key("größe in mm"), default_asset_key("config")
    (AssetKey(['gr__e_in_mm']), AssetKey(['config_']))
    """
    parts = [re.sub(r"[^A-Za-z0-9_-]", "_", part) for part in evidence.split(".")]
    return dg.AssetKey(parts if len(parts) > 1 else [_unreserved(parts[0])])


def prefixed(key: dg.AssetKey, prefix: Sequence[str]) -> dg.AssetKey:
    """The key with these parts before its own.

    >>> prefixed(dg.AssetKey("orders"), ["shop", "raw"])
    AssetKey(['shop', 'raw', 'orders'])
    """
    return dg.AssetKey([*prefix, *key.path])


def op_names(tasks: Iterable[str]) -> Mapping[str, str]:
    """The name of each task's op, in name order.

    >>> op_names(["orders", "staging.orders", "input"])
    {'input': 'input_', 'orders': 'orders', 'staging.orders': 'staging_orders'}
    """
    return _distinct({task: _unreserved(_plain(task)) for task in tasks})


def check_names(evidence: Iterable[str]) -> Mapping[str, str]:
    """The name of the check on each evidence that one task reads, in name order.

    >>> check_names(["raw.orders", "items"])
    {'items': 'requires_items', 'raw.orders': 'requires_raw_orders'}
    >>> check_names(["raw.orders", "raw_orders"])
    {'raw.orders': 'requires_raw_orders_e74479a4', 'raw_orders': 'requires_raw_orders'}
    """
    return _distinct({name: f"requires_{_plain(name)}" for name in evidence}, prefix="requires_")


def _distinct(wanted: Mapping[str, str], *, prefix: str = "") -> Mapping[str, str]:
    """The wanted text of each name; of names that want the same, those that had to be changed get a digest behind it.

    So what a name comes out as does not depend on the order in which names are given.
    """
    times = Counter(wanted.values())
    return {
        name: text if times[text] == 1 or text == prefix + name else f"{text}_{_digest(name)}"
        for name, text in sorted(wanted.items())
    }


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]", "_", name)


def _unreserved(name: str) -> str:
    return f"{name}_" if name in RESERVED or keyword.iskeyword(name) else name


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:SUFFIX_LENGTH]
