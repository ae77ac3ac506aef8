"""relspec: calculation-driven data pipelines whose dependencies are inferred column by column."""

import lazy_loader

__version__ = "0.1.0"

# What each name is, and where, is in __init__.pyi; a module is loaded when something of it is asked for.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
