"""The site's folder of configs, on Hydra's search path: for composing, `--help`, and glob(...) in sweeps."""
