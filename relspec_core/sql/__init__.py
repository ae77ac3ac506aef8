"""SQL texts and trees: parsing, binding and one rewrite rule per module."""
