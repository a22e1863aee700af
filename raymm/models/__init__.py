"""The models: those trained by gradients, and the baselines they are judged against."""
