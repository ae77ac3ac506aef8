from collections.abc import Callable
from pathlib import Path

import ibis
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from relspec_core import Evidence, EvidenceCatalog
from relspec_core.errors import CatalogError

ARROW = pa.table({"id": pa.array([1], pa.int64()), "name": pa.array(["a"], pa.string())})
EXPECTED = ibis.schema({"id": "int64", "name": "string"})


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(ibis.table(EXPECTED, name="t"), id="Ibis table"),
        pytest.param(ibis.memtable(ARROW), id="Ibis memtable"),
        pytest.param(EXPECTED, id="Ibis schema"),
        pytest.param(ARROW, id="pyarrow table"),
        pytest.param(ARROW.schema, id="pyarrow schema"),
        pytest.param(ds.dataset(ARROW), id="pyarrow dataset"),
        pytest.param(pa.RecordBatchReader.from_batches(ARROW.schema, ARROW.to_batches()), id="pyarrow reader"),
        pytest.param(pd.DataFrame({"id": [1], "name": ["a"]}), id="pandas data frame"),
        pytest.param({"id": "int64", "name": "string"}, id="names of types"),
        pytest.param({"id": int, "name": str}, id="Python types"),
        pytest.param({"id": pa.int64(), "name": pa.string()}, id="pyarrow types"),
        pytest.param({"id": ibis.dtype("int64"), "name": ibis.dtype("string")}, id="Ibis types"),
    ],
)
def test_evidence_takes_the_schema_of_anything_that_has_one(value: object) -> None:
    evidence = EvidenceCatalog.from_sources({"people": value})["people"]
    assert evidence.schema == EXPECTED
    assert evidence.columns == ("id", "name")


def test_a_pyarrow_dataset_of_files_has_a_schema_too(tmp_path: Path) -> None:
    pq.write_table(ARROW, tmp_path / "people.parquet")
    catalog = EvidenceCatalog.from_sources({"people": ds.dataset(tmp_path)})
    assert catalog["people"].schema == EXPECTED


@pytest.mark.parametrize("value", [3, "orders", None, {"id": "no such type"}, object()])
def test_a_value_without_a_schema_is_refused_by_the_name_of_its_evidence(value: object) -> None:
    with pytest.raises(CatalogError, match="no schema can be read for 'people'") as caught:
        EvidenceCatalog.from_sources({"people": value})
    assert caught.value.code == "RS100"


def test_a_catalog_is_a_mapping_in_name_order() -> None:
    catalog = EvidenceCatalog.from_sources({"b": EXPECTED, "a": EXPECTED})
    assert list(catalog) == ["a", "b"]
    assert len(catalog) == 2
    assert "c" not in catalog
    assert repr(catalog) == "EvidenceCatalog(a, b)"


@pytest.mark.parametrize(
    "change",
    [
        lambda catalog: catalog.with_evidence(Evidence(name="c", schema=EXPECTED)),
        lambda catalog: catalog.without("a"),
        lambda catalog: catalog.without("nothing of that name"),
    ],
)
def test_a_catalog_is_never_changed_in_place(change: Callable[[EvidenceCatalog], EvidenceCatalog]) -> None:
    catalog = EvidenceCatalog.from_sources({"a": EXPECTED, "b": EXPECTED})
    change(catalog)
    assert list(catalog) == ["a", "b"]


def test_evidence_is_added_replaced_and_removed_in_a_new_catalog() -> None:
    catalog = EvidenceCatalog.from_sources({"a": EXPECTED})
    wider = ibis.schema({**dict(EXPECTED.items()), "extra": "date"})
    assert catalog.with_evidence(Evidence(name="a", schema=wider))["a"].columns == ("id", "name", "extra")
    assert list(catalog.with_evidence(Evidence(name="b", schema=wider))) == ["a", "b"]
    assert list(catalog.without("a")) == []


def test_evidence_tells_the_type_of_a_column_and_none_for_one_it_lacks() -> None:
    evidence = Evidence(name="a", schema=EXPECTED)
    assert evidence.type_of("id") == ibis.dtype("int64")
    assert evidence.type_of("nothing") is None
