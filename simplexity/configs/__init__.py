"""Packaged Hydra configs. Nothing but YAML lives here; this file makes the folder a package, as `pkg://` needs."""
