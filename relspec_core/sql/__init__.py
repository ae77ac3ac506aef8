"""SQL texts and trees, one rewrite rule per module."""
