"""Scores of generators, inversions and edits."""
