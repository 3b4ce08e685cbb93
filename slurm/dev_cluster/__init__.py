"""What slurm/dev-cluster is made of. It needs nothing but Python and the SLURM programs."""
