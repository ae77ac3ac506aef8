"""Values that every package uses: names, hashes, types, schemas, formatted text."""
