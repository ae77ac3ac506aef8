"""The graph and its lineage in the formats of other tools."""
