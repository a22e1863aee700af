"""Graphs of users and items: adjacency, neighbours, similarity fusion, hypergraphs, propagation and partitioning."""
