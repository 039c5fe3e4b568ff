"""The commands `weft train` and `weft info`."""
