"""What starts a `work` on each host of a fleet: this host alone, Ray, or SLURM."""
