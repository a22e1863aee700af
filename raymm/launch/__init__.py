"""What runs on Ray: preparation, ingest, training, and whatever else needs a cluster."""
