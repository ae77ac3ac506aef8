"""The subcommands of the relspec command line."""
